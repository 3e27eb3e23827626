/** What a disk gives back is not believed: turned bits of complete blobs reach no reader, and no peer as a piece map. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, stat, truncate, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { DiskFile } from '../../../src/content/disk.ts';
import { FsBlobStore } from '../../../src/content/fs-blob-store.ts';
import { pieceGeometry, pieceRange } from '../../../src/content/geometry.ts';
import { StoreLayout } from '../../../src/content/layout.ts';
import { digestOf, type Digest, type DigestAlgorithm } from '../../../src/oci/digest.ts';
import { FaultyDisk } from '../../contract/faulty-disk.ts';

const MIB = 1024 * 1024;
const SIZES = [1, 10_000, 65_537, 300_000, 3 * MIB + 5];

let directory: string;
let nowMs = 0;
let disk: RottingDisk;

/** The real file system, except that what is read may not be what was written. */
class RottingDisk extends FaultyDisk {
  turnsBits = false;

  override async open(path: string, flags: string): Promise<DiskFile> {
    const file = await super.open(path, flags);
    return {
      ...file,
      read: async (buffer, ...rest) => {
        const answer = await file.read(buffer, ...rest);
        if (this.turnsBits) buffer[0] = (buffer[0] ?? 0) ^ 1;
        return answer;
      },
    };
  }
}

beforeEach(async () => {
  disk = new RottingDisk();
  directory = await mkdtemp(join(tmpdir(), 'dockyard-held-'));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
});

async function openStore(): Promise<FsBlobStore> {
  const deps = { clock: { nowMs: () => nowMs }, log: pino({ level: 'silent' }), metrics: new Registry(), disk };
  return await FsBlobStore.open(deps, { directory, maxSizeBytes: Infinity, minFreeDiskBytes: 0 });
}

async function gather(store: FsBlobStore, digest: Digest, bytes: Buffer): Promise<void> {
  const partial = await store.openPartial(digest, bytes.length);
  const { pieceCount } = partial.geometry;
  for (let piece = 0; piece < pieceCount; piece += 1) {
    const { start, end } = pieceRange(pieceGeometry(bytes.length), piece);
    const slice = bytes.subarray(start, end);
    await partial.writePiece(piece, slice, await partial.hashPiece(slice));
  }
  expect(await partial.complete()).toBe('complete');
}

/** As if the index had been lost: what is held is known from the files alone. */
async function loseIndex(): Promise<void> {
  await rm(new StoreLayout(directory).indexFolder, { recursive: true });
}

