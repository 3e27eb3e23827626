/** Images that have something in common: layers, or an index. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { requirement } from '../skip-reasons.ts';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import { requireDockerRegistry, startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts';
import { requireDockerd, TestDockerd } from '../support/dockerd-process.ts';
import {
  blobsOf,
  HOST_ARCHITECTURE,
  makeImage,
  makeIndex,
  makeLayer,
  makeRandomImage,
  pushImage,
} from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, mustRun, run, until } from '../support/programs.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'registry.test';
const OTHER_ARCHITECTURES = ['ppc64le', 's390x'];

const hasPrograms = [
  requireDockerRegistry(),
  requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo'),
].every(Boolean);
const hasContainerd = requireContainerd();
const hasDockerd = requireDockerd();

describe.skipIf(!hasPrograms)('images through two nodes', () => {
  let folder = '';
  let registry: DockerRegistry;
  let first: NodeProcess;
  let second: NodeProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-images-'));
    registry = await startDockerRegistry(folder);
    const upstream = ['--upstream', `${UPSTREAM}=${registry.url}`];
    first = await NodeProcess.start(['--data', join(folder, 'a'), ...upstream]);
    const bootstrap = ['--bootstrap', await first.swarm()];
    second = await NodeProcess.start(['--data', join(folder, 'b'), ...bootstrap, ...upstream]);
    await Promise.all([first.untilMembers(2), second.untilMembers(2)]);
  });

  afterAll(async () => {
    await second?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** How often a blob was asked of the origin. */
  function readsOf(digest: string): number {
    return registry.requests().filter(({ method, path }) => method === 'GET' && path.endsWith(`/blobs/${digest}`))
      .length;
  }

  async function untilRead(digests: readonly string[]): Promise<void> {
    await until('the registry has told of every blob', () => digests.every((digest) => readsOf(digest) > 0));
  }

  async function copyImage(node: NodeProcess, name: string, ...options: string[]): Promise<string> {
    const target = await mkdtemp(join(folder, 'copied-'));
    const common = ['copy', '--insecure-policy', '--src-tls-verify=false', ...options];
    await mustRun('skopeo', [...common, `docker://${node.facade}/${UPSTREAM}/${name}`, `dir:${target}`]);
    return target;
  }

  test('a layer that two images share leaves the origin once, whichever node and image it is pulled for', async () => {
    const shared = makeLayer(6 * MIB);
    const images = [makeImage([shared, makeLayer(2 * MIB)]), makeImage([shared, makeLayer(400_000)])];
    for (const [index, image] of images.entries())
      await pushImage(`127.0.0.1:${registry.port}/shared/app-${index}:1`, image);
    await copyImage(first, 'shared/app-0:1');
    await copyImage(second, 'shared/app-1:1');
    await copyImage(second, 'shared/app-0:1');
    await copyImage(first, 'shared/app-1:1');
    const digests = [...new Set(images.flatMap(blobsOf))];
    await untilRead(digests);
    expect(digests.map(readsOf)).toEqual(digests.map(() => 1));
  });

  test('an image that both nodes are asked for at the same time leaves the origin once', async () => {
    const image = makeRandomImage(12 * MIB, MIB, 2_000);
    await pushImage(`127.0.0.1:${registry.port}/joint/app:1`, image);
    await Promise.all([copyImage(first, 'joint/app:1'), copyImage(second, 'joint/app:1')]);
    await untilRead(blobsOf(image));
    expect(blobsOf(image).map(readsOf)).toEqual(blobsOf(image).map(() => 1));
    const received = async (node: NodeProcess, source: string): Promise<number> =>
      await node.metric('dockyard_received_bytes_total', { source });
    expect(await received(first, 'peer')).toBeGreaterThan(0);
    expect(await received(second, 'peer')).toBeGreaterThan(0);
  });

  describe('a multi-arch index', () => {
    const images = [HOST_ARCHITECTURE, ...OTHER_ARCHITECTURES].map((architecture, index) =>
      makeImage([makeLayer(MIB + index)], architecture),
    );
    const index = makeIndex(images);
    const [own, ...others] = images;

    beforeAll(async () => {
      await pushImage(`127.0.0.1:${registry.port}/multi/app:1`, images, index);
    });

    test.skipIf(!hasDockerd)('docker pulls its own platform, and no blob of another', async () => {
      await using dockerd = await TestDockerd.open();
      const { exitCode, output } = await dockerd.docker('pull', `${first.facade}/${UPSTREAM}/multi/app:1`);
      expect(exitCode, output).toBe(0);
      expect(output).toContain(index.digest);
      const ids = await dockerd.docker('images', '--quiet', '--no-trunc');
      expect(ids.output.trim()).toBe(own?.config.digest);
      expect(others.flatMap(blobsOf).map(readsOf)).toEqual(others.flatMap(blobsOf).map(() => 0));
    });

    test.skipIf(!hasContainerd)('containerd pulls its own platform, by the digest of the index', async () => {
      await using containerd = await TestContainerd.open();
      const reference = `${UPSTREAM}/multi/app@${index.digest}`;
      const { exitCode, output } = await containerd.pull(reference, [`http://${second.facade}`]);
      expect(exitCode, output).toBe(0);
      for (const digest of own === undefined ? [] : blobsOf(own)) {
        expect(await containerd.digestOfHeld(digest)).toBe(digest);
      }
      expect(others.flatMap(blobsOf).map(readsOf)).toEqual(others.flatMap(blobsOf).map(() => 0));
    });

    test('skopeo --all copies every platform, byte for byte, and each blob leaves the origin once', async () => {
      const target = await copyImage(second, 'multi/app:1', '--all', '--preserve-digests');
      const files = await readdir(target);
      const wanted = images.flatMap((image) => [image.manifest.digest, ...blobsOf(image)]);
      const held = files.map((name) => `sha256:${name.replace('.manifest.json', '')}`);
      expect(held).toEqual(expect.arrayContaining(wanted));
      await untilRead(images.flatMap(blobsOf));
      expect(images.flatMap(blobsOf).map(readsOf)).toEqual(images.flatMap(blobsOf).map(() => 1));
    });

    test('every document is answered exactly as it was pushed, with its own type', async () => {
      for (const { bytes, digest } of [index, ...images.map(({ manifest }) => manifest)]) {
        const answer = await fetch(`http://${first.facade}/v2/multi/app/manifests/${digest}?ns=${UPSTREAM}`);
        const body = Buffer.from(await answer.arrayBuffer());
        expect(body.equals(bytes)).toBe(true);
        expect(digestOf(body)).toBe(digest);
        expect(answer.headers.get('content-type')).toBe(
          (JSON.parse(bytes.toString()) as { mediaType: string }).mediaType,
        );
      }
    });

    test('a platform that the index does not have is refused by the client, not by the node', async () => {
      const source = `docker://${first.facade}/${UPSTREAM}/multi/app:1`;
      const { exitCode, output } = await run('skopeo', [
        ...['--override-arch', 'riscv64', '--insecure-policy'],
        ...['inspect', '--tls-verify=false', source],
      ]);
      expect(exitCode).not.toBe(0);
      expect(output).toMatch(/no image found in (manifest list|image index) for architecture riscv64/);
    });
  });
});
