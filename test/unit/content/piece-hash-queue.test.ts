import { hash, randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { HashThread } from '../../../src/content/hash-thread.ts';
import { PieceHashQueue, type PieceHashBatch } from '../../../src/content/piece-hash-queue.ts';
import { SharedMemoryView } from '../../../src/content/shared-memory.ts';

const KIB = 1024;
const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');

function pooled(pool: BufferPool, length: number): Buffer {
  const bytes = pool.acquire(length);
  randomBytes(length).copy(bytes);
  return bytes;
}

test('the thread hashes pieces where they lie, slices and memory used again included', async () => {
  const thread = new HashThread({ nowMs: () => performance.now() });
  onTestFinished(async () => await thread.close());
  const pool = new BufferPool(1024 * KIB);
  for (let round = 0; round < 3; round += 1) {
    const pieces = [pooled(pool, 64 * KIB), pooled(pool, 100 * KIB), pooled(pool, 33 * KIB)];
    const hashes = await Promise.all(pieces.map(async (bytes) => await thread.ofPiece(bytes)));
    expect(hashes).toEqual(pieces.map(sha256));
    expect(await thread.ofPiece(pieces[1]?.subarray(5, 77) ?? Buffer.alloc(0))).toEqual(
      sha256(pieces[1]?.subarray(5, 77) ?? Buffer.alloc(0)),
    );
    for (const bytes of pieces) pool.release(bytes);
  }
});

/** A queue and the batches that it sends, which the test answers. By its clock, which `time` sets, a hash takes `hashMs`. */
function makeQueue({ hashMs = 0 }: { hashMs?: number } = {}) {
  const batches: (PieceHashBatch & PromiseWithResolvers<Uint8Array>)[] = [];
  const time = { ms: 0 };
  const queue = new PieceHashQueue(
    async (batch) => {
      const answer = Promise.withResolvers<Uint8Array>();
      batches.push({ ...batch, ...answer });
      return await answer.promise;
    },
    { nowMs: () => (time.ms += hashMs) },
  );
  return { queue, batches, time };
}

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

test('pieces of one turn go over together, and memory is shown once', async () => {
  const { queue, batches } = makeQueue();
  const pool = new BufferPool(1024 * KIB);
  const [a, b] = [pooled(pool, 64 * KIB), pooled(pool, 64 * KIB)];
  const view = new SharedMemoryView();
  const answer = (index: number): void => {
    const batch = batches[index];
    if (batch === undefined) throw new Error('no batch');
    view.learn(batch);
    batch.resolve(Buffer.concat(batch.slices.map((slice) => sha256(view.bytes(slice)))));
  };
  const first = [queue.hash(a), queue.hash(b), queue.hash(a.subarray(1))];
  await turn();
  expect(batches.map(({ shown, slices }) => [shown.length, slices.length])).toEqual([[2, 3]]);
  answer(0);
  expect(await Promise.all(first)).toEqual([sha256(a), sha256(b), sha256(a.subarray(1))]);
  const second = [queue.hash(b), queue.hash(a)];
  await turn();
  expect(batches[1]?.shown).toEqual([]);
  answer(1);
  expect(await Promise.all(second)).toEqual([sha256(b), sha256(a)]);
});

test('memory that is not shared is hashed here', async () => {
  const { queue, batches } = makeQueue();
  const bytes = randomBytes(10 * KIB);
  expect(await queue.hash(bytes)).toEqual(sha256(bytes));
  expect(batches).toEqual([]);
});

test('a piece that comes alone is hashed here, until that takes more than its share of the time', async () => {
  const { queue, batches, time } = makeQueue({ hashMs: 4 });
  const bytes = pooled(new BufferPool(1024 * KIB), 64 * KIB);
  expect(await queue.hash(bytes)).toEqual(sha256(bytes));
  expect(await queue.hash(bytes)).toEqual(sha256(bytes));
  expect(batches).toEqual([]);
  const beyond = queue.hash(bytes);
  await turn();
  expect(batches).toHaveLength(1);
  batches[0]?.resolve(sha256(bytes));
  expect(await beyond).toEqual(sha256(bytes));
  time.ms += 100;
  expect(await queue.hash(bytes)).toEqual(sha256(bytes));
  expect(batches).toHaveLength(1);
});

test('where the thread fails the hashes are made here', async () => {
  const { queue, batches } = makeQueue();
  const bytes = pooled(new BufferPool(1024 * KIB), 64 * KIB);
  const waiting = Promise.all([queue.hash(bytes), queue.hash(bytes)]);
  await turn();
  batches[0]?.reject(new Error('the thread ended'));
  expect(await waiting).toEqual([sha256(bytes), sha256(bytes)]);
});

test('a thread that was closed does not keep anyone from a hash', async () => {
  const thread = new HashThread({ nowMs: () => performance.now() });
  const bytes = pooled(new BufferPool(1024 * KIB), 64 * KIB);
  const before = Promise.all([thread.ofPiece(bytes), thread.ofPiece(bytes)]);
  await thread.close();
  expect(await before).toEqual([sha256(bytes), sha256(bytes)]);
  expect(await thread.ofPiece(bytes)).toEqual(sha256(bytes));
});
