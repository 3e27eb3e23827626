/** The operator's commands for images, on a real seed and on Debian's docker-registry; real clients see what they did. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { dockyard, jsonLines, type CommandOutcome } from '../support/command-line.ts';
import {
  HTPASSWD,
  LOGIN,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { blobsOf, makeImage, makeIndex, makeLayer, makeRandomImage, pushImage } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, mustRun } from '../support/programs.ts';

const MIB = 1024 * 1024;

const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');
const hasRegistry = requireDockerRegistry();

interface Line {
  readonly kind: string;
  readonly digest?: string;
  readonly outcome?: string;
  readonly tag?: string;
  readonly code?: string;
  readonly blobs?: { readonly sent: number; readonly mounted: number; readonly there: number };
  readonly failed?: number;
  readonly sentBytes?: number;
}

describe.skipIf(!hasSkopeo)('the commands for images', () => {
  let folder = '';
  let seed: NodeProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-images-'));
    seed = await NodeProcess.startSeed(['--data', join(folder, 'seed'), '--push-immutable-tags', 'fixed/**:v*']);
  });

  afterAll(async () => {
    await seed?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const at = async (...args: string[]): Promise<CommandOutcome> =>
    await dockyard(args, { DOCKYARD_REGISTRY: seed.facade });

  const mustCopy = async (...args: string[]): Promise<Line[]> => {
    const { code, out, err } = await at('copy', '--json', ...args);
    expect(code, out + err).toBe(0);
    return jsonLines<Line>(out);
  };

  const skopeoReads = async (name: string): Promise<void> => {
    const target = await mkdtemp(join(folder, 'read-'));
    const options = ['copy', '--all', '--insecure-policy', '--src-tls-verify=false'];
    await mustRun('skopeo', [...options, `docker://${name}`, `dir:${target}`]);
  };

  test('images and tags list what was pushed', async () => {
    const image = makeRandomImage(1000);
    await pushImage(`${seed.facade}/list/app:v1`, image);
    await pushImage(`${seed.facade}/list/app:v2`, image);
    const images = await at('images');
    expect(images.out).toMatch(/^repository +count +tags\n/);
    expect(images.out).toMatch(/list\/app +2 +v1, v2\n/);
    expect(jsonLines((await at('images', '--json')).out)).toContainEqual({
      repository: 'list/app',
      tags: ['v1', 'v2'],
    });
    const tags = await at('tags', 'list/app');
    expect(tags.out).toContain(`v1   image  ${image.manifest.digest.slice(0, 19)}\n`);
    const [first] = jsonLines((await at('tags', '--json', 'list/app')).out);
    expect(first).toMatchObject({ tag: 'v1', digest: image.manifest.digest });
  });

  test('inspect shows the images of an index, and the manifest to the byte', async () => {
    const images = ['amd64', 'arm64'].map((architecture) => makeImage([makeLayer(5000)], architecture));
    const index = makeIndex(images);
    await pushImage(`${seed.facade}/inspect/multi:1`, images, index);
    const { out } = await at('inspect', 'inspect/multi:1');
    expect(out).toMatch(new RegExp(`digest +${index.digest}\n`));
    expect(out).toMatch(/platform +linux\/amd64\n/);
    expect(out).toMatch(/platform +linux\/arm64\n/);
    expect(out).toMatch(/command +\/nothing\n/);
    const report = JSON.parse((await at('inspect', '--json', `inspect/multi@${index.digest}`)).out) as object;
    expect(report).toMatchObject({
      kind: 'index',
      digest: index.digest,
      images: [{ runtime: { platform: 'linux/amd64' } }, {}],
    });
    expect((await at('inspect', '--raw', 'inspect/multi:1')).out).toBe(index.bytes.toString('utf8'));
  });

  test('rm deletes a tag, an image with its tags, and all tags', async () => {
    const [one, other] = [makeRandomImage(1000), makeRandomImage(1000)];
    for (const tag of ['a', 'b', 'c']) await pushImage(`${seed.facade}/rm/app:${tag}`, one);
    await pushImage(`${seed.facade}/rm/app:d`, other);
    expect(await at('rm', 'rm/app:a')).toMatchObject({ code: 0 });
    expect(jsonLines((await at('tags', '--json', 'rm/app')).out)).toMatchObject([
      { tag: 'b' },
      { tag: 'c' },
      { tag: 'd' },
    ]);
    expect(await at('rm', `rm/app@${one.manifest.digest}`)).toMatchObject({ code: 0 });
    expect(jsonLines((await at('tags', '--json', 'rm/app')).out)).toMatchObject([{ tag: 'd' }]);
    expect(await at('rm', '--all-tags', 'rm/app')).toMatchObject({ code: 0 });
    expect(await at('tags', 'rm/app')).toMatchObject({ out: 'no tags in rm/app\n' });
  });

  test('rm goes on after what is refused or not there, and says so', async () => {
    await pushImage(`${seed.facade}/fixed/app:v1`, makeRandomImage(1000));
    await pushImage(`${seed.facade}/fixed/app:other`, makeRandomImage(1000));
    const { code, err, out } = await at('rm', 'fixed/app:v1', 'fixed/app:gone', 'fixed/app:other');
    expect(code).toBe(1);
    expect(err).toMatch(/refused to delete the tag v1 with 403 \(DENIED: .*\) \(ERR_REGISTRY_REFUSED\)/);
    expect(err).toContain("has no tag 'gone' (ERR_IMAGE_UNKNOWN)");
    expect(out).toContain('deleted  fixed/app:other');
  });

  test('what is named wrongly is told, and nothing is done', async () => {
    expect(await at('rm', 'rm/app')).toMatchObject({ code: 2 });
    expect((await at('rm', 'rm/app')).err).toContain('names no tag and no digest');
    expect((await at('tags', 'no/such')).err).toContain('(ERR_IMAGE_UNKNOWN)');
    expect(await at('inspect', 'list/app:none')).toMatchObject({ code: 4 });
    expect(await at('inspect', 'UPPER/Case')).toMatchObject({ code: 2 });
    expect(await at('copy', '--all-tags', 'list/app:v1', 'x/y')).toMatchObject({ code: 2 });
    expect(await at('copy', 'list/app:v1', `x/y@sha256:${'0'.repeat(64)}`)).toMatchObject({ code: 2 });
  });

  test('copy within a registry mounts the blobs, and skips what is there', async () => {
    const image = makeRandomImage(2 * MIB, 1000);
    await pushImage(`${seed.facade}/within/app:v1`, image);
    const lines = await mustCopy('within/app:v1', 'within/copy:v9');
    expect(lines.at(-1)).toMatchObject({
      kind: 'total',
      blobs: { sent: 0, mounted: 3, there: 0 },
      sentBytes: image.manifest.bytes.length,
    });
    await skopeoReads(`${seed.facade}/within/copy:v9`);
    const again = await mustCopy('within/app:v1', 'within/copy:v9');
    expect(again).toMatchObject([
      { kind: 'manifest', outcome: 'there', tag: 'v9' },
      { kind: 'total', sentBytes: 0 },
    ]);
  });

  test('a person who looks sees bars, and then what it came to', async () => {
    const image = makeRandomImage(4 * MIB);
    await using source = await NodeProcess.startSeed(['--data', join(folder, 'looked-at')]);
    await pushImage(`${source.facade}/bars/app:1`, image);
    const args = ['copy', `${source.facade}/bars/app:1`, 'bars/app:1'];
    const { code, out, err } = await dockyard(args, { DOCKYARD_REGISTRY: seed.facade }, { isInteractive: true });
    expect(code, err).toBe(0);
    expect(out).toMatch(/^2 blobs and 1 manifest sent, 4.0\d MiB; 0 there, 0 mounted\n$/);
    expect(err).toMatch(/sha256:\w{12} [=-]{40} \d+ %/);
  });

  test('an upload that breaks goes on from the byte that the seed has', async () => {
    const image = makeRandomImage(12 * MIB);
    const [layer] = image.layers;
    await using source = await NodeProcess.startSeed(['--data', join(folder, 'source')]);
    await pushImage(`${source.facade}/big/app:1`, image);
    await using line = await CuttingLine.open(Number(seed.facade.split(':')[1]), 5 * MIB);
    const lines = await mustCopy(`${source.facade}/big/app:1`, `127.0.0.1:${line.port}/big/app:1`);
    expect(lines.at(-1)).toMatchObject({ blobs: { sent: 2 } });
    expect(line.cuts).toBe(1);
    expect(line.passedBytes).toBeLessThan((layer?.bytes.length ?? 0) + 6 * MIB);
    await skopeoReads(`${seed.facade}/big/app:1`);
  });

  describe.skipIf(!hasRegistry)('between a seed and docker-registry', () => {
    let registry: DockerRegistry;
    let docker: Record<string, string> = {};

    beforeAll(async () => {
      const passwords = join(folder, 'htpasswd');
      await writeFile(passwords, HTPASSWD);
      registry = await startDockerRegistry(folder, { auth: { htpasswd: { realm: 'test', path: passwords } } });
      const auth = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64');
      await writeFile(
        join(folder, 'config.json'),
        JSON.stringify({ auths: { [`127.0.0.1:${registry.port}`]: { auth } } }),
      );
      docker = { DOCKER_CONFIG: folder };
    });
    afterAll(async () => await registry?.stop());

    test('copy brings every tag with all platforms there and back, with the credentials of docker login', async () => {
      const shared = makeLayer(300_000);
      const images = ['amd64', 'arm64'].map((architecture) => makeImage([shared, makeLayer(2000)], architecture));
      const [first] = images;
      if (first === undefined) throw new TypeError('no image');
      await pushImage(`${seed.facade}/all/app:multi`, images, makeIndex(images));
      await pushImage(`${seed.facade}/all/app:single`, first);
      const there = `127.0.0.1:${registry.port}/mirror/app`;
      const environment = { DOCKYARD_REGISTRY: seed.facade, ...docker };
      const out = await dockyard(['copy', '--json', '--all-tags', 'all/app', there], environment);
      expect(out, out.out + out.err).toMatchObject({ code: 0 });
      const blobs = new Set(images.flatMap(blobsOf));
      expect(jsonLines<Line>(out.out).at(-1)).toMatchObject({ blobs: { sent: blobs.size }, failed: 0 });
      await mustRun('skopeo', [
        'copy',
        '--all',
        '--insecure-policy',
        '--src-tls-verify=false',
        `--src-creds=${LOGIN.username}:${LOGIN.password}`,
        `docker://${there}:multi`,
        `dir:${join(folder, 'multi')}`,
      ]);
      const back = await dockyard(['copy', '--all-tags', there, 'came/back'], environment);
      expect(back, back.err).toMatchObject({ code: 0 });
      expect(back.out).toMatch(/5 blobs and 4 manifests sent/);
      await skopeoReads(`${seed.facade}/came/back:multi`);
    });

    test('a registry that refuses says so: without an account, and tags that it does not delete', async () => {
      const there = `127.0.0.1:${registry.port}`;
      const denied = await dockyard(['tags', `${there}/mirror/app`]);
      expect(denied).toMatchObject({ code: 4 });
      expect(denied.err).toContain('(ERR_ORIGIN_DENIED)');
      expect((await dockyard(['images', there])).err).toContain('(ERR_LIST_UNSUPPORTED)');
      const kept = await dockyard(['rm', `${there}/mirror/app:multi`], docker);
      expect(kept).toMatchObject({ code: 1 });
      expect(kept.err).toContain('(ERR_REGISTRY_REFUSED)');
    });

    test('a registry that is not there is told as such', async () => {
      await using gone = await startDockerRegistry(folder);
      await gone.stop();
      const { code, err } = await dockyard(['copy', `127.0.0.1:${gone.port}/x/y:1`, `${seed.facade}/x/y:1`]);
      expect(code).toBe(6);
      expect(err).toMatch(/nothing listens there\) \(ERR_ORIGIN_UNAVAILABLE\)/);
    });
  });
});

/** A line to a registry that is cut once, when a client has sent so much over one connection. */
class CuttingLine implements AsyncDisposable {
  cuts = 0;
  /** From clients to the registry. */
  passedBytes = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server;

  private constructor(targetPort: number, cutAfterBytes: number) {
    this.#server = createServer((client) => {
      const target = connect(targetPort, '127.0.0.1');
      let fromHere = 0;
      client.on('data', (chunk: Buffer) => {
        fromHere += chunk.length;
        this.passedBytes += chunk.length;
        if (this.cuts > 0 || fromHere < cutAfterBytes) return;
        this.cuts += 1;
        // What was passed on arrives; the rest does not.
        client.destroy();
        target.end();
      });
      client.pipe(target).pipe(client);
      for (const socket of [client, target]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy()).on('close', () => this.#sockets.delete(socket));
      }
    });
  }

  static async open(targetPort: number, cutAfterBytes: number): Promise<CuttingLine> {
    const line = new CuttingLine(targetPort, cutAfterBytes);
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    return line;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
