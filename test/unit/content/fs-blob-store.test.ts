import {
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
  open as openFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIN_PIECE_SIZE_BYTES as PIECE } from '../../../src/content/geometry.ts';
import { StoreLayout } from '../../../src/content/layout.ts';
import {
  allHashes,
  contentIn,
  fill,
  gather,
  listAll,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  openFsStore,
  type TemporaryDirectory,
} from '../../contract/blob-store-fixtures.ts';

let directory: TemporaryDirectory;
let layout: StoreLayout;
beforeEach(async () => {
  directory = await makeTemporaryDirectory();
  layout = new StoreLayout(directory.path);
});
afterEach(async () => await directory[Symbol.asyncDispose]());

/** Changes one byte of a file. */
async function flipByte(path: string, position: number): Promise<void> {
  const file = await openFile(path, 'r+');
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
    await file.write(Buffer.from([(buffer[0] ?? 0) ^ 0xff]), 0, 1, position);
  } finally {
    await file.close();
  }
}

/** Fills a store with a put, a gathered, a pinned and a partial blob, and closes it. */
async function fillStore(): Promise<{
  put: ReturnType<typeof makeBlob>;
  gathered: ReturnType<typeof makeBlob>;
  partial: ReturnType<typeof makeBlob>;
}> {
  await using store = await openFsStore(directory.path);
  const [put, gathered, partial] = [makeBlob(3 * PIECE, 1), makeBlob(20 * PIECE, 2, 'sha512'), makeBlob(4 * PIECE, 3)];
  await store.put(put.digest, put.bytes);
  await gather(store, gathered);
  await store.setPinned(gathered.digest, true);
  await using open = await store.openPartial(partial.digest, partial.bytes.length);
  for (const piece of partial.pieces.slice(1)) await open.writePiece(piece.index, piece.bytes, piece.hash);
  return { put, gathered, partial };
}

