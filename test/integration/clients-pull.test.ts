/**
 * Every client pulls the same way twice through one node, and then through a second node while the origin is gone.
 * The origin is Debian's docker-registry; it says itself which blobs were asked of it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { requireDockerRegistry, startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts';
import { blobsOf, layerBytes, makeRandomImage, pushImage, type Image } from '../support/image-builder.ts';
import { IMAGE_CLIENTS, type ImageClient } from '../support/image-clients.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, until } from '../support/programs.ts';

const UPSTREAM = 'registry.test';
const MIB = 1024 * 1024;

const hasOrigin =
  requireDockerRegistry() &&
  requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');
const kinds = IMAGE_CLIENTS.map((kind, index) => ({
  kind,
  name: `team/app-${index}:1`,
  isThere: kind.isAvailable(),
}));

describe.skipIf(!hasOrigin)('real clients', () => {
  let folder = '';
  let registry: DockerRegistry;
  let first: NodeProcess;
  let second: NodeProcess;
  const images = new Map<string, Image>();
  const clients = new Map<string, ImageClient>();

  /** A tag is asked anew on every pull, as after its time to live. */
  const options = (): string[] => [
    ...['--tags-ttl', '0s'],
    ...['--upstream', `docker.io=${registry.url}`, '--upstream', `${UPSTREAM}=${registry.url}`],
  ];

  function imageOf(name: string): Image {
    const image = images.get(name);
    if (image === undefined) throw new Error(`${name} was not pushed`);
    return image;
  }

  async function clientOf(name: string): Promise<ImageClient> {
    const kind = kinds.find((entry) => entry.name === name)?.kind;
    const client = clients.get(name) ?? (await kind?.open(UPSTREAM));
    if (client === undefined) throw new Error(`there is no client for ${name}`);
    clients.set(name, client);
    return client;
  }

  /** How often each blob of an image was asked of the origin. */
  function blobReads(image: Image): number[] {
    const paths = registry.requests().filter(({ method }) => method === 'GET');
    return blobsOf(image).map((digest) => paths.filter(({ path }) => path.endsWith(`/blobs/${digest}`)).length);
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-pull-'));
    registry = await startDockerRegistry(folder);
    for (const { name, isThere } of kinds) {
      if (!isThere) continue;
      const image = makeRandomImage(8 * MIB, 500_000, 5_000);
      await pushImage(`127.0.0.1:${registry.port}/${name}`, image);
      images.set(name, image);
    }
    first = await NodeProcess.start(['--data', join(folder, 'a'), ...options()]);
  });

  afterAll(async () => {
    await Promise.all([...clients.values()].map((client) => client[Symbol.asyncDispose]()));
    await second?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  describe.each(kinds)('$kind.title', ({ name, isThere }) => {
    test.skipIf(!isThere)('pulls an image, whose blobs leave the origin once', async () => {
      const image = imageOf(name);
      const client = await clientOf(name);
      const { exitCode, output } = await client.pull(first.facade, name);
      expect(exitCode, output).toBe(0);
      expect(await client.has(image)).toBe(true);
      await until('the registry has told of every blob', () => blobReads(image).every((count) => count > 0));
      expect(blobReads(image)).toEqual(blobsOf(image).map(() => 1));
    });

    test.skipIf(!isThere)('pulls it again without a blob from the origin', async () => {
      const image = imageOf(name);
      const client = await clientOf(name);
      const before = await first.metric('dockyard_received_bytes_total');
      await client.forget();
      expect(await client.has(image)).toBe(false);
      const { exitCode, output } = await client.pull(first.facade, name);
      expect(exitCode, output).toBe(0);
      expect(await client.has(image)).toBe(true);
      expect(blobReads(image)).toEqual(blobsOf(image).map(() => 1));
      expect(await first.metric('dockyard_received_bytes_total')).toBe(before);
    });
  });

  describe('with the origin gone', () => {
    beforeAll(async () => {
      await registry.stop();
      const bootstrap = ['--bootstrap', await first.swarm()];
      second = await NodeProcess.start(['--data', join(folder, 'b'), ...bootstrap, ...options()]);
      await second.untilMembers(2);
    });

    test.for(kinds)(
      '$kind.title pulls from a peer, by a tag that is marked stale',
      async ({ kind, name, isThere }, context) => {
        if (!isThere) return context.skip();
        const image = imageOf(name);
        const client = await clientOf(name);
        const before = await second.metric('dockyard_received_bytes_total', {
          source: 'peer',
        });
        await client.forget();
        const { exitCode, output } = await client.pull(second.facade, name);
        expect(exitCode, output).toBe(0);
        expect(await client.has(image)).toBe(true);
        const came =
          (await second.metric('dockyard_received_bytes_total', {
            source: 'peer',
          })) - before;
        expect(came).toBe(layerBytes(image) + image.config.bytes.length);
        const upstream = kind.fixedUpstream ?? UPSTREAM;
        const manifest = await fetch(`http://${second.facade}/v2/${name.replace(':', '/manifests/')}?ns=${upstream}`);
        expect(manifest.headers.get('docker-content-digest')).toBe(image.manifest.digest);
        expect(manifest.headers.get('dockyard-stale')).toMatch(/^\d+$/);
      },
    );

    test('no byte of a blob comes from the origin, and stale tags are counted', async () => {
      expect(
        await second.metric('dockyard_received_bytes_total', {
          source: 'origin',
        }),
      ).toBe(0);
      expect(await second.metric('dockyard_manifests_stale_total')).toBeGreaterThan(0);
    });
  });
});
