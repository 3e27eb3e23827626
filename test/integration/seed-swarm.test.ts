/** What is pushed to a seed is at once in the swarm: nodes that know no way to its registry get it by digest alone. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { seededBytes } from '../contract/blob-store-fixtures.ts';
import { requirement } from '../skip-reasons.ts';
import { NodeProcess } from '../support/node-process.ts';
import { until } from '../support/programs.ts';
import { hasS3Server, S3_SERVER_REMEDY, startS3Server, type S3Server } from '../support/s3-server.ts';

const MIB = 1024 * 1024;
/** A push is told of within this time. */
const AT_ONCE_MS = 5000;
const hasS3 = requirement('versitygw', hasS3Server, S3_SERVER_REMEDY);

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
async function fetchBlob(node: NodeProcess, name: string, digest: Digest): Promise<Digest> {
  const bytes = await until(
    'the blob is found in the swarm',
    async () => {
      const answer = await fetch(`http://${node.facade}/v2/${name}/blobs/${digest}`);
      const body = Buffer.from(await answer.arrayBuffer());
      return answer.status === 200 ? body : undefined;
    },
    AT_ONCE_MS,
  );
  return digestOf(bytes);
}

/** A node whose only upstream is not there. */
async function startNode(folder: string, seed: NodeProcess): Promise<NodeProcess> {
  const upstream = ['--upstream', 'nowhere.test=http://127.0.0.1:1'];
  const node = await NodeProcess.start(['--data', folder, ...upstream, '--bootstrap', await seed.swarm()]);
  await Promise.all([seed.untilMembers(2), node.untilMembers(2)]);
  return node;
}

describe.for([
  { driver: 'filesystem', isReady: true },
  { driver: 's3', isReady: hasS3 },
])('a seed with storage on $driver', ({ driver, isReady }) => {
  let folder = '';
  let server: S3Server | undefined;
  let seed: NodeProcess;
  let node: NodeProcess;

  const startSeed = async (): Promise<NodeProcess> => {
    const s3 = {
      ...(server === undefined ? {} : { endpoint: server.endpoint }),
      bucket: 'swarm',
      pathStyle: true,
      accessKey: 'test-key',
      secretKey: 'test-secret',
      partSize: '5MiB',
    };
    const storage = server === undefined ? {} : { storage: { driver, s3 } };
    await writeFile(join(folder, 'seed.yaml'), JSON.stringify({ ...storage, push: { names: ['**'] } }));
    return await NodeProcess.startSeed(['--config', join(folder, 'seed.yaml'), '--data', join(folder, 'seed')]);
  };

  beforeAll(async () => {
    if (!isReady) return;
    folder = await mkdtemp(join(tmpdir(), 'dockyard-seed-swarm-'));
    if (driver === 's3') {
      server = await startS3Server();
      await server.makeBucket('swarm');
    }
    seed = await startSeed();
    node = await startNode(join(folder, 'node'), seed);
  });

  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await seed?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    if (folder !== '') await rm(folder, { recursive: true, force: true });
  });

  test.skipIf(!isReady).each([
    ['small', 10_000],
    ['of one part', 3 * MIB + 1],
    ['of several parts', 13 * MIB + 5],
  ])('a %s blob is in the swarm as soon as it is pushed', async (what, sizeBytes) => {
    const bytes = seededBytes(sizeBytes, sizeBytes);
    const digest = await pushBlob(seed.facade, 'team/app', bytes);
    const before = await node.metric('dockyard_received_bytes_total', { source: 'peer' });
    expect(await fetchBlob(node, 'team/app', digest), what).toBe(digest);
    expect((await node.metric('dockyard_received_bytes_total', { source: 'peer' })) - before).toBe(sizeBytes);
  });

  test.skipIf(!isReady)('what a seed holds is in the swarm again after its restart', async () => {
    const bytes = seededBytes(7 * MIB, 99);
    const digest = await pushBlob(seed.facade, 'team/app', bytes);
    await seed[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
    seed = await startSeed();
    node = await startNode(join(folder, 'second-node'), seed);
    expect(await fetchBlob(node, 'team/app', digest)).toBe(digest);
    expect(await seed.metric('dockyard_served_bytes_total', { to: 'peer' })).toBeGreaterThanOrEqual(bytes.length);
  });

  // On a disk they are in the index of the store, with tests of its own.
  if (driver !== 's3') return;
  test.skipIf(!isReady)('piece hashes that the bucket lost are found again', async () => {
    const bytes = seededBytes(2 * MIB, 5);
    const digest = await pushBlob(seed.facade, 'team/app', bytes);
    const pieces = join(server?.bucketFolder('swarm') ?? '', 'pieces', 'sha256');
    const hex = digest.slice('sha256:'.length);
    expect(await readdir(pieces)).toContain(hex);
    await rm(join(pieces, hex));
    expect(await fetchBlob(node, 'team/app', digest)).toBe(digest);
    expect(await readdir(pieces)).toContain(hex);
  });
});
