/** Storage of record in a bucket of a real S3 service. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { S3BlobStorage } from '../../src/storage/s3-blob-storage.ts';
import type { S3StorageConfig } from '../../src/storage/s3-config.ts';
import { collect, listAll, nameOf, seededBytes } from '../contract/blob-store-fixtures.ts';
import { describeBlobStorage } from '../contract/blob-storage.ts';
import { describeStorageFaults, type FaultyPlace } from '../contract/blob-storage-faults.ts';
import { requirement } from '../skip-reasons.ts';
import { FaultyHttpProxy, HTTP_FAULTS, type HttpFault } from '../support/faulty-http-proxy.ts';
import { makeCertificate } from '../unit/origin/tls-fixture.ts';
import type { S3Bucket } from '../support/s3-bucket.ts';
import { hasS3Server, S3_SERVER_NAME, S3_SERVER_REMEDY, startS3Server, type S3Server } from '../support/s3-server.ts';

const isReady = requirement('versitygw', hasS3Server, S3_SERVER_REMEDY);

const MIB = 1024 * 1024;

/** Objects of the long list; by default three pages. To put and to list 100,000 takes minutes. */
const LISTED = Number(process.env['TEST_S3_KEYS'] ?? 2_500);
/** Half of a list of 100,000 would be more. */
const MAX_LIST_MEMORY_BYTES = 8 * MIB;

async function* inChunks(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield await Promise.resolve(bytes.subarray(at, at + 65_536));
}