describe('a store that is opened again', () => {
  test('holds what it held: blobs, pins, times of use, pieces and piece hashes', async () => {
    const { put, gathered, partial } = await fillStore();
    await using store = await openFsStore(directory.path);
    expect(nameOf(await contentIn(store, put.digest))).toBe(nameOf(put.bytes));
    expect(nameOf(await contentIn(store, gathered.digest))).toBe(nameOf(gathered.bytes));
    expect(store.stat(gathered.digest)).toMatchObject({ pinned: true, sizeBytes: 20 * PIECE });
    await using held = await store.open(gathered.digest);
    expect(nameOf(await held?.pieceHashes())).toBe(nameOf(allHashes(gathered)));
    await using again = await store.openPartial(partial.digest, partial.bytes.length);
    expect([0, 1, 2, 3].map((index) => again.held.has(index))).toEqual([false, true, true, true]);
    expect(again.pieceHash(2)).toEqual(partial.pieces[2]?.hash);
  });

  test('remembers the order of use', async () => {
    const blobs = [makeBlob(100, 1), makeBlob(100, 2), makeBlob(100, 3)] as const;
    {
      await using store = await openFsStore(directory.path);
      for (const blob of blobs) await store.put(blob.digest, blob.bytes);
      await contentIn(store, blobs[0].digest);
    }
    await using store = await openFsStore(directory.path, { maxSizeBytes: 200 });
    expect(blobs.map(({ digest }) => store.stat(digest) !== undefined)).toEqual([true, false, true]);
  });

  test('holds all blobs, pins included, when the index is gone', async () => {
    const { put, gathered } = await fillStore();
    await rm(layout.indexFolder, { recursive: true });
    await using store = await openFsStore(directory.path);
    expect(nameOf(await contentIn(store, put.digest))).toBe(nameOf(put.bytes));
    expect(store.stat(gathered.digest)).toMatchObject({ pinned: true, sizeBytes: 20 * PIECE });
    await using held = await store.open(gathered.digest);
    expect(nameOf(await held?.pieceHashes())).toBe(nameOf(allHashes(gathered)));
  });

  test.for(['CURRENT', 'MANIFEST', 'every file'])('holds all blobs when %s of the index is damaged', async (target) => {
    const { put, gathered } = await fillStore();
    for (const name of await readdir(layout.indexFolder)) {
      if (name !== 'LOCK' && (target === 'every file' || name.startsWith(target))) {
        await writeFile(join(layout.indexFolder, name), 'no database\n'.repeat(40));
      }
    }
    await using store = await openFsStore(directory.path);
    for (const blob of [put, gathered]) expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
    expect(store.stat(gathered.digest)?.pinned).toBe(true);
  });

  test('sets a blob aside whose file has another size than the index says', async () => {
    const { put, gathered } = await fillStore();
    await truncate(layout.blobFile(put.digest), 100);
    await using store = await openFsStore(directory.path);
    expect(store.stat(put.digest)).toBeUndefined();
    expect(store.stat(gathered.digest)).toBeDefined();
    expect(await readdir(layout.quarantineFolder)).toHaveLength(1);
  });

  test('forgets a blob whose file is gone', async () => {
    const { put } = await fillStore();
    await unlink(layout.blobFile(put.digest));
    await using store = await openFsStore(directory.path);
    expect(store.stat(put.digest)).toBeUndefined();
    expect(await store.open(put.digest)).toBeUndefined();
  });

  test('does not follow a link among its blobs, and puts the blob in its place', async () => {
    const { put } = await fillStore();
    const elsewhere = join(directory.path, '..', `${basename(directory.path)}-elsewhere`);
    await writeFile(elsewhere, put.bytes);
    try {
      await unlink(layout.blobFile(put.digest));
      await symlink(elsewhere, layout.blobFile(put.digest));
      await using store = await openFsStore(directory.path);
      expect(await store.open(put.digest)).toBeUndefined();
      await store.put(put.digest, put.bytes);
      expect((await lstat(layout.blobFile(put.digest))).isSymbolicLink()).toBe(false);
      expect(nameOf(await contentIn(store, put.digest))).toBe(nameOf(put.bytes));
      expect(nameOf(await readFile(elsewhere))).toBe(nameOf(put.bytes));
    } finally {
      await rm(elsewhere);
    }
  });

  test('keeps of a partial blob only the pieces whose bytes are as their hashes say', async () => {
    const { partial } = await fillStore();
    const folder = layout.partialBlobFolder(partial.digest);
    await flipByte(join(folder, 'data'), 2 * PIECE + 5);
    await using store = await openFsStore(directory.path);
    await using again = await store.openPartial(partial.digest, partial.bytes.length);
    expect([0, 1, 2, 3].map((index) => again.held.has(index))).toEqual([false, true, false, true]);
    expect((await store.usage()).partialBytes).toBe(2 * PIECE);
    await fill(again, partial);
    expect(await again.complete()).toBe('complete');
    expect(nameOf(await contentIn(store, partial.digest))).toBe(nameOf(partial.bytes));
  });

  test('uses what a crash left of files that were being shortened', async () => {
    const { partial } = await fillStore();
    const folder = layout.partialBlobFolder(partial.digest);
    await truncate(join(folder, 'data'), 2 * PIECE);
    await using store = await openFsStore(directory.path);
    await using again = await store.openPartial(partial.digest, partial.bytes.length);
    expect([0, 1, 2, 3].map((index) => again.held.has(index))).toEqual([false, true, false, false]);
    await fill(again, partial);
    expect(await again.complete()).toBe('complete');
  });

  test('removes temporary files and partial blobs that cannot be used', async () => {
    const { partial } = await fillStore();
    const strays = [
      'no-digest',
      partial.digest.replace(':', '-').replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
    ];
    for (const name of strays) await mkdir(join(layout.partialFolder, name));
    await writeFile(join(layout.partialFolder, strays[1] ?? '', 'map'), 'torn');
    await writeFile(join(layout.incomingFolder, '17'), 'half a blob');
    await using store = await openFsStore(directory.path);
    expect(await readdir(layout.incomingFolder)).toEqual([]);
    expect(await readdir(layout.partialFolder)).toHaveLength(1);
    expect(Array.from(store.listPartials())).toHaveLength(1);
  });
});

