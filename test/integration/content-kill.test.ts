/** What is left when the process that writes to a store is killed at any moment. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { StoreLayout } from '../../src/content/layout.ts';
import type { FsBlobStore } from '../../src/content/fs-blob-store.ts';
import {
  contentIn,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  openFsStore,
  seededBytes,
} from '../contract/blob-store-fixtures.ts';
import { killBlobSeed, killBlobSize } from './content-kill-blobs.ts';

const CHILD = fileURLToPath(new URL('./content-kill-child.ts', import.meta.url));
const ROUNDS = 25;
const SEED = Number(process.env['TEST_SEED'] ?? 20_261_120);

/** What the child said it had done, when it was killed. */
interface Told {
  /** Blobs that were published, and those of which a removal was begun afterwards. */
  readonly complete: Set<number>;
  readonly uncertain: Set<number>;
  readonly pieces: Map<number, Set<number>>;
  steps: number;
}

function hear(told: Told, line: string): void {
  const [word = '', first = '', second = ''] = line.split(' ');
  const number = Number(first);
  told.steps += 1;
  if (word === 'piece') {
    const pieces = told.pieces.get(number) ?? new Set();
    told.pieces.set(number, pieces.add(Number(second)));
  }
  if (word === 'complete') {
    told.complete.add(number);
    told.uncertain.delete(number);
    told.pieces.delete(number);
  }
  if (word === 'removing') told.uncertain.add(number);
  if (word === 'removed') {
    told.complete.delete(number);
    told.uncertain.delete(number);
  }
}

/** Runs the child until it has told of `steps` steps, and kills it a few microseconds later, or earlier than it knows. */
async function runAndKill(directory: string, seed: number, steps: number, told: Told): Promise<void> {
  const child = spawn(process.execPath, [CHILD, directory, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  told.steps = 0;
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    hear(told, line);
    // What it still wrote to the pipe before it died is read to the end.
    if (told.steps === steps) child.kill('SIGKILL');
  }
  const [code, signal] = (await exited) as [number | null, string | null];
  expect({ code, signal }).toEqual({ code: null, signal: 'SIGKILL' });
}

async function checkComplete(store: FsBlobStore, told: Told): Promise<void> {
  for (let number = 0; number < 12; number += 1) {
    const blob = makeBlob(killBlobSize(number), killBlobSeed(number));
    const found = await contentIn(store, blob.digest);
    if (told.complete.has(number) && !told.uncertain.has(number)) expect(nameOf(found)).toBe(nameOf(blob.bytes));
    // What the child had no time to tell of may be there too, but then it is right.
    if (found !== undefined) expect(nameOf(found)).toBe(nameOf(blob.bytes));
    told.complete.delete(number);
    if (found !== undefined) told.complete.add(number);
  }
  told.uncertain.clear();
}

async function checkPartials(store: FsBlobStore, told: Told): Promise<void> {
  for (const [number, pieces] of told.pieces) {
    const blob = makeBlob(killBlobSize(number), killBlobSeed(number));
    if (store.stat(blob.digest) !== undefined) continue;
    await using partial = await store.openPartial(blob.digest, blob.bytes.length);
    for (const index of pieces)
      expect({ number, index, held: partial.held.has(index) }).toEqual({ number, index, held: true });
    for (const piece of blob.pieces) {
      if (!partial.held.has(piece.index)) continue;
      const start = piece.index * partial.geometry.pieceSizeBytes;
      expect(nameOf(await partial.read({ start, end: start + piece.bytes.length }))).toBe(nameOf(piece.bytes));
    }
  }
  told.pieces.clear();
  for (const { digest, geometry } of Array.from(store.listPartials())) {
    await using partial = await store.openPartial(digest, geometry.sizeBytes);
    const number = Array.from({ length: 12 }, (_, index) => index).find(
      (index) => makeBlob(killBlobSize(index), killBlobSeed(index)).digest === digest,
    );
    const held = Array.from({ length: geometry.pieceCount }, (_, index) => index).filter((index) =>
      partial.held.has(index),
    );
    told.pieces.set(number ?? -1, new Set(held));
  }
}

async function checkFiles(store: FsBlobStore, layout: StoreLayout): Promise<void> {
  expect(await readdir(layout.incomingFolder)).toEqual([]);
  expect(await readdir(layout.quarantineFolder)).toEqual([]);
  expect(await readdir(layout.partialFolder)).toHaveLength(Array.from(store.listPartials()).length);
  const files = (await readdir(layout.blobsFolder, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  expect(files.map(({ name }) => `sha256:${name}`).toSorted()).toEqual(
    Array.from(store.list(), ({ digest }) => digest).toSorted(),
  );
}

test(
  `a store whose process is killed at ${ROUNDS} random moments serves no wrong byte, keeps every piece, leaves no stray file (seed ${SEED})`,
  { timeout: 180_000 },
  async () => {
    await using directory = await makeTemporaryDirectory();
    const layout = new StoreLayout(directory.path);
    const moments = seededBytes(ROUNDS * 2, SEED);
    const told: Told = { complete: new Set(), uncertain: new Set(), pieces: new Map(), steps: 0 };
    for (let round = 0; round < ROUNDS; round += 1) {
      await runAndKill(directory.path, SEED + round, 2 + (moments.readUInt16LE(round * 2) % 200), told);
      await using store = await openFsStore(directory.path);
      await checkComplete(store, told);
      await checkPartials(store, told);
      await checkFiles(store, layout);
    }
    expect(told.complete.size).toBeGreaterThan(0);
  },
);