async function turnBit(digest: Digest, at: number): Promise<void> {
  await using file = await open(new StoreLayout(directory).blobFile(digest), 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer.writeUInt8(buffer.readUInt8() ^ 0x10);
  await file.write(buffer, 0, 1, at);
}

interface Reading {
  readonly bytes: Buffer;
  readonly error: unknown;
}

async function read(store: FsBlobStore, digest: Digest, range: { start: number; end: number }): Promise<Reading> {
  await using held = await store.open(digest);
  const chunks: Buffer[] = [];
  let error: unknown;
  try {
    for await (const chunk of held?.stream(range) ?? []) chunks.push(Buffer.from(chunk));
  } catch (thrown) {
    error = thrown;
  }
  return { bytes: Buffer.concat(chunks), error };
}

describe.each<[string, boolean, DigestAlgorithm]>([
  ['with its piece hashes', true, 'sha256'],
  ['without piece hashes, by sha512', false, 'sha512'],
])('a held blob %s', (_what, hasIndex, algorithm) => {
  /** A store that was closed and opened again since it got these blobs. */
  async function storeWith(blobs: readonly Buffer[]): Promise<FsBlobStore> {
    const first = await openStore();
    for (const bytes of blobs) {
      const digest = digestOf(bytes, algorithm);
      if (bytes.length < MIB) await first.put(digest, bytes);
      else await gather(first, digest, bytes);
    }
    await first.close();
    if (!hasIndex) await loseIndex();
    const store = await openStore();
    onTestFinished(async () => await store.close());
    return store;
  }

  async function reopened(sizeBytes: number): Promise<{ store: FsBlobStore; digest: Digest }> {
    const bytes = randomBytes(sizeBytes);
    return { store: await storeWith([bytes]), digest: digestOf(bytes, algorithm) };
  }

  test('is read whole and in ranges', async () => {
    const blobs = SIZES.map((sizeBytes) => randomBytes(sizeBytes));
    const store = await storeWith(blobs);
    for (const blob of blobs) {
      const middle = Math.floor(blob.length / 2);
      for (const [start, end] of [
        [0, blob.length],
        [middle, blob.length],
        [0, middle],
        [Math.floor(middle / 2), Math.min(middle + 70_000, blob.length)],
        [middle, middle],
      ] as const) {
        const { bytes, error } = await read(store, digestOf(blob, algorithm), { start, end });
        expect(error).toBeUndefined();
        expect(bytes.equals(blob.subarray(start, end))).toBe(true);
      }
    }
  });

  test('with a turned bit is neither read whole nor held any more', async () => {
    const blobs = SIZES.map((sizeBytes) => randomBytes(sizeBytes));
    const store = await storeWith(blobs);
    for (const blob of blobs) {
      const digest = digestOf(blob, algorithm);
      await turnBit(digest, Math.floor(blob.length / 2));
      const { bytes, error } = await read(store, digest, { start: 0, end: blob.length });
      expect(error).toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
      expect(bytes.length).toBeLessThan(blob.length);
      if (hasIndex) expect(bytes.equals(blob.subarray(0, bytes.length))).toBe(true);
      expect(store.stat(digest)).toBeUndefined();
    }
  });

  test('with a turned bit gives no range with it', async () => {
    const { store, digest } = await reopened(3 * MIB + 5);
    await turnBit(digest, 2 * MIB);
    const { bytes, error } = await read(store, digest, { start: 2 * MIB - 10, end: 2 * MIB + 10 });
    expect(error).toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
    expect(bytes.length).toBe(0);
  });

  test('with a turned bit has no piece hashes but the right ones', async () => {
    const { store, digest } = await reopened(3 * MIB + 5);
    await turnBit(digest, 2 * MIB);
    await using held = await store.open(digest);
    const hashing = held?.pieceHashes();
    if (hasIndex) expect((await hashing)?.length).toBe(held === undefined ? 0 : held.geometry.pieceCount * 32);
    else await expect(hashing).rejects.toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
  });

  test('that was read whole is believed for a while, unless it was touched', async () => {
    const { store, digest } = await reopened(3 * MIB + 5);
    const whole = { start: 0, end: 3 * MIB + 5 };
    // A client stops to read with the last byte that it was promised.
    await using held = await store.open(digest);
    let seenBytes = 0;
    for await (const chunk of held?.stream(whole) ?? []) {
      seenBytes += chunk.length;
      if (seenBytes === whole.end) break;
    }
    const path = new StoreLayout(directory).blobFile(digest);
    const { atime, mtime } = await stat(path);
    await turnBit(digest, 2 * MIB);
    await utimes(path, atime, mtime);
    expect((await read(store, digest, whole)).error).toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
  });

  test('that was read whole is hashed again after a while, though its file looks as before', async () => {
    const { store, digest } = await reopened(3 * MIB + 5);
    const whole = { start: 0, end: 3 * MIB + 5 };
    expect((await read(store, digest, whole)).error).toBeUndefined();
    disk.turnsBits = true;
    nowMs += 11 * 60_000;
    expect((await read(store, digest, whole)).error).toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
  });

  test('that was cut short is not read whole', async () => {
    const { store, digest } = await reopened(3 * MIB + 5);
    await truncate(new StoreLayout(directory).blobFile(digest), 2 * MIB);
    const { bytes, error } = await read(store, digest, { start: 0, end: 3 * MIB + 5 });
    expect(error).toMatchObject({ code: 'ERR_BLOB_DAMAGED' });
    expect(bytes.length).toBeLessThanOrEqual(2 * MIB);
  });
});
