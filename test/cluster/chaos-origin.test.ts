/**
 * A registry on a bad day, before two real nodes that pull the same blob at once. What passes by costs time; what does not ends in
 * an error that says so; and a tag that moves in the middle of a pull moves nothing under the client.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import {
  pushBlob,
  pushManifest,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { FaultyRegistry, type Fault } from './faulty-registry.ts';
import { LeakWatch } from './leak-watch.ts';
import { LoopbackNode } from './loopback-node.ts';
import { tellMs } from './figures.ts';
import { requestOnce } from './single-request.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'chaos.test';
const REPOSITORY = 'team/app';
const BLOB_BYTES = 3 * MIB;
const SMALL_BYTES = 50_000;
const EARLY_BYTES = 100_000;
const STALL_TIMEOUT = '500ms';
/** For the first word on an origin that says nothing: three stalls of who reads it, and three of who followed. */
const MAX_REFUSAL_MS = 8_000;
/** Without a stall. */
const AT_ONCE_MS = 400;

const FAULTS: readonly (readonly [string, Fault])[] = [
  ['says nothing', { kind: 'silent' }],
  ['stalls in the middle', { kind: 'stall', afterBytes: EARLY_BYTES }],
  ['resets the connection in the middle', { kind: 'reset', afterBytes: EARLY_BYTES }],
  ['ends the body short', { kind: 'truncate', afterBytes: EARLY_BYTES }],
  ['gives wrong bytes', { kind: 'wrong-bytes', afterBytes: EARLY_BYTES }],
  ['answers 429', { kind: 'status', status: 429 }],
  ['answers 500', { kind: 'status', status: 500 }],
  ['answers 503', { kind: 'status', status: 503 }],
];

