/** A store on a file system that is really full: a small tmpfs, which only root can mount. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIN_PIECE_SIZE_BYTES as PIECE } from '../../src/content/geometry.ts';
import { StoreLayout } from '../../src/content/layout.ts';
import {
  contentIn,
  fill,
  gather,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  openFsStore,
  type TemporaryDirectory,
} from '../contract/blob-store-fixtures.ts';
import { requirement } from '../skip-reasons.ts';

const DISK_BYTES = 8 * 1024 * 1024;

function mount(path: string): void {
  mkdirSync(path);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', path], { stdio: 'pipe' });
}

function unmount(path: string): void {
  execFileSync('umount', [path], { stdio: 'pipe' });
}

async function canMount(): Promise<boolean> {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, 'disk');
  try {
    mount(path);
    unmount(path);
    return true;
  } catch {
    return false; // Not root, or in a container that may not mount: the reason is told by `requirement`.
  }
}

const mountable = requirement('a tmpfs of its own', await canMount(), 'run as root, where mounting is allowed');

describe.skipIf(!mountable)('on a disk of 8 MiB', () => {
  let directory: TemporaryDirectory;
  let disk: string;
  beforeEach(async () => {
    directory = await makeTemporaryDirectory();
    disk = join(directory.path, 'disk');
    mount(disk);
  });
  afterEach(async () => {
    unmount(disk);
    await directory[Symbol.asyncDispose]();
  });

  /** Takes all free bytes of the disk but `leaveBytes`, as another program would. */
  async function occupy(leaveBytes: number): Promise<string> {
    const { bavail, bsize } = await statfs(disk);
    const path = join(disk, 'ballast');
    await writeFile(path, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
    return path;
  }

  test('older blobs go when the disk is full, and all that is held is right', async () => {
    await using store = await openFsStore(disk);
    const blobs = Array.from({ length: 8 }, (_, index) => makeBlob(40 * PIECE + index, index + 1));
    for (const blob of blobs) await gather(store, blob);
    const held = blobs.filter(({ digest }) => store.stat(digest) !== undefined);
    expect(held.length).toBeGreaterThan(0);
    expect(held.length).toBeLessThan(blobs.length);
    expect(held.at(-1)).toBe(blobs.at(-1));
    for (const blob of held) expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
  });

  test('without anything to evict, the answer is clear, pieces are kept, and the work ends well when there is room', async () => {
    await using store = await openFsStore(disk);
    const blob = makeBlob(30 * PIECE, 1);
    const ballast = await occupy(10 * PIECE);
    await using partial = await store.openPartial(blob.digest, blob.bytes.length);
    const outcomes = await Promise.allSettled(
      blob.pieces.map(async (piece) => await partial.writePiece(piece.index, piece.bytes, piece.hash)),
    );
    const refusals = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refusals.length).toBeGreaterThan(0);
    for (const { reason } of refusals) expect(reason).toMatchObject({ code: 'ERR_STORE_FULL' });
    expect(partial.held.count).toBe(30 - refusals.length);
    expect(partial.held.count).toBeGreaterThan(0);
    const small = makeBlob(PIECE, 2);
    await expect(store.put(small.digest, small.bytes)).rejects.toMatchObject({ code: 'ERR_STORE_FULL' });
    expect(await readdir(new StoreLayout(disk).incomingFolder)).toEqual([]);
    await rm(ballast);
    await fill(partial, blob);
    expect(await partial.complete()).toBe('complete');
    await store.put(small.digest, small.bytes);
    for (const { digest, bytes } of [blob, small]) expect(nameOf(await contentIn(store, digest))).toBe(nameOf(bytes));
  });

  test('a store on a full disk opens, serves what it holds, and keeps new blobs once there is room', async () => {
    const blob = makeBlob(10 * PIECE, 1);
    {
      await using store = await openFsStore(disk);
      await gather(store, blob);
      await store.setPinned(blob.digest, true);
    }
    const ballast = await occupy(0);
    let opened: string | undefined;
    try {
      await using store = await openFsStore(disk);
      expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
      const other = makeBlob(2 * PIECE, 2);
      await expect(store.put(other.digest, other.bytes)).rejects.toMatchObject({ code: 'ERR_STORE_FULL' });
      await rm(ballast);
      await store.put(other.digest, other.bytes);
      await gather(store, makeBlob(12 * PIECE, 3));
      opened = nameOf(await contentIn(store, other.digest));
      expect(opened).toBe(nameOf(other.bytes));
    } catch (error) {
      // LevelDB may need a block to open; then the store says so, and opens when there is one.
      expect(error).toMatchObject({ code: 'ERR_STORE_FULL' });
      await rm(ballast);
    }
    await using store = await openFsStore(disk);
    expect(nameOf(await contentIn(store, blob.digest))).toBe(nameOf(blob.bytes));
    expect(store.stat(blob.digest)?.pinned).toBe(true);
  });

  test('the floor of free disk is left to others', async () => {
    const floorBytes = 3 * 1024 * 1024;
    await using store = await openFsStore(
      disk,
      { minFreeDiskBytes: floorBytes },
      { clock: { nowMs: () => Date.now() } },
    );
    for (let seed = 1; seed <= 6; seed += 1) {
      await gather(store, makeBlob(25 * PIECE, seed));
      const { bavail, bsize } = await statfs(disk);
      // The index grows a little besides.
      expect(bavail * bsize).toBeGreaterThan(floorBytes - 4 * PIECE);
    }
    expect((await store.usage()).blobCount).toBeGreaterThan(0);
  });
});
