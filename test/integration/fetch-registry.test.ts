/** `dockyard fetch` from a real registry, without a node; skopeo reads what it wrote. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { dockyard, startDockyard, type CommandOutcome } from '../support/command-process.ts';
import {
  HTPASSWD,
  LOGIN,
  pushBlob,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { blobsOf, makeImage, makeIndex, makeLayer, makeRandomImage, pushImage } from '../support/image-builder.ts';
import { isInstalled, mustRun, until } from '../support/programs.ts';
import { freeRefusedPort } from '../support/refused-port.ts';
import { ThrottlingProxy } from '../support/throttling-proxy.ts';

const MIB = 1024 * 1024;

const hasRegistry = requireDockerRegistry();
const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');

describe.skipIf(!hasRegistry || !hasSkopeo)('dockyard fetch and a registry', () => {
  let folder = '';
  let registry: DockerRegistry;
  let host = '';
  let count = 0;
  let output = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-fetch-'));
    await mkdir(join(folder, 'registry'));
    registry = await startDockerRegistry(join(folder, 'registry'));
    host = `127.0.0.1:${registry.port}`;
  });

  afterAll(async () => {
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(() => {
    output = join(folder, `output-${(count += 1)}`);
  });

  /** Without the configuration and the credentials of who runs the tests. */
  async function fetchCommand(
    args: readonly string[],
    environment: Record<string, string> = {},
  ): Promise<CommandOutcome> {
    return await dockyard(['fetch', ...args], { DOCKER_CONFIG: folder, ...environment });
  }

  async function rawDigest(source: string): Promise<string> {
    const raw = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', source]);
    return `sha256:${createHash('sha256').update(raw).digest('hex')}`;
  }

  test('an index comes with the images of all its platforms, and skopeo copies the layout on unchanged', async () => {
    const shared = makeLayer(300_000);
    const images = ['amd64', 'arm64'].map((architecture) => makeImage([shared, makeLayer(100_000)], architecture));
    await pushImage(`${host}/team/multi:1`, images, makeIndex(images));
    const { code, out, err } = await fetchCommand([`${host}/team/multi:1`, '--output', output]);
    expect([code, err.includes('dockyard:')]).toEqual([0, false]);
    expect(out).toContain(makeIndex(images).digest);
    expect((await readdir(output)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout']);
    const options = ['copy', '--insecure-policy', '--all', '--preserve-digests', '--dest-tls-verify=false'];
    await mustRun('skopeo', [...options, `oci:${output}`, `docker://${host}/team/again:1`]);
    expect(await rawDigest(`docker://${host}/team/again:1`)).toBe(makeIndex(images).digest);
  });

  test('--platform takes one image of an index, and names what there is when there is none', async () => {
    const images = ['amd64', 'arm64'].map((architecture) => makeImage([makeLayer(50_000)], architecture));
    await pushImage(`${host}/team/choice:1`, images, makeIndex(images));
    const wanted = await fetchCommand([`${host}/team/choice:1`, '--output', output, '--platform', 'linux/arm64']);
    expect(wanted.code).toBe(0);
    expect(await rawDigest(`oci:${output}`)).toBe(images[1]?.manifest.digest);
    expect(await readdir(join(output, 'blobs/sha256'))).toHaveLength(3);
    const other = await fetchCommand([`${host}/team/choice:1`, '-o', `${output}-s390x`, '--platform', 'linux/s390x']);
    expect(other.code).toBe(4);
    expect(other.err).toContain('linux/amd64, linux/arm64');
    // An image that stands in no index names its platform itself.
    await pushImage(`${host}/team/single:1`, images.slice(0, 1));
    const single = ['--platform', 'linux/arm64', '-o', `${output}-single`];
    const refused = await fetchCommand([`${host}/team/single:1`, ...single]);
    expect([refused.code, refused.err]).toEqual([4, expect.stringContaining('it names linux/amd64')]);
    expect(existsSync(`${output}-single`)).toBe(false);
  });

  test('a blob goes to a file, or to a file of its name in a folder', async () => {
    const bytes = Buffer.alloc(2 * MIB, 'blob');
    const digest = await pushBlob(registry.url, 'team/blob', bytes);
    expect((await fetchCommand([digest, '--from', `${host}/team/blob`, '--output', output])).code).toBe(0);
    expect((await readFile(output)).equals(bytes)).toBe(true);
    await mkdir(`${output}-folder`);
    const inFolder = await fetchCommand([
      digest,
      '--from',
      `${host}/team/blob`,
      '--output',
      `${output}-folder`,
      '--json',
    ]);
    const [last = ''] = inFolder.out.trim().split('\n').slice(-1);
    const path = join(`${output}-folder`, digest.slice('sha256:'.length));
    expect(JSON.parse(last)).toMatchObject({
      kind: 'done',
      what: 'blob',
      digest,
      sizeBytes: bytes.length,
      place: path,
    });
    expect((await readFile(path)).equals(bytes)).toBe(true);
    expect(existsSync(`${path}.dockyard-fetch`)).toBe(false);
  });

  test('after kill -9 nothing that had come is fetched again', async () => {
    const image = makeRandomImage(6 * MIB);
    await pushImage(`${host}/team/killed:1`, image);
    await using proxy = await ThrottlingProxy.open(registry.port, 3 * MIB);
    const name = `${proxy.url}/team/killed:1`;
    const [layer] = image.layers;
    const part = join(output, '.dockyard-fetch', layer?.digest.replace(':', '-') ?? '');
    {
      await using command = startDockyard(['fetch', name, '--output', output], { DOCKER_CONFIG: folder });
      const half = async (): Promise<boolean> => existsSync(part) && (await readFile(part)).length >= 3 * MIB;
      await until(() => `half of the layer has come: ${command.err()}`, half);
    }
    expect(existsSync(join(output, 'index.json'))).toBe(false);
    const keptBytes = (await readFile(part)).length;
    const passedBytes = proxy.passedBytes;
    proxy.setRate(100 * MIB);
    const { code, out } = await fetchCommand([name, '--output', output, '--json']);
    expect(code).toBe(0);
    const [last = ''] = out.trim().split('\n').slice(-1);
    const { receivedBytes } = JSON.parse(last) as { receivedBytes: number };
    expect(receivedBytes).toBeLessThanOrEqual((layer?.bytes.length ?? 0) - keptBytes + 10_000);
    // Heads of answers, the manifest and the config besides.
    expect(proxy.passedBytes - passedBytes).toBeLessThan((layer?.bytes.length ?? 0) - keptBytes + 20_000);
    expect(await rawDigest(`oci:${output}`)).toBe(image.manifest.digest);
    expect(existsSync(join(output, '.dockyard-fetch'))).toBe(false);
  });

  test('an interrupted fetch says how to go on, and goes on; nobody else may work on the same folder meanwhile', async () => {
    const image = makeRandomImage(4 * MIB);
    await pushImage(`${host}/team/interrupted:1`, image);
    await using proxy = await ThrottlingProxy.open(registry.port, 4 * MIB);
    const args = [`${proxy.url}/team/interrupted:1`, '--output', output];
    await using command = startDockyard(['fetch', ...args], { DOCKER_CONFIG: folder });
    await until('something has come', () => proxy.passedBytes > MIB);
    proxy.setRate(0);
    const second = await fetchCommand(args);
    expect([second.code, second.err]).toEqual([6, expect.stringContaining('ERR_FETCH_BUSY')]);
    command.child.kill('SIGINT');
    const interrupted = await command.ended();
    expect(interrupted.code).toBe(130);
    expect(interrupted.err).toContain('Run the same command again');
    proxy.setRate(100 * MIB);
    expect((await fetchCommand(args)).code).toBe(0);
    expect(await rawDigest(`oci:${output}`)).toBe(image.manifest.digest);
    // All is there: nothing more than the question for the tag.
    const passedBytes = proxy.passedBytes;
    expect((await fetchCommand(args)).code).toBe(0);
    expect(proxy.passedBytes - passedBytes).toBeLessThan(20_000);
  });

  test('without --output it goes to the store of a node, from which it is written without the registry', async () => {
    const image = makeRandomImage(3 * MIB, 0);
    await pushImage(`${host}/team/stored:1`, image);
    const data = join(folder, 'data');
    const stored = await fetchCommand([`${host}/team/stored:1`, '--data', data]);
    expect(stored.code).toBe(0);
    const verified = await dockyard(['verify', '--data', data]);
    expect(verified.out).toContain('3 blobs');
    expect(verified.out).toContain('all good');
    const gone = `127.0.0.1:${await freeRefusedPort()}`;
    const name = `${gone}/team/stored@${image.manifest.digest}`;
    const written = await fetchCommand([name, '--data', data, '--output', output]);
    expect([written.code, written.err.includes('dockyard:')]).toEqual([0, false]);
    expect(await rawDigest(`oci:${output}`)).toBe(image.manifest.digest);
    const [layer] = blobsOf(image).slice(1);
    const blob = await fetchCommand([
      layer ?? '',
      '--from',
      `${gone}/team/stored`,
      '--data',
      data,
      '-o',
      `${output}-blob`,
    ]);
    expect(blob.code).toBe(0);
    expect(await readFile(`${output}-blob`)).toEqual(image.layers[0]?.bytes);
  });

  test('what is in the way is left alone, unless --force is given', async () => {
    const image = makeRandomImage(10_000);
    await pushImage(`${host}/team/way:1`, image);
    const digest = await pushBlob(registry.url, 'team/way', Buffer.from('a blob'));
    await writeFile(output, 'mine');
    const blobArgs = [digest, '--from', `${host}/team/way`, '--output', output];
    const refused = await fetchCommand(blobArgs);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('ERR_OUTPUT_EXISTS')]);
    expect(await readFile(output, 'utf8')).toBe('mine');
    expect((await fetchCommand([...blobArgs, '--force'])).code).toBe(0);
    expect(await readFile(output, 'utf8')).toBe('a blob');
    const own = `${output}-own`;
    await mkdir(own);
    await writeFile(join(own, 'notes.txt'), 'mine');
    expect((await fetchCommand([`${host}/team/way:1`, '--output', own])).code).toBe(2);
    expect(await readdir(own)).toEqual(['notes.txt']);
    await pushImage(`${host}/team/way:2`, makeRandomImage(10_000));
    expect((await fetchCommand([`${host}/team/way:1`, '--output', `${output}-layout`])).code).toBe(0);
    const other = await fetchCommand([`${host}/team/way:2`, '--output', `${output}-layout`]);
    expect([other.code, other.err]).toEqual([2, expect.stringContaining('names another image')]);
    expect(await rawDigest(`oci:${output}-layout`)).toBe(image.manifest.digest);
  });

  test('a registry with accounts gives to those of Docker’s configuration file, and refuses others', async () => {
    const secret = join(folder, 'secret');
    await mkdir(secret);
    await writeFile(join(secret, 'htpasswd'), HTPASSWD);
    const auth = { htpasswd: { realm: 'test', path: join(secret, 'htpasswd') } };
    const image = makeRandomImage(20_000);
    await using open = await startDockerRegistry(secret);
    await pushImage(`127.0.0.1:${open.port}/team/secret:1`, image);
    await using closed = await startDockerRegistry(secret, { auth });
    const name = `127.0.0.1:${closed.port}/team/secret:1`;
    const anonymous = await fetchCommand([name, '--output', output]);
    expect([anonymous.code, anonymous.err]).toEqual([4, expect.stringContaining('ERR_ORIGIN_DENIED')]);
    const token = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64');
    const config = { auths: { [`127.0.0.1:${closed.port}`]: { auth: token } } };
    await writeFile(join(secret, 'config.json'), JSON.stringify(config));
    const known = await fetchCommand([name, '--output', output], { DOCKER_CONFIG: secret });
    expect(known.code).toBe(0);
    expect(await rawDigest(`oci:${output}`)).toBe(image.manifest.digest);
  });

  test('what is not there, and a registry that is not there, have exit codes of their own and leave nothing behind', async () => {
    const absent = await fetchCommand([`${host}/team/never:1`, '--output', output]);
    expect([absent.code, absent.err]).toEqual([4, expect.stringContaining('ERR_FETCH_ABSENT')]);
    expect(existsSync(output)).toBe(false);
    const gone = await fetchCommand([`127.0.0.1:${await freeRefusedPort()}/team/never:1`, '--output', output]);
    expect([gone.code, gone.err]).toEqual([6, expect.stringContaining('ERR_ORIGIN_UNAVAILABLE')]);
    expect(existsSync(output)).toBe(false);
    expect((await fetchCommand([`${host}/team/UPPER`, '--output', output])).code).toBe(2);
    expect((await fetchCommand(['sha256:12', '--output', output])).code).toBe(2);
  });
});
