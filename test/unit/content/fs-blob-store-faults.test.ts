/** Every call of the file system fails once in its turn; the store must answer clearly, lose nothing, and leave nothing. */
import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { MIN_PIECE_SIZE_BYTES as PIECE } from '../../../src/content/geometry.ts';
import { FaultyDisk } from '../../contract/faulty-disk.ts';
import { StoreLayout } from '../../../src/content/layout.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import {
  contentIn,
  fill,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  openFsStore,
  type TestBlob,
} from '../../contract/blob-store-fixtures.ts';
import type { FsBlobStore } from '../../../src/content/fs-blob-store.ts';

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
}

/** Puts one blob and gathers another; what failed is told by its code. */
async function work(store: FsBlobStore, put: TestBlob, gathered: TestBlob): Promise<string[]> {
  const codes: string[] = [];
  const attempt = async (step: () => Promise<unknown>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      codes.push(isDockyardError(error) ? error.code : `not ours: ${String(error)}`);
    }
  };
  await attempt(async () => await store.put(put.digest, put.bytes));
  await attempt(async () => {
    await using partial = await store.openPartial(gathered.digest, gathered.bytes.length);
    await attempt(async () => await fill(partial, gathered));
    if (partial.held.isFull) await partial.complete();
  });
  return codes;
}

/** How many calls `work` makes when nothing fails. */
async function countCalls(): Promise<number> {
  await using directory = await makeTemporaryDirectory();
  const disk = new FaultyDisk();
  await using store = await openFsStore(directory.path, {}, { disk });
  disk.calls = [];
  expect(await work(store, makeBlob(100, 1), makeBlob(3 * PIECE, 2))).toEqual([]);
  return disk.calls.length;
}

async function expectNothingStray(store: FsBlobStore, directory: string): Promise<void> {
  const layout = new StoreLayout(directory);
  expect(await readdir(layout.incomingFolder)).toEqual([]);
  expect(await readdir(layout.partialFolder)).toHaveLength(Array.from(store.listPartials()).length);
  const { blobBytes, partialBytes } = await store.usage();
  const sizes = Array.from(store.list(), ({ sizeBytes }) => sizeBytes).reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  const pieces = Array.from(store.listPartials(), ({ heldCount }) => heldCount * PIECE).reduce(
    (sum, bytes) => sum + bytes,
    0,
  );
  expect([blobBytes, partialBytes]).toEqual([sizes, pieces]);
}

test.for([
  ['ENOSPC', 'ERR_STORE_FULL'],
  ['EDQUOT', 'ERR_STORE_FULL'],
  ['EIO', 'ERR_STORE_IO'],
] as const)(
  'a disk that answers %s at any call is told as %s, and the work is done when it answers again',
  async ([systemCode, code]) => {
    const calls = await countCalls();
    expect(calls).toBeGreaterThan(15);
    for (let failing = 0; failing < calls; failing += 1) {
      await using directory = await makeTemporaryDirectory();
      const disk = new FaultyDisk();
      await using store = await openFsStore(directory.path, {}, { disk });
      const [put, gathered] = [makeBlob(100, 1), makeBlob(3 * PIECE, 2)];
      disk.calls = [];
      disk.fault = () => {
        if (disk.calls.length === failing + 1)
          throw Object.assign(new Error(`${systemCode}: injected`), { code: systemCode });
      };
      const codes = await work(store, put, gathered);
      await expectNothingStray(store, directory.path);
      // With room to be made by eviction, a full disk is answered without troubling anyone.
      expect(codes.every((seen) => seen === code)).toBe(true);
      disk.fault = () => undefined;
      expect(await work(store, put, gathered)).toEqual([]);
      for (const blob of [put, gathered]) expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
      await expectNothingStray(store, directory.path);
    }
  },
);

test('a full disk is answered by eviction, and the write is tried once more', async () => {
  await using directory = await makeTemporaryDirectory();
  const disk = new FaultyDisk();
  await using store = await openFsStore(directory.path, {}, { disk });
  const [old, wanted] = [makeBlob(100, 1), makeBlob(3 * PIECE, 2)];
  await store.put(old.digest, old.bytes);
  let full = true;
  disk.fault = (call) => {
    if (call !== 'write' || !full) return;
    full = false;
    throw noSpace();
  };
  await store.put(wanted.digest, wanted.bytes);
  expect(store.stat(old.digest)).toBeUndefined();
  expect(nameOf(await contentIn(store, wanted.digest))).toBe(nameOf(wanted.bytes));
});

test('after a failed fsync all bytes are written again before the blob is published', async () => {
  await using directory = await makeTemporaryDirectory();
  const disk = new FaultyDisk();
  await using store = await openFsStore(directory.path, {}, { disk });
  const blob = makeBlob(3 * PIECE, 1);
  await using partial = await store.openPartial(blob.digest, blob.bytes.length);
  await fill(partial, blob);
  disk.fault = (call) => {
    if (call === 'sync') throw Object.assign(new Error('EIO: injected'), { code: 'EIO' });
  };
  await expect(partial.complete()).rejects.toMatchObject({ code: 'ERR_STORE_IO', cause: { code: 'EIO' } });
  expect(store.stat(blob.digest)).toBeUndefined();
  disk.fault = () => undefined;
  disk.calls = [];
  expect(await partial.complete()).toBe('complete');
  expect(disk.calls.slice(0, 2)).toEqual(['write', 'sync']);
});

test('the floor of free disk is kept by eviction, and then by refusal', async () => {
  await using directory = await makeTemporaryDirectory();
  const disk = new FaultyDisk();
  const totalBytes = 10_000;
  const held = async (): Promise<number> => (await store.usage()).blobBytes;
  await using store = await openFsStore(
    directory.path,
    { minFreeDiskBytes: 6000 },
    { disk, clock: { nowMs: () => Date.now() } },
  );
  disk.freeBytes = async () => totalBytes - (await Promise.resolve(Array.from(store.list()).length)) * 1000;
  for (let seed = 1; seed <= 9; seed += 1) {
    const blob = makeBlob(1000, seed);
    await store.put(blob.digest, blob.bytes);
    expect(await held()).toBeLessThanOrEqual(4000);
  }
  for (const { digest } of store.list()) await store.setPinned(digest, true);
  const last = makeBlob(1000, 10);
  await expect(store.put(last.digest, last.bytes)).rejects.toMatchObject({ code: 'ERR_STORE_FULL' });
  expect(await held()).toBe(4000);
});