/** Where the blob of a digest lies. */
function keyOf(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** What is in the heap and is no garbage. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

/** A bucket of its own. */
interface S3Place {
  readonly server: S3Server;
  readonly bucket: S3Bucket;
  open(changes?: Partial<S3StorageConfig>): Promise<S3BlobStorage>;
  damage(digest: Digest): Promise<void>;
}

describe.skipIf(!isReady)(`on ${S3_SERVER_NAME}`, () => {
  let server: Promise<S3Server> | undefined;
  let buckets = 0;
  afterAll(async () => await (await server)?.[Symbol.asyncDispose]());

  const makePlace = async (): Promise<S3Place> => {
    server ??= startS3Server();
    const running = await server;
    const bucket = await running.makeBucket(`bucket-${(buckets += 1)}`);
    const deps = { log: pino({ level: 'silent' }), clock: systemClock };
    return {
      server: running,
      bucket,
      open: async (changes) => await S3BlobStorage.open(deps, running.config(bucket.name, changes)),
      damage: async (digest) => await bucket.damage(keyOf(digest)),
    };
  };

  describeBlobStorage('S3BlobStorage', { largeBytes: 12 * MIB + 7, makePlace });

  test('a reading that breaks off again and again goes on where it ended', async () => {
    const place = await makePlace();
    await using proxy = await FaultyHttpProxy.open(place.server.port);
    await using storage = await place.open({ endpoint: proxy.url, maxAttempts: 2 });
    const bytes = seededBytes(2 * MIB, 1);
    const upload = await storage.uploads.create();
    await upload.append(inChunks(bytes), { isLast: true });
    const { digest } = await upload.commit(digestOf(bytes));
    await using reading = await storage.blobs.open(digest);
    const first = proxy.count;
    proxy.faultOf = (call) => (call < first + 5 ? 'cut-midway' : undefined);
    const read = await collect(reading?.read({ start: 100, end: bytes.length }) ?? inChunks(bytes));
    expect(nameOf(read)).toBe(nameOf(bytes.subarray(100)));
    expect(proxy.count).toBe(first + 6);
  });

  test('a list goes on over many pages, and is read no faster than its reader', { timeout: 600_000 }, async () => {
    const place = await makePlace();
    const digests = Array.from({ length: LISTED }, (_, index) => digestOf(Buffer.from(String(index)))).toSorted();
    await place.bucket.putEmpty(digests.map(keyOf));
    await using proxy = await FaultyHttpProxy.open(place.server.port);
    await using storage = await place.open({ endpoint: proxy.url });
    const before = proxy.count;
    let seen = 0;
    let wrong = 0;
    const heldBefore = heldBytes();
    for await (const blob of storage.blobs.list()) {
      if (blob.digest !== digests[seen]) wrong += 1;
      seen += 1;
      if (seen === 1) expect(proxy.count).toBe(before + 1);
      if (seen === LISTED - 1) expect(heldBytes() - heldBefore).toBeLessThan(MAX_LIST_MEMORY_BYTES);
    }
    expect({ seen, wrong }).toEqual({ seen: LISTED, wrong: 0 });
    const last = await listAll(storage.blobs.list({ after: digests[LISTED - 2] }));
    expect(last.map(({ digest }) => digest)).toEqual([digests[LISTED - 1]]);
  });

  test('of seeds that take one place at the same moment one gets it, and keeps it', async () => {
    const place = await makePlace();
    const prefixes = Array.from({ length: 4 }, (_, index) => `place-${index}/`);
    for (const prefix of prefixes) {
      const openAs = async (owner: string): Promise<S3BlobStorage> =>
        await S3BlobStorage.open(
          { log: pino({ level: 'silent' }), clock: systemClock, owner },
          place.server.config(place.bucket.name, { prefix }),
        );
      const owners = ['one', 'two', 'three', 'four'];
      const outcomes = await Promise.allSettled(owners.map(openAs));
      const winners = owners.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') await outcome.value.close();
        else expect(outcome.reason).toMatchObject({ code: 'ERR_STORAGE_TAKEN' });
      }
      for (const owner of owners)
        if (winners.includes(owner)) await (await openAs(owner)).close();
        else await expect(openAs(owner)).rejects.toMatchObject({ code: 'ERR_STORAGE_TAKEN' });
    }
  });

  test('a place is taken at a service too that knows no conditions', async () => {
    const place = await makePlace();
    await using proxy = await FaultyHttpProxy.open(place.server.port);
    // After the list of the bucket and the question for the owner.
    proxy.faultOf = (call) => (call === 2 ? '501' : undefined);
    const deps = { log: pino({ level: 'silent' }), clock: systemClock };
    const config = place.server.config(place.bucket.name, { endpoint: proxy.url });
    await using _ = await S3BlobStorage.open({ ...deps, owner: 'one' }, config);
    expect(proxy.count).toBe(5);
    await expect(S3BlobStorage.open({ ...deps, owner: 'two' }, config)).rejects.toMatchObject({
      code: 'ERR_STORAGE_TAKEN',
      message: expect.stringContaining('seed one'),
    });
  });

  test.for([
    ['a bucket that is not there', { bucket: 'nowhere-at-all' }, 'there is no such bucket'],
    [
      'a wrong secret',
      { credentials: { accessKeyId: 'test-key', secretAccessKey: 'x', sessionToken: undefined } },
      'the secret key is wrong',
    ],
    [
      'an unknown key',
      { credentials: { accessKeyId: 'who', secretAccessKey: 'x', sessionToken: undefined } },
      'does not know the access key',
    ],
    ['nobody at the endpoint', { endpoint: 'http://127.0.0.1:1', maxAttempts: 1 }, 'nothing listens there'],
    ['a name that is none', { endpoint: 'http://s3.invalid', maxAttempts: 1 }, 'cannot be resolved'],
  ] as const)('%s is told when it is opened', async ([, changes, message]) => {
    const place = await makePlace();
    await expect(place.open(changes)).rejects.toMatchObject({
      code: 'ERR_STORAGE_IO',
      message: expect.stringContaining(message),
    });
  });

  test('a service with a certificate of its own is trusted when the operator gave it', async () => {
    const certificate = await makeCertificate();
    await using secure = await startS3Server(certificate);
    await secure.makeBucket('secure');
    const deps = { log: pino({ level: 'silent' }), clock: systemClock };
    await expect(S3BlobStorage.open(deps, secure.config('secure', { maxAttempts: 1 }))).rejects.toMatchObject({
      code: 'ERR_STORAGE_IO',
      message: expect.stringContaining('CERT'),
    });
    await using storage = await S3BlobStorage.open(deps, secure.config('secure', { caPem: certificate.cert }));
    const bytes = seededBytes(100_000, 1);
    const upload = await storage.uploads.create();
    await upload.append(inChunks(bytes));
    const { digest } = await upload.commit(digestOf(bytes));
    await using reading = await storage.blobs.open(digest);
    expect(nameOf(await collect(reading?.read({ start: 0, end: bytes.length }) ?? inChunks(bytes)))).toBe(
      nameOf(bytes),
    );
  });

  test('parts in memory stay within the budget, however many push', async () => {
    const place = await makePlace();
    await using storage = await place.open({ memoryBytes: 10 * MIB });
    const blobs = Array.from({ length: 6 }, (_, index) => seededBytes(11 * MIB, index + 1));
    await Promise.all(
      blobs.map(async (bytes) => {
        const upload = await storage.uploads.create();
        await upload.append(inChunks(bytes), { isLast: true });
        await upload.commit(digestOf(bytes));
      }),
    );
    for (const bytes of blobs)
      expect(await storage.blobs.stat(digestOf(bytes))).toMatchObject({ sizeBytes: bytes.length });
    expect(await listAll(storage.uploads.list())).toEqual([]);
  });

  describeStorageFaults('S3BlobStorage behind a connection that fails', {
    // A part, and a remainder that is none.
    sizeBytes: 6 * MIB,
    // Most of their time they wait for what stalls, and between two tries.
    parallelRuns: 4,
    makePlace: async () => await makeFaultyPlace(HTTP_FAULTS[(places += 1) % HTTP_FAULTS.length] ?? 'cut'),
  });

  // Every run has another kind of fault: all kinds at all calls would take many minutes.
  let places = 0;
  const makeFaultyPlace = async (fault: HttpFault): Promise<FaultyPlace> => {
    const place = await makePlace();
    const proxy = await FaultyHttpProxy.open(place.server.port);
    onTestFinished(async () => await proxy[Symbol.asyncDispose]());
    return {
      open: async () =>
        await place.open({ endpoint: proxy.url, maxAttempts: 2, stallTimeoutMs: 2_000, assemblyTimeoutMs: 3_000 }),
      watch: (fails) => {
        proxy.count = 0;
        proxy.faultOf = (call) => (fails(call) ? fault : undefined);
      },
      get calls() {
        return proxy.count;
      },
    };
  };
});
