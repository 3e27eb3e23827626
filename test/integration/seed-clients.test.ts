/** Real clients push to a seed and pull from it; a second node gets what was pushed from the seed as a peer. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import { requireDockerd, TestDockerd } from '../support/dockerd-process.ts';
import {
  blobsOf,
  layerBytes,
  makeIndex,
  makeImage,
  makeLayer,
  makeRandomImage,
  pushImage,
} from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { oras, orasDiscover, requireOras } from '../support/oras-program.ts';
import { isInstalled, mustRun, run, until } from '../support/programs.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'seed.test';

const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');
const hasDockerd = requireDockerd();
const hasContainerd = requireContainerd();
const hasOras = requireOras();
const storageClients = ['podman', 'buildah'].filter((program) =>
  requirement(program, process.getuid?.() === 0 && isInstalled(program), `apt-get install ${program}, and run as root`),
);

describe.skipIf(!hasSkopeo)('a seed and real clients', () => {
  let folder = '';
  let seed: NodeProcess;
  let node: NodeProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-seed-'));
    seed = await NodeProcess.startSeed(['--data', join(folder, 'seed')]);
    const upstream = ['--upstream', `${UPSTREAM}=http://${seed.facade}`];
    node = await NodeProcess.start(['--data', join(folder, 'node'), ...upstream, '--bootstrap', await seed.swarm()]);
    await Promise.all([seed.untilMembers(2), node.untilMembers(2)]);
  });

  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await seed?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function tagsOf(name: string): Promise<unknown> {
    return await (await fetch(`http://${seed.facade}/v2/${name}/tags/list`)).json();
  }

  test('skopeo pushes an image of several layers, and copies it back', async () => {
    const image = makeRandomImage(8 * MIB, 300_000, 0);
    await pushImage(`${seed.facade}/team/deep/er/app:1`, image);
    expect(await tagsOf('team/deep/er/app')).toEqual({ name: 'team/deep/er/app', tags: ['1'] });
    const target = join(folder, 'copied');
    const source = `docker://${seed.facade}/team/deep/er/app:1`;
    await mustRun('skopeo', ['copy', '--insecure-policy', '--src-tls-verify=false', source, `dir:${target}`]);
    for (const digest of blobsOf(image)) {
      const name = digest.slice('sha256:'.length);
      expect(await mustRun('sha256sum', [join(target, name)])).toMatch(new RegExp(`^${name}`));
    }
  });

  test('skopeo pushes an index with the images of two architectures', async () => {
    const shared = makeLayer(200_000);
    const images = ['amd64', 'arm64'].map((architecture) => makeImage([shared, makeLayer(1000)], architecture));
    await pushImage(`${seed.facade}/team/multi:1`, images, makeIndex(images));
    const inspected = await mustRun('skopeo', [
      'inspect',
      '--raw',
      '--tls-verify=false',
      `docker://${seed.facade}/team/multi:1`,
    ]);
    expect(JSON.parse(inspected)).toMatchObject({ manifests: [{ platform: { architecture: 'amd64' } }, {}] });
  });

  test.skipIf(!hasOras)('oras pushes files, attaches to them, finds what is attached, and pulls it all', async () => {
    const reference = `${seed.facade}/team/files:1`;
    const kind = 'application/vnd.test.signature';
    await writeFile(join(folder, 'notes.txt'), 'what was written down');
    await writeFile(join(folder, 'notes.sig'), 'signed');
    await oras(folder, 'push', '--artifact-type', 'application/vnd.test.notes', reference, 'notes.txt:text/plain');
    const asAttached = ['--format', 'json', '--artifact-type', kind, '--annotation', 'by=test', reference];
    const { digest } = JSON.parse(await oras(folder, 'attach', ...asAttached, 'notes.sig:text/plain')) as {
      digest: string;
    };
    // Where a registry lists what is attached, oras keeps no list of its own under a tag.
    expect(await tagsOf('team/files')).toMatchObject({ tags: ['1'] });
    const attached = [{ digest, artifactType: kind }];
    expect(await orasDiscover(folder, reference)).toEqual(attached);
    // Through another node, a client finds and gets the same.
    const elsewhere = `${node.facade}/${UPSTREAM}/team/files`;
    expect(await orasDiscover(folder, `${elsewhere}:1`)).toEqual(attached);
    await oras(folder, 'pull', '--output', 'pulled', `${elsewhere}:1`);
    await oras(folder, 'pull', '--output', 'pulled', `${elsewhere}@${digest}`);
    expect(await readFile(join(folder, 'pulled', 'notes.txt'), 'utf8')).toBe('what was written down');
    expect(await readFile(join(folder, 'pulled', 'notes.sig'), 'utf8')).toBe('signed');
    await oras(folder, 'manifest', 'delete', '--force', `${seed.facade}/team/files@${digest}`);
    expect(await orasDiscover(folder, reference)).toEqual([]);
  });

  test('what was pushed lies on disk once', async () => {
    const image = makeRandomImage(6 * MIB);
    await pushImage(`${seed.facade}/team/once:1`, image);
    const [layer] = image.layers;
    const hex = layer?.digest.slice('sha256:'.length) ?? '';
    const content = join(folder, 'seed', 'content');
    const path = join(content, 'blobs', 'sha256', hex.slice(0, 2), hex);
    expect((await stat(path)).size).toBe(layer?.bytes.length);
    expect(await readdir(join(content, 'uploads'))).toEqual([]);
    expect(await readdir(join(content, 'incoming'))).toEqual([]);
  });

  test('a second node pulls it and gets the bytes of its layers from the seed as a peer', async () => {
    const image = makeRandomImage(9 * MIB, 700_000);
    await pushImage(`${seed.facade}/team/spread:1`, image);
    const before = await node.metric('dockyard_received_bytes_total', { source: 'peer' });
    const source = `docker://${node.facade}/${UPSTREAM}/team/spread:1`;
    const options = ['copy', '--insecure-policy', '--src-tls-verify=false', source, `dir:${join(folder, 'spread')}`];
    await mustRun('skopeo', options);
    const received = (await node.metric('dockyard_received_bytes_total', { source: 'peer' })) - before;
    // A node that is home to a layer reads its registry until the first peer has told what it has.
    expect(received).toBeGreaterThan(0.75 * layerBytes(image));
    expect(await seed.metric('dockyard_served_bytes_total', { to: 'peer' })).toBeGreaterThanOrEqual(received);
  });

  test.skipIf(!hasDockerd)('docker pulls, tags and pushes', async () => {
    const image = makeRandomImage(3 * MIB, 40_000);
    await pushImage(`${seed.facade}/docker/app:1`, image);
    await using dockerd = await TestDockerd.open();
    const must = async (...args: string[]): Promise<string> => {
      const { exitCode, output } = await dockerd.docker(...args);
      expect(exitCode, output).toBe(0);
      return output;
    };
    const [from, to] = [`${seed.facade}/docker/app:1`, `${seed.facade}/docker/copy/of/app:2`];
    await must('pull', from);
    await must('tag', from, to);
    await must('push', to);
    expect(await tagsOf('docker/copy/of/app')).toMatchObject({ tags: ['2'] });
    await must('rmi', '--force', image.config.digest);
    await must('pull', to);
    expect(await must('images', '--quiet', '--no-trunc')).toContain(image.config.digest);
  });

  test.skipIf(!hasContainerd)('ctr pulls, tags and pushes', async () => {
    const image = makeRandomImage(3 * MIB, 40_000);
    await pushImage(`${seed.facade}/ctr/app:1`, image);
    await using containerd = await TestContainerd.open();
    const [from, to] = [`${seed.facade}/ctr/app:1`, `${seed.facade}/ctr/other:2`];
    for (const args of [
      ['images', 'pull', '--plain-http', from],
      ['images', 'tag', from, to],
      ['images', 'push', '--plain-http', to],
    ]) {
      const { exitCode, output } = await containerd.ctr(...args);
      expect(exitCode, output).toBe(0);
    }
    expect(await tagsOf('ctr/other')).toMatchObject({ tags: ['2'] });
    const manifest = await fetch(`http://${seed.facade}/v2/ctr/other/manifests/2`);
    expect(manifest.headers.get('docker-content-digest')).toBe(image.manifest.digest);
  });

  test.skipIf(storageClients.length === 0).each(storageClients.map((program) => [program]))(
    '%s pulls, tags and pushes',
    async (program) => {
      const image = makeRandomImage(2 * MIB, 40_000);
      await pushImage(`${seed.facade}/${program}/app:1`, image);
      const root = join(folder, program);
      const storage = ['--root', join(root, 'root'), '--runroot', join(root, 'run'), '--storage-driver', 'vfs'];
      const [from, to] = [`${seed.facade}/${program}/app:1`, `${seed.facade}/${program}/copy:2`];
      for (const args of [
        ['pull', '--tls-verify=false', from],
        ['tag', from, to],
        ['push', '--tls-verify=false', to],
      ]) {
        const { exitCode, output } = await run(program, [...storage, ...args]);
        expect(exitCode, output).toBe(0);
      }
      expect(await tagsOf(`${program}/copy`)).toMatchObject({ tags: ['2'] });
    },
  );

  test('a push through a plain node reaches the seed, and is pulled through that node under the same name', async () => {
    const to = ['--upstream', `${UPSTREAM}=http://${seed.facade}`, '--push-to', UPSTREAM];
    await using through = await NodeProcess.start([
      ...['--data', join(folder, 'through'), ...to],
      ...['--bootstrap', await seed.swarm()],
    ]);
    const [first, second] = [makeRandomImage(3 * MIB), makeRandomImage(1 * MIB, 1000)];
    for (const image of [first, second]) {
      await pushImage(`${through.facade}/passed/on/app:latest`, image);
      for (const path of [`${seed.facade}/v2/passed/on/app`, `${through.facade}/v2/passed/on/app`]) {
        const { headers } = await fetch(`http://${path}/manifests/latest`);
        expect(headers.get('docker-content-digest')).toBe(image.manifest.digest);
      }
    }
    const source = `docker://${through.facade}/passed/on/app:latest`;
    const options = ['copy', '--insecure-policy', '--src-tls-verify=false', source, `dir:${join(folder, 'passed')}`];
    await mustRun('skopeo', options);
    if (!hasDockerd) return;
    await using dockerd = await TestDockerd.open();
    const [from, copy] = [`${through.facade}/passed/on/app:latest`, `${through.facade}/passed/on/copy:2`];
    for (const args of [
      ['pull', from],
      ['tag', from, copy],
      ['push', copy],
      ['push', copy],
    ]) {
      const { exitCode, output } = await dockerd.docker(...args);
      expect(exitCode, output).toBe(0);
    }
    expect(await tagsOf('passed/on/copy')).toMatchObject({ tags: ['2'] });
  });

  test('a blob that was lost from the disk of a seed comes back from a peer, and is kept again', async () => {
    const image = makeRandomImage(3 * MIB);
    const [layer] = image.layers;
    if (layer === undefined) throw new TypeError('an image has a layer');
    const data = join(folder, 'lossy');
    const first = await NodeProcess.startSeed(['--data', data]);
    await pushImage(`${first.facade}/team/lossy:1`, image);
    await using peer = await NodeProcess.start([
      ...['--data', join(folder, 'peer'), '--upstream', `lossy.test=http://${first.facade}`],
      ...['--bootstrap', await first.swarm()],
    ]);
    const source = `docker://${peer.facade}/lossy.test/team/lossy:1`;
    const options = [
      'copy',
      '--insecure-policy',
      '--src-tls-verify=false',
      source,
      `dir:${join(folder, 'lossy-copy')}`,
    ];
    await mustRun('skopeo', options);
    await first[Symbol.asyncDispose]();
    const hex = layer.digest.slice('sha256:'.length);
    const file = join(data, 'content', 'blobs', 'sha256', hex.slice(0, 2), hex);
    await rm(file);
    await using second = await NodeProcess.startSeed(['--data', data, '--bootstrap', await peer.swarm()]);
    await second.untilMembers(2);
    const path = `http://${second.facade}/v2/team/lossy/blobs/${layer.digest}`;
    expect((await fetch(path, { method: 'HEAD' })).status).toBe(404);
    const came = Buffer.from(await (await fetch(path)).arrayBuffer());
    expect(came.equals(layer.bytes)).toBe(true);
    await until('it is of record again', async () => (await fetch(path, { method: 'HEAD' })).status === 200);
    expect((await stat(file)).mode & 0o200).toBe(0);
  });

  test('what was pushed is there after the seed was killed and started again', async () => {
    const image = makeRandomImage(2 * MIB);
    const data = join(folder, 'killed');
    const first = await NodeProcess.startSeed(['--data', data]);
    await pushImage(`${first.facade}/team/kept:1`, image);
    await first[Symbol.asyncDispose]();
    await using second = await NodeProcess.startSeed(['--data', data]);
    const options = ['copy', '--insecure-policy', '--src-tls-verify=false'];
    await mustRun('skopeo', [...options, `docker://${second.facade}/team/kept:1`, `dir:${join(folder, 'kept')}`]);
    expect(second.log().filter(({ level }) => Number(level) >= 40)).toEqual([]);
  });
});
