/** What is pushed to a seed is at once in the swarm: nodes that know no way to its registry get it by digest alone. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { seededBytes } from '../contract/blob-store-fixtures.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { until } from '../support/programs.ts';
import { blobDigestAt, seedDrivers, SeedPlace } from '../support/seed-place.ts';

const MIB = 1024 * 1024;
const NAME = 'team/app';
/** A push is told of within this time. */
const AT_ONCE_MS = 5000;

/** Pushes a blob in two chunks, as clients do that do not know its length. */
async function pushBlob(base: string, name: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes);
  const url = async (answer: Response): Promise<string> => {
    await answer.arrayBuffer();
    return `http://${base}${answer.headers.get('location') ?? ''}`;
  };
  const half = Math.floor(bytes.length / 2);
  let location = await url(await fetch(`http://${base}/v2/${name}/blobs/uploads/`, { method: 'POST' }));
  for (const part of [bytes.subarray(0, half), bytes.subarray(half)])
    location = await url(await fetch(location, { method: 'PATCH', body: new Uint8Array(part) }));
  const done = await fetch(`${location}?digest=${digest}`, { method: 'PUT' });
  expect(done.status, await done.text()).toBe(201);
  return digest;
}

/** Asks until it is there, and answers its digest. */
async function fetchBlob(node: NodeProcess, digest: Digest): Promise<Digest> {
  const find = async (): Promise<Digest | undefined> => await blobDigestAt(node.facade, NAME, digest);
  return await until('the blob is found in the swarm', find, AT_ONCE_MS);
}

describe.for(seedDrivers())('a seed with storage on $driver', ({ driver, isReady }) => {
  let place: SeedPlace;
  let seed: NodeProcess;
  let node: NodeProcess;

  beforeAll(async () => {
    if (!isReady) return;
    place = await SeedPlace.open(driver);
    seed = await place.startSeed();
    node = await place.startNode(seed);
  });

  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await seed?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
  });

  test.skipIf(!isReady).each([
    ['small', 10_000],
    ['of one part', 3 * MIB + 1],
    ['of several parts', 13 * MIB + 5],
  ])('a %s blob is in the swarm as soon as it is pushed', async (what, sizeBytes) => {
    const bytes = seededBytes(sizeBytes, sizeBytes);
    const digest = await pushBlob(seed.facade, NAME, bytes);
    const before = await node.metric('dockyard_received_bytes_total', { source: 'peer' });
    expect(await fetchBlob(node, digest), what).toBe(digest);
    expect((await node.metric('dockyard_received_bytes_total', { source: 'peer' })) - before).toBe(sizeBytes);
  });

  test.skipIf(!isReady)('what a seed holds is in the swarm again after its restart', async () => {
    const bytes = seededBytes(7 * MIB, 99);
    const digest = await pushBlob(seed.facade, NAME, bytes);
    await seed[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
    seed = await place.startSeed();
    node = await place.startNode(seed, 'second-node');
    expect(await fetchBlob(node, digest)).toBe(digest);
    expect(await seed.metric('dockyard_served_bytes_total', { to: 'peer' })).toBeGreaterThanOrEqual(bytes.length);
  });

  // On a disk they are in the index of the store, with tests of its own.
  if (driver !== 's3') return;
  test.skipIf(!isReady)('piece hashes that the bucket lost are found again', async () => {
    const bytes = seededBytes(2 * MIB, 5);
    const digest = await pushBlob(seed.facade, NAME, bytes);
    const pieces = `seed/pieces/${digest.replace(':', '/')}`;
    const isThere = async (): Promise<boolean> => (await place.bucket?.keys(pieces))?.length === 1;
    expect(await isThere()).toBe(true);
    await place.bucket?.delete(pieces);
    expect(await fetchBlob(node, digest)).toBe(digest);
    expect(await isThere()).toBe(true);
  });
});
