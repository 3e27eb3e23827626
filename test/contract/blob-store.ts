/** What every `BlobStore` must do. */
import { describe, expect, test } from 'vitest';
import type { BlobStore } from '../../src/content/blob-store.ts';
import { MIN_PIECE_SIZE_BYTES as PIECE } from '../../src/content/geometry.ts';
import { allHashes, collect, contentIn, fill, gather, listAll, makeBlob, nameOf } from './blob-store-fixtures.ts';

/** Makes an empty store; it is disposed after each test. */
export type MakeStore = (config: { maxSizeBytes: number }) => Promise<BlobStore>;

/** Runs the suite against one implementation. */
export function describeBlobStore(name: string, makeStore: MakeStore): void {
  const empty = async (maxSizeBytes = Infinity): Promise<BlobStore> => await makeStore({ maxSizeBytes });

  describe(`${name}: complete blobs`, () => {
    test.for([0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 17])(
      'a blob of %i bytes is put and read back',
      async (sizeBytes) => {
        await using store = await empty();
        const blob = makeBlob(sizeBytes);
        await store.put(blob.digest, blob.bytes);
        expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
        await using held = await store.open(blob.digest);
        expect(await held?.pieceHashes()).toEqual(allHashes(blob));
      },
    );

    test('a sha512 blob is put, gathered and read back', async () => {
      await using store = await empty();
      const [put, gathered] = [makeBlob(2 * PIECE, 1, 'sha512'), makeBlob(20 * PIECE + 5, 2, 'sha512')];
      await store.put(put.digest, put.bytes);
      await gather(store, gathered);
      expect(nameOf(await contentIn(store, put.digest))).toBe(nameOf(put.bytes));
      expect(nameOf(await contentIn(store, gathered.digest))).toBe(nameOf(gathered.bytes));
    });

    test('bytes that are not what the digest says are refused and not kept', async () => {
      await using store = await empty();
      const blob = makeBlob(100);
      await expect(store.put(blob.digest, Buffer.from('other'))).rejects.toMatchObject({
        code: 'ERR_CONTENT_MISMATCH',
      });
      expect(store.stat(blob.digest)).toBeUndefined();
      expect((await store.usage()).blobBytes).toBe(0);
    });

    test('a blob that is put many times at once is held once', async () => {
      await using store = await empty();
      const blob = makeBlob(1000);
      await Promise.all(Array.from({ length: 8 }, async () => await store.put(blob.digest, blob.bytes)));
      expect(await store.usage()).toMatchObject({ blobCount: 1, blobBytes: 1000 });
    });

    test('any range is read and streamed as it is in the blob', async () => {
      await using store = await empty();
      const blob = makeBlob(3 * PIECE + 100);
      await store.put(blob.digest, blob.bytes);
      await using held = await store.open(blob.digest);
      if (held === undefined) throw new Error('the blob is not held');
      for (const [start, end] of [
        [0, 0],
        [0, 1],
        [5, PIECE + 5],
        [PIECE, 3 * PIECE],
        [3 * PIECE + 99, 3 * PIECE + 100],
      ] as const) {
        expect(nameOf(await held.read({ start, end }))).toBe(nameOf(blob.bytes.subarray(start, end)));
        expect(nameOf(await collect(held.stream({ start, end })))).toBe(nameOf(blob.bytes.subarray(start, end)));
      }
      await expect(held.read({ start: 0, end: blob.bytes.length + 1 })).rejects.toThrow(RangeError);
    });

    test('an aborted stream ends with the abort', async () => {
      await using store = await empty();
      const blob = makeBlob(64 * PIECE);
      await store.put(blob.digest, blob.bytes);
      await using held = await store.open(blob.digest);
      const controller = new AbortController();
      const chunks: Buffer[] = [];
      const reading = async (): Promise<void> => {
        for await (const chunk of held?.stream({ start: 0, end: blob.bytes.length }, { signal: controller.signal }) ??
          []) {
          chunks.push(chunk);
          controller.abort();
        }
      };
      await expect(reading()).rejects.toMatchObject({ name: 'AbortError' });
      expect(chunks).toHaveLength(1);
    });

    test('what is not held is answered with undefined or false', async () => {
      await using store = await empty();
      const { digest } = makeBlob(10);
      expect(store.stat(digest)).toBeUndefined();
      expect(await store.open(digest)).toBeUndefined();
      expect(await store.remove(digest)).toBe(false);
      await store.setPinned(digest, false);
      await expect(store.setPinned(digest, true)).rejects.toMatchObject({ code: 'ERR_BLOB_NOT_HELD' });
    });

    test('a removed blob is gone, but readers that have it open go on', async () => {
      await using store = await empty();
      const blob = makeBlob(2 * PIECE);
      await store.put(blob.digest, blob.bytes);
      await using held = await store.open(blob.digest);
      expect(await store.remove(blob.digest)).toBe(true);
      expect(await store.open(blob.digest)).toBeUndefined();
      expect(nameOf(await held?.read({ start: PIECE, end: 2 * PIECE }))).toBe(nameOf(blob.bytes.subarray(PIECE)));
      expect(await held?.pieceHashes()).toEqual(allHashes(blob));
      await store.put(blob.digest, blob.bytes);
      expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
    });

    test('a closed blob is not read any more, and closing twice is harmless', async () => {
      await using store = await empty();
      const blob = makeBlob(10);
      await store.put(blob.digest, blob.bytes);
      const held = await store.open(blob.digest);
      await held?.close();
      await held?.close();
      await expect(held?.read({ start: 0, end: 1 })).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
    });

    test('facts of a blob are listed, with the time of its last use', async () => {
      await using store = await empty();
      const blob = makeBlob(10);
      await store.put(blob.digest, blob.bytes);
      const before = store.stat(blob.digest);
      await contentIn(store, blob.digest);
      const after = store.stat(blob.digest);
      expect(before).toMatchObject({ digest: blob.digest, sizeBytes: 10, pinned: false });
      expect(after?.lastUsedAtMs).toBeGreaterThan(before?.lastUsedAtMs ?? Infinity);
      expect(Array.from(store.list())).toEqual([after]);
    });

    test('verify finds good what is good, and stops when aborted', async () => {
      await using store = await empty();
      const blobs = [makeBlob(10, 1), makeBlob(3 * PIECE, 2)];
      for (const blob of blobs) await store.put(blob.digest, blob.bytes);
      const results = await listAll(store.verify());
      expect(results).toEqual(blobs.map(({ digest, bytes }) => ({ digest, sizeBytes: bytes.length, state: 'good' })));
      await expect(listAll(store.verify({ signal: AbortSignal.abort() }))).rejects.toMatchObject({
        name: 'AbortError',
      });
    });
  });

  describe(`${name}: partial blobs`, () => {
    test.for([0, 1, PIECE, 3 * PIECE + 1, 40 * PIECE])(
      'a blob of %i bytes is gathered and published',
      async (sizeBytes) => {
        await using store = await empty();
        const blob = makeBlob(sizeBytes);
        const partial = await store.openPartial(blob.digest, sizeBytes);
        await fill(partial, blob);
        expect(partial.held.isFull).toBe(true);
        expect(store.stat(blob.digest)).toBeUndefined();
        expect(await partial.complete()).toBe('complete');
        expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
        await using held = await store.open(blob.digest);
        expect(await held?.pieceHashes()).toEqual(allHashes(blob));
        expect(await store.usage()).toMatchObject({
          blobCount: 1,
          blobBytes: sizeBytes,
          partialCount: 0,
          partialBytes: 0,
        });
        await expect(partial.read({ start: 0, end: 0 })).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
      },
    );

    test('whoever waits for the digest alone is told before the blob is published, and not when it is wrong', async () => {
      await using store = await empty();
      const [right, wrong] = [makeBlob(20 * PIECE, 1), makeBlob(20 * PIECE, 2)];
      await using partial = await store.openPartial(right.digest, right.bytes.length);
      const told: (number | undefined)[] = [];
      const onVerified = (): void => void told.push(store.stat(right.digest)?.sizeBytes);
      await fill(partial, wrong);
      expect(await partial.complete({ onVerified })).toBe('mismatch');
      await partial.reset();
      await fill(partial, right);
      expect(await partial.complete({ onVerified })).toBe('complete');
      expect(told).toEqual([undefined]);
    });

    test('pieces come in any order, and are read as soon as they are held', async () => {
      await using store = await empty();
      const blob = makeBlob(4 * PIECE);
      await using partial = await store.openPartial(blob.digest, blob.bytes.length);
      for (const piece of [blob.pieces[2], blob.pieces[1]]) {
        if (piece !== undefined) await partial.writePiece(piece.index, piece.bytes, piece.hash);
      }
      expect(nameOf(await partial.read({ start: PIECE + 7, end: 3 * PIECE }))).toBe(
        nameOf(blob.bytes.subarray(PIECE + 7, 3 * PIECE)),
      );
      expect(partial.pieceHash(2)).toEqual(blob.pieces[2]?.hash);
      expect(partial.pieceHash(0)).toBeUndefined();
      await expect(partial.read({ start: 0, end: PIECE + 1 })).rejects.toMatchObject({ code: 'ERR_PIECE_MISSING' });
      await expect(partial.complete()).rejects.toMatchObject({ code: 'ERR_PIECE_MISSING' });
    });

    test('pieces of a wrong shape are refused', async () => {
      await using store = await empty();
      const blob = makeBlob(2 * PIECE);
      await using partial = await store.openPartial(blob.digest, blob.bytes.length);
      await expect(partial.writePiece(2, Buffer.alloc(PIECE), Buffer.alloc(32))).rejects.toThrow(RangeError);
      await expect(partial.writePiece(0, Buffer.alloc(PIECE - 1), Buffer.alloc(32))).rejects.toThrow(RangeError);
      await expect(partial.writePiece(0, Buffer.alloc(PIECE), Buffer.alloc(20))).rejects.toThrow(RangeError);
      expect(partial.held.count).toBe(0);
    });

    test('a closed partial blob keeps its pieces for the next opener', async () => {
      await using store = await empty();
      const blob = makeBlob(5 * PIECE + 9);
      const first = await store.openPartial(blob.digest, blob.bytes.length);
      for (const piece of blob.pieces.slice(3)) await first.writePiece(piece.index, piece.bytes, piece.hash);
      await first.close();
      await first.close();
      expect(Array.from(store.listPartials(), ({ digest, heldCount }) => ({ digest, heldCount }))).toEqual([
        { digest: blob.digest, heldCount: 3 },
      ]);
      await using second = await store.openPartial(blob.digest, blob.bytes.length);
      expect([0, 1, 2, 3, 4, 5].map((index) => second.held.has(index))).toEqual([
        false,
        false,
        false,
        true,
        true,
        true,
      ]);
      await fill(second, blob);
      expect(await second.complete()).toBe('complete');
      expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
    });

    test('a partial blob has one opener at a time', async () => {
      await using store = await empty();
      const { digest } = makeBlob(PIECE);
      const first = await store.openPartial(digest, PIECE);
      await expect(store.openPartial(digest, PIECE)).rejects.toMatchObject({ code: 'ERR_PARTIAL_BUSY' });
      await first.close();
      await using second = await store.openPartial(digest, PIECE);
      expect(second.held.count).toBe(0);
    });

    test('a discarded partial blob leaves nothing', async () => {
      await using store = await empty();
      const blob = makeBlob(3 * PIECE);
      const partial = await store.openPartial(blob.digest, blob.bytes.length);
      await fill(partial, blob);
      await partial.discard();
      expect(Array.from(store.listPartials())).toEqual([]);
      expect(await store.usage()).toMatchObject({ partialCount: 0, partialBytes: 0 });
      await using again = await store.openPartial(blob.digest, blob.bytes.length);
      expect(again.held.count).toBe(0);
    });

    test('a whole that is not what the digest says is a mismatch, and can be gathered again after a reset', async () => {
      await using store = await empty();
      const [right, wrong] = [makeBlob(20 * PIECE, 1), makeBlob(20 * PIECE, 2)];
      await using partial = await store.openPartial(right.digest, right.bytes.length);
      await fill(partial, wrong);
      expect(await partial.complete()).toBe('mismatch');
      expect(store.stat(right.digest)).toBeUndefined();
      await partial.reset();
      expect(partial.held.count).toBe(0);
      expect(partial.pieceHash(0)).toBeUndefined();
      expect((await store.usage()).partialBytes).toBe(0);
      await fill(partial, right);
      expect(await partial.complete()).toBe('complete');
      expect(nameOf(await contentIn(store, right.digest))).toBe(nameOf(right.bytes));
    });

    test('a partial blob of another size begins anew', async () => {
      await using store = await empty();
      const blob = makeBlob(3 * PIECE);
      const first = await store.openPartial(blob.digest, blob.bytes.length);
      await fill(first, blob);
      await first.close();
      await using second = await store.openPartial(blob.digest, 2 * PIECE);
      expect(second.held.count).toBe(0);
      expect(second.geometry.sizeBytes).toBe(2 * PIECE);
    });

    test('a blob that was put while it was gathered is published once', async () => {
      await using store = await empty();
      const blob = makeBlob(2 * PIECE);
      await using partial = await store.openPartial(blob.digest, blob.bytes.length);
      await fill(partial, blob);
      await store.put(blob.digest, blob.bytes);
      expect(await partial.complete()).toBe('complete');
      expect(await store.usage()).toMatchObject({
        blobCount: 1,
        blobBytes: 2 * PIECE,
        partialCount: 0,
        partialBytes: 0,
      });
    });
  });

  describe(`${name}: room`, () => {
    test('the blob that was used least recently goes first', async () => {
      await using store = await empty(300);
      const [a, b, c, d] = [makeBlob(100, 1), makeBlob(100, 2), makeBlob(100, 3), makeBlob(100, 4)];
      for (const blob of [a, b, c]) await store.put(blob.digest, blob.bytes);
      await contentIn(store, a.digest);
      await store.put(d.digest, d.bytes);
      expect([a, b, c, d].map(({ digest }) => store.stat(digest) !== undefined)).toEqual([true, false, true, true]);
    });

    test('what is open or pinned is not evicted', async () => {
      await using store = await empty(300);
      const [a, b, c, d] = [makeBlob(100, 1), makeBlob(100, 2), makeBlob(100, 3), makeBlob(100, 4)];
      for (const blob of [a, b, c]) await store.put(blob.digest, blob.bytes);
      await store.setPinned(a.digest, true);
      const held = await store.open(b.digest);
      await contentIn(store, c.digest);
      await store.put(d.digest, d.bytes);
      expect([a, b, c, d].map(({ digest }) => store.stat(digest) !== undefined)).toEqual([true, true, false, true]);
      await held?.close();
      // An unpinned blob counts as used just then.
      await store.setPinned(a.digest, false);
      await store.put(c.digest, c.bytes);
      expect([a, b, c, d].map(({ digest }) => store.stat(digest) !== undefined)).toEqual([true, false, true, true]);
    });

    test('closed partial blobs go after complete ones, the oldest first', async () => {
      await using store = await empty(4 * PIECE);
      const [old, recent] = [makeBlob(PIECE, 1), makeBlob(PIECE, 2)];
      for (const blob of [old, recent]) {
        await using partial = await store.openPartial(blob.digest, PIECE);
        await fill(partial, blob);
      }
      const [c, d] = [makeBlob(2 * PIECE, 3), makeBlob(3 * PIECE, 4)];
      await store.put(c.digest, c.bytes);
      await store.put(d.digest, d.bytes);
      expect(store.stat(c.digest)).toBeUndefined();
      expect(Array.from(store.listPartials(), ({ digest }) => digest)).toEqual([recent.digest]);
    });

    test('a blob that can never fit is refused at once, and nothing goes for it', async () => {
      await using store = await empty(300);
      const [small, pinned, large] = [makeBlob(100, 1), makeBlob(100, 2), makeBlob(250, 3)];
      await store.put(small.digest, small.bytes);
      await store.put(pinned.digest, pinned.bytes);
      await store.setPinned(pinned.digest, true);
      await expect(store.put(large.digest, large.bytes)).rejects.toMatchObject({ code: 'ERR_STORE_FULL' });
      await expect(store.openPartial(large.digest, 250)).rejects.toMatchObject({ code: 'ERR_STORE_FULL' });
      expect(store.stat(small.digest)).toBeDefined();
    });

    test('a piece without room is refused, and the work goes on when there is room again', async () => {
      await using store = await empty(4 * PIECE);
      const [gathered, other] = [makeBlob(3 * PIECE, 1), makeBlob(2 * PIECE, 2)];
      await store.put(other.digest, other.bytes);
      const reader = await store.open(other.digest);
      await using partial = await store.openPartial(gathered.digest, 3 * PIECE);
      const outcomes = await Promise.allSettled(
        gathered.pieces.map(async (piece) => await partial.writePiece(piece.index, piece.bytes, piece.hash)),
      );
      const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
      expect(refused.length).toBeGreaterThan(0);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'ERR_STORE_FULL' });
      expect(partial.held.count).toBe(3 - refused.length);
      // A client may have it already.
      for (const piece of gathered.pieces) expect(partial.pieceHash(piece.index)).toEqual(piece.hash);
      await reader?.close();
      await fill(partial, gathered);
      expect(await partial.complete()).toBe('complete');
      expect(nameOf(await contentIn(store, gathered.digest))).toBe(nameOf(gathered.bytes));
      expect(store.stat(other.digest)).toBeUndefined();
    });
  });

  test(`${name}: a closed store refuses work, and closing twice is harmless`, async () => {
    const store = await empty();
    const blob = makeBlob(10);
    await store.close();
    await store.close();
    await expect(store.put(blob.digest, blob.bytes)).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
    await expect(store.open(blob.digest)).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
    await expect(store.openPartial(blob.digest, 10)).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
  });
}
