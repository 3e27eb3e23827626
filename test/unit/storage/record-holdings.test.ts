import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { MemoryBlobStore } from '../../../src/content/memory-blob-store.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { storageError } from '../../../src/storage/errors.ts';
import { MemoryBlobStorage } from '../../../src/storage/memory-blob-storage.ts';
import type { StoredBlobs } from '../../../src/storage/blob-storage.ts';
import { RecordHoldings } from '../../../src/storage/record-holdings.ts';
import { decodePieceNote, encodePieceNote } from '../../../src/storage/s3-piece-notes.ts';
import { allHashes, collect, makeBlob, type TestBlob } from '../../contract/blob-store-fixtures.ts';

const clock = { nowMs: () => 1000 };
const log = pino({ level: 'silent' });

/** Storage whose readings know piece hashes, as a bucket's do. */
function makeHoldings(known: readonly TestBlob[] = []) {
  const storage = new MemoryBlobStorage({ clock });
  const content = new MemoryBlobStore({ clock });
  const failing = { isOn: false };
  const record: Pick<StoredBlobs, 'open' | 'list'> = {
    list: (options) => storage.blobs.list(options),
    open: async (digest) => {
      if (failing.isOn) throw storageError('ERR_STORAGE_IO', 'the service does not answer');
      const reading = await storage.blobs.open(digest);
      const blob = known.find((candidate) => candidate.digest === digest);
      if (reading === undefined || blob === undefined) return reading;
      return Object.assign(reading, { pieceHashes: async () => await Promise.resolve(allHashes(blob)) });
    },
  };
  const holdings = new RecordHoldings({ content, record, memory: new BufferPool(1_000_000), log });
  const store = async (blob: TestBlob): Promise<void> => {
    const upload = await storage.uploads.create();
    await upload.append(
      (async function* () {
        yield await Promise.resolve(blob.bytes);
      })(),
    );
    await upload.commit(blob.digest);
  };
  return { failing, storage, content, holdings, store };
}

describe('blobs of record that lie elsewhere', () => {
  test('are held as soon as they are added, and give their pieces', async () => {
    const blob = makeBlob(200_000);
    const { holdings, storage, store } = makeHoldings([blob]);
    await store(blob);
    expect(holdings.stat(blob.digest)).toBeUndefined();
    expect(await holdings.open(blob.digest)).toBeUndefined();
    const stored = await storage.blobs.stat(blob.digest);
    if (stored !== undefined) holdings.add(stored);
    expect(holdings.stat(blob.digest)).toMatchObject({ sizeBytes: 200_000, pinned: true });
    await using held = await holdings.open(blob.digest);
    expect(await held?.pieceHashes()).toEqual(allHashes(blob));
    const [, second] = blob.pieces;
    expect(await held?.read({ start: 65_536, end: 131_072 })).toEqual(second?.bytes);
    const all = held?.stream({ start: 1, end: 200_000 });
    expect(all === undefined ? undefined : await collect(all)).toEqual(blob.bytes.subarray(1));
  });

  test('are found in the background, each told once, and listed once beside the cache', async () => {
    const [first, second] = [makeBlob(10, 1), makeBlob(20, 2)];
    const { content, holdings, store } = makeHoldings();
    for (const blob of [first, second]) await store(blob);
    await content.put(first.digest, first.bytes);
    const found: Digest[] = [];
    const all = new Promise<void>((resolve) => {
      holdings.start((digest) => {
        found.push(digest);
        if (found.length === 2) resolve();
      });
    });
    await all;
    await holdings.close();
    expect(found.toSorted()).toEqual([first.digest, second.digest].toSorted());
    expect([...holdings.list()].map(({ digest }) => digest).toSorted()).toEqual(found.toSorted());
  });

  test('that were deleted behind its back are held no more once somebody asks', async () => {
    const blob = makeBlob(1000);
    const { holdings, storage, store } = makeHoldings([blob]);
    await store(blob);
    const stored = await storage.blobs.stat(blob.digest);
    if (stored !== undefined) holdings.add(stored);
    await storage.blobs.delete(blob.digest);
    expect(await holdings.open(blob.digest)).toBeUndefined();
    expect(holdings.stat(blob.digest)).toBeUndefined();
  });

  test('are not held while storage does not answer, and are again when it does', async () => {
    const blob = makeBlob(1000);
    const { failing, holdings, storage, store } = makeHoldings([blob]);
    await store(blob);
    const stored = await storage.blobs.stat(blob.digest);
    if (stored !== undefined) holdings.add(stored);
    failing.isOn = true;
    expect(await holdings.open(blob.digest)).toBeUndefined();
    failing.isOn = false;
    await using held = await holdings.open(blob.digest);
    expect(held?.geometry.sizeBytes).toBe(1000);
  });

  test('a cached copy is read before storage is', async () => {
    const blob = makeBlob(1000);
    const { content, holdings, storage, store } = makeHoldings([blob]);
    await store(blob);
    await content.put(blob.digest, blob.bytes);
    await storage.close();
    await using held = await holdings.open(blob.digest);
    expect(await held?.read({ start: 0, end: 1000 })).toEqual(blob.bytes);
  });
});

describe('a note of piece hashes', () => {
  const blob = makeBlob(300_000);
  const note = encodePieceNote(300_000, allHashes(blob));

  test('gives back what was noted', () => {
    expect(decodePieceNote(note, 300_000)).toEqual(allHashes(blob));
  });

  test('that is damaged anywhere, cut, or of another blob gives nothing', () => {
    for (let at = 0; at < note.length; at += 1) {
      const damaged = Buffer.from(note);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      expect(decodePieceNote(damaged, 300_000), `byte ${at}`).toBeUndefined();
    }
    expect(decodePieceNote(note.subarray(1), 300_000)).toBeUndefined();
    expect(decodePieceNote(Buffer.alloc(0), 300_000)).toBeUndefined();
    expect(decodePieceNote(note, 300_001)).toBeUndefined();
  });
});