describe.skipIf(!requireDockerRegistry())('an origin', () => {
  let folder: string;
  let registry: DockerRegistry;
  let origin: FaultyRegistry;
  let nodes: LoopbackNode[];
  let watches: LeakWatch[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-chaos-'));
    registry = await startDockerRegistry(folder);
    origin = await FaultyRegistry.open(registry.url);
    const config = join(folder, 'node.yml');
    await writeFile(
      config,
      JSON.stringify({
        upstreams: { [UPSTREAM]: { url: origin.url, connectTimeout: STALL_TIMEOUT, stallTimeout: STALL_TIMEOUT } },
        tags: { ttl: '0s' },
      }),
    );
    const args = ['--config', config, '--transfer-linger', '200ms'];
    const first = await LoopbackNode.start(folder, 'a', args);
    const second = await LoopbackNode.start(folder, 'b', [...args, '--bootstrap', await first.process.swarm()]);
    nodes = [first, second];
    for (const { process } of nodes) await process.untilMembers(2);
    for (let count = 0; count < 4; count += 1) await pullEverywhere(await pushNew(BLOB_BYTES));
    watches = await Promise.all(nodes.map(async (node) => await LeakWatch.begin(node)));
  });

  afterEach(async () => {
    await Promise.all(watches.map(async (watch) => await watch.expectNothingLeft(1)));
  });

  afterAll(async () => {
    for (const { process } of nodes ?? []) await process[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function pushNew(sizeBytes: number): Promise<string> {
    return await pushBlob(registry.url, REPOSITORY, randomBytes(sizeBytes));
  }

  /** What a client of a node gets: the digest of the whole, or how it was told that there is none. */
  async function pull({ process: { facade } }: LoopbackNode, digest: string): Promise<string> {
    const { status, body } = await requestOnce(`http://${facade}/v2/${REPOSITORY}/blobs/${digest}?ns=${UPSTREAM}`);
    if (body === undefined) return 'ended short';
    return status === 200 ? digestOf(body) : `${status} ${body.toString()}`;
  }

  async function pullEverywhere(digest: string): Promise<string[]> {
    return await Promise.all(nodes.map(async (node) => await pull(node, digest)));
  }

  test.each(FAULTS.filter(([, { kind }]) => kind !== 'wrong-bytes'))(
    'that %s twice costs time and nothing else',
    async (_what, fault) => {
      const startedAtMs = performance.now();
      const before = origin.faultCount;
      const digests = await Promise.all([pushNew(BLOB_BYTES), pushNew(SMALL_BYTES)]);
      const [large, small] = digests;
      origin.plan(large, fault, 2);
      if (fault.kind === 'silent' || fault.kind === 'status') origin.plan(small, fault, 2);
      const pulled = await Promise.all(digests.map(pullEverywhere));
      tellMs('delivered after', performance.now() - startedAtMs);
      expect(pulled).toEqual(digests.map((digest) => [digest, digest]));
      expect(origin.faultCount).toBeGreaterThan(before + 1);
    },
  );

  test('that answers so for good gives clear errors, and works when its day is better', async () => {
    const startedAtMs = performance.now();
    const planned = await Promise.all(FAULTS.map(async ([, fault]) => ({ digest: await pushNew(BLOB_BYTES), fault })));
    // From the first byte of every answer on: a read that is resumed would come to its end in many small steps.
    for (const { digest, fault } of planned) origin.plan(digest, { ...fault, afterBytes: 0 } as Fault, Infinity);
    const well = await pushNew(BLOB_BYTES);
    const pulled = planned.map(async ({ digest, fault }) => {
      const told = await pullEverywhere(digest);
      tellMs(
        `${fault.kind}: ${told.map((text) => text.slice(0, 11)).join(', ')} after`,
        performance.now() - startedAtMs,
      );
      return told;
    });
    // Who asks for what the origin does give gets it meanwhile.
    expect(await pullEverywhere(well)).toEqual([well, well]);
    for (const told of (await Promise.all(pulled)).flat())
      expect(told).toMatch(/^(ended short|50[23] \{"errors":\[\{"code":"[A-Z_]+")/);
    for (const { digest, fault } of planned) origin.plan(digest, fault, 0);
    for (const { digest } of planned)
      await expect.poll(async () => await pullEverywhere(digest), { timeout: 20_000 }).toEqual([digest, digest]);
  });

  test('that says nothing to anybody is told of in bounded time, then at once, and asked again when it may be well', async () => {
    const digests = await Promise.all(Array.from({ length: 4 }, async () => await pushNew(BLOB_BYTES)));
    for (const digest of digests) origin.plan(digest, { kind: 'silent' }, Infinity);
    const startedAtMs = performance.now();
    const refuse = async (): Promise<number> => {
      const askedAtMs = performance.now();
      for (const told of (await Promise.all(digests.map(pullEverywhere))).flat())
        expect(told).toMatch(/^503 \{"errors":\[\{"code":"UNAVAILABLE"/);
      return performance.now() - askedAtMs;
    };
    const firstMs = await refuse();
    tellMs('first refused after', firstMs);
    expect(firstMs).toBeLessThan(MAX_REFUSAL_MS);
    await expect.poll(refuse, { timeout: 60_000 }).toBeLessThan(AT_ONCE_MS);
    tellMs('refused at once after', performance.now() - startedAtMs);
    for (const digest of digests) origin.plan(digest, { kind: 'silent' }, 0);
    const wellAtMs = performance.now();
    const expected = digests.map((digest) => [digest, digest]);
    await expect
      .poll(async () => await Promise.all(digests.map(pullEverywhere)), { timeout: 20_000 })
      .toEqual(expected);
    tellMs('everything after', performance.now() - wellAtMs);
  });

  test('that moves a tag in the middle of a pull moves nothing under the client', async () => {
    const [first, second] = [await pushImage('latest'), await pushNew(BLOB_BYTES)];
    const [node] = nodes;
    if (node === undefined) throw new Error('two nodes were started');
    const manifest = await getManifest(node);
    expect(manifest).toEqual(first);
    const [layer = '', ...rest] = layersOf(manifest);
    expect(await pull(node, layer)).toBe(layer);
    const moved = await pushImage('latest', [second]);
    for (const digest of rest) expect(await pullEverywhere(digest)).toEqual([digest, digest]);
    for (const each of nodes) expect(await getManifest(each)).toEqual(moved);
    expect(await pullEverywhere(second)).toEqual([second, second]);
  });

  /** Pushes an image of layers, by default of two new ones; answers its manifest. */
  async function pushImage(tag: string, given?: readonly string[]): Promise<Buffer> {
    const layers = given ?? [await pushNew(BLOB_BYTES), await pushNew(SMALL_BYTES)];
    const config = Buffer.from(`{"created":"${layers.join(' ')}"}`);
    const describe = (mediaType: string, digest: string, size: number): object => ({ mediaType, digest, size });
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: describe(MEDIA_TYPES.ociConfig, await pushBlob(registry.url, REPOSITORY, config), config.length),
      layers: layers.map((digest, index) =>
        describe(MEDIA_TYPES.ociLayerGzip, digest, index === 0 ? BLOB_BYTES : SMALL_BYTES),
      ),
    };
    const bytes = Buffer.from(JSON.stringify(document));
    await pushManifest(registry.url, REPOSITORY, tag, MEDIA_TYPES.ociManifest, bytes);
    return bytes;
  }

  async function getManifest({ process: { facade } }: LoopbackNode): Promise<Buffer> {
    const headers = { accept: MEDIA_TYPES.ociManifest };
    const { body } = await requestOnce(`http://${facade}/v2/${REPOSITORY}/manifests/latest?ns=${UPSTREAM}`, headers);
    return body ?? Buffer.alloc(0);
  }

  function layersOf(manifest: Buffer): string[] {
    const { layers } = JSON.parse(manifest.toString()) as { layers: { digest: string }[] };
    return layers.map(({ digest }) => digest);
  }
});