describe('opening', () => {
  test('a store that is open already is refused', async () => {
    await using store = await openFsStore(directory.path);
    await expect(openFsStore(directory.path)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' });
    expect((await store.usage()).blobCount).toBe(0);
  });

  test('a store of another version, and a directory of something else, are refused and left as they are', async () => {
    await writeFile(layout.versionFile, 'dockyard store 99\n');
    await expect(openFsStore(directory.path)).rejects.toMatchObject({ code: 'ERR_STORE_VERSION' });
    await unlink(layout.versionFile);
    await mkdir(join(directory.path, 'content'));
    await expect(openFsStore(directory.path)).rejects.toMatchObject({ code: 'ERR_STORE_VERSION' });
    expect(await readdir(directory.path)).toEqual(['content']);
  });

  test('a directory that cannot be made is told with its cause', async () => {
    await writeFile(join(directory.path, 'file'), '');
    await expect(openFsStore(join(directory.path, 'file', 'store'))).rejects.toMatchObject({
      code: 'ERR_STORE_IO',
      cause: { code: 'ENOTDIR' },
    });
  });
});

describe('damage', () => {
  test('verify finds a flipped byte and a missing file, and sets the damaged blob aside', async () => {
    const { put, gathered } = await fillStore();
    await using store = await openFsStore(directory.path);
    const third = makeBlob(10, 9);
    await store.put(third.digest, third.bytes);
    await flipByte(layout.blobFile(gathered.digest), 7 * PIECE);
    await unlink(layout.blobFile(put.digest));
    const states = new Map((await listAll(store.verify())).map(({ digest, state }) => [digest, state]));
    expect(states).toEqual(
      new Map([
        [put.digest, 'missing'],
        [gathered.digest, 'damaged'],
        [third.digest, 'good'],
      ]),
    );
    expect(store.stat(gathered.digest)).toBeUndefined();
    expect(await store.open(gathered.digest)).toBeUndefined();
    expect(await readdir(layout.quarantineFolder)).toHaveLength(1);
    await gather(store, gathered);
    expect(nameOf(await contentIn(store, gathered.digest))).toBe(nameOf(gathered.bytes));
  });

  test('only the newest few damaged blobs are kept for inspection', async () => {
    await using store = await openFsStore(directory.path);
    for (let seed = 1; seed <= 7; seed += 1) {
      const blob = makeBlob(100, seed);
      await store.put(blob.digest, blob.bytes);
      await flipByte(layout.blobFile(blob.digest), 5);
    }
    expect((await listAll(store.verify())).filter(({ state }) => state === 'damaged')).toHaveLength(7);
    expect(await readdir(layout.quarantineFolder)).toHaveLength(4);
  });

  test('a reader of a file that was cut short gets an error, never other bytes', async () => {
    await using store = await openFsStore(directory.path);
    const blob = makeBlob(3 * PIECE);
    await store.put(blob.digest, blob.bytes);
    await using held = await store.open(blob.digest);
    await truncate(layout.blobFile(blob.digest), PIECE);
    await expect(held?.read({ start: 0, end: 2 * PIECE })).rejects.toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
    expect(store.stat(blob.digest)).toBeUndefined();
  });

  test('a blob whose file vanished is not held', async () => {
    await using store = await openFsStore(directory.path);
    const blob = makeBlob(100);
    await store.put(blob.digest, blob.bytes);
    await unlink(layout.blobFile(blob.digest));
    expect(await store.open(blob.digest)).toBeUndefined();
    expect(store.stat(blob.digest)).toBeUndefined();
    await store.put(blob.digest, blob.bytes);
    expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
  });
});

describe('on disk', () => {
  test('a complete blob lies where the layout says, and nothing else is left', async () => {
    await using store = await openFsStore(directory.path);
    const blob = makeBlob(20 * PIECE);
    await gather(store, blob);
    expect(nameOf(await readFile(layout.blobFile(blob.digest)))).toBe(nameOf(blob.bytes));
    expect(await readdir(layout.partialFolder)).toEqual([]);
    expect(await readdir(layout.incomingFolder)).toEqual([]);
    expect(await readdir(dirname(layout.blobFile(blob.digest)))).toHaveLength(1);
  });

  test('a partial blob takes no more of the disk than its pieces', async () => {
    await using store = await openFsStore(directory.path);
    const sizeBytes = 1024 * PIECE;
    const { digest } = makeBlob(1);
    await using partial = await store.openPartial(digest, sizeBytes);
    expect(partial.geometry.sizeBytes).toBe(sizeBytes);
    const facts = await stat(join(layout.partialBlobFolder(digest), 'data'));
    expect(facts.size).toBe(sizeBytes);
    expect(facts.blocks * 512).toBeLessThan(PIECE);
  });

  test('blobs that are gathered at once are all hashed right', async () => {
    await using store = await openFsStore(directory.path);
    const blobs = [1, 2, 3, 4, 5, 6].map((seed) => makeBlob((20 + seed) * PIECE + seed, seed));
    await Promise.all(blobs.map(async (blob) => await gather(store, blob)));
    for (const blob of blobs) expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
  });
});

test('metrics tell what is held, the limit, evictions and damage', async () => {
  const metrics = new Registry();
  await using store = await openFsStore(directory.path, { maxSizeBytes: 250 }, { metrics });
  const blobs = [makeBlob(100, 1), makeBlob(100, 2), makeBlob(100, 3)] as const;
  for (const blob of blobs) await store.put(blob.digest, blob.bytes);
  await flipByte(layout.blobFile(blobs[2].digest), 5);
  await listAll(store.verify());
  const text = await metrics.metrics();
  expect(text).toContain('dockyard_store_bytes{state="complete"} 100');
  expect(text).toContain('dockyard_store_blobs 1');
  expect(text).toContain('dockyard_store_limit_bytes 250');
  expect(text).toContain('dockyard_store_evictions_total{reason="size",kind="blob"} 1');
  expect(text).toContain('dockyard_store_damaged_total 1');
});
