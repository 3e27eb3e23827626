/** Random work on a store, compared with what a plain list of rules says of it. */
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { test } from 'vitest';
import type { PartialBlob } from '../../../src/content/blob-store.ts';
import type { FsBlobStore } from '../../../src/content/fs-blob-store.ts';
import { MIN_PIECE_SIZE_BYTES as PIECE } from '../../../src/content/geometry.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import {
  contentIn,
  makeBlob,
  makeTemporaryDirectory,
  nameOf,
  openFsStore,
} from '../../contract/blob-store-fixtures.ts';

const BLOBS = [0, 100, PIECE, 2 * PIECE + 5, 3 * PIECE, 17 * PIECE + 1].map((sizeBytes, seed) =>
  makeBlob(sizeBytes, seed + 50),
);
const LIMIT_BYTES = 22 * PIECE;

type Step =
  | {
      readonly kind: 'open' | 'close' | 'discard' | 'reset' | 'complete' | 'put' | 'remove' | 'read' | 'pin' | 'unpin';
      readonly blob: number;
    }
  | { readonly kind: 'piece'; readonly blob: number; readonly piece: number }
  | { readonly kind: 'restart' };

const blobIndex = fc.nat(BLOBS.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('piece' as const), blob: blobIndex, piece: fc.nat(17) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'open',
        'open',
        'open',
        'close',
        'complete',
        'complete',
        'put',
        'read',
        'discard',
        'reset',
        'remove',
        'pin',
        'unpin',
      ),
      blob: blobIndex,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

/** A store and what must be true of it. */
class Run {
  readonly #directory: string;
  readonly #open = new Map<number, PartialBlob>();
  /** Pieces that open partial blobs must hold: while open, nothing may take them away. */
  readonly #pieces = new Map<number, Set<number>>();
  readonly #pinned = new Set<number>();
  #store: FsBlobStore;

  constructor(directory: string, store: FsBlobStore) {
    this.#directory = directory;
    this.#store = store;
  }

  /** Does one step; a store that is full may say so, anything else is a fault. */
  async step(step: Step): Promise<void> {
    try {
      await this.#do(step);
    } catch (error) {
      if (!isDockyardError(error, 'ERR_STORE_FULL')) throw error;
    }
  }

  async check(): Promise<void> {
    const { blobBytes, partialBytes } = await this.#store.usage();
    assert.ok(blobBytes + partialBytes <= LIMIT_BYTES);
    for (const number of this.#pinned) assert.deepEqual(this.#store.stat(blobAt(number).digest)?.pinned, true);
    for (const [number, partial] of this.#open) {
      const expected = this.#pieces.get(number) ?? new Set();
      assert.deepEqual(partial.held.count, expected.size);
      for (const index of expected) assert.deepEqual(partial.pieceHash(index), blobAt(number).pieces[index]?.hash);
    }
  }

  async finish(): Promise<void> {
    await this.#restart();
    let heldBytes = 0;
    for (const { digest, sizeBytes } of Array.from(this.#store.list())) {
      const blob = BLOBS.find((candidate) => candidate.digest === digest);
      assert.deepEqual(nameOf(await contentIn(this.#store, digest)), nameOf(blob?.bytes));
      heldBytes += sizeBytes;
    }
    assert.deepEqual((await this.#store.usage()).blobBytes, heldBytes);
    await this.#store.close();
  }

  async #do(step: Step): Promise<void> {
    if (step.kind === 'restart') {
      await this.#restart();
      return;
    }
    const { blob: number } = step;
    const { bytes, digest, pieces } = blobAt(number);
    const store = this.#store;
    if (step.kind === 'put') await store.put(digest, bytes);
    else if (step.kind === 'read')
      assert.ok([nameOf(undefined), nameOf(bytes)].includes(nameOf(await contentIn(store, digest))));
    else if (step.kind === 'open') await this.#openPartial(number);
    else if (step.kind === 'unpin' || (step.kind === 'pin' && store.stat(digest) !== undefined)) {
      await store.setPinned(digest, step.kind === 'pin');
      if (step.kind === 'pin') this.#pinned.add(number);
      else this.#pinned.delete(number);
    } else if (step.kind === 'remove') {
      const wasHeld = store.stat(digest) !== undefined;
      assert.deepEqual(await store.remove(digest), wasHeld);
      this.#pinned.delete(number);
    }
    const partial = this.#open.get(number);
    if (partial === undefined) return;
    const held = this.#pieces.get(number) ?? new Set();
    if (step.kind === 'piece') {
      const piece = pieces[step.piece % Math.max(1, pieces.length)];
      if (piece === undefined) return;
      await partial.writePiece(piece.index, piece.bytes, piece.hash);
      held.add(piece.index);
    } else if (step.kind === 'reset') {
      await partial.reset();
      held.clear();
    } else if (step.kind === 'complete' && held.size === pieces.length) {
      assert.deepEqual(await partial.complete(), 'complete');
      this.#open.delete(number);
    } else if (step.kind === 'close' || step.kind === 'discard') {
      this.#open.delete(number);
      await partial[step.kind]();
    }
  }

  async #openPartial(number: number): Promise<void> {
    if (this.#open.has(number)) return;
    const { bytes, digest } = blobAt(number);
    const partial = await this.#store.openPartial(digest, bytes.length);
    this.#open.set(number, partial);
    const indexes = blobAt(number).pieces.map(({ index }) => index);
    this.#pieces.set(number, new Set(indexes.filter((index) => partial.held.has(index))));
  }

  async #restart(): Promise<void> {
    await this.#store.close();
    this.#open.clear();
    this.#store = await openFsStore(this.#directory, { maxSizeBytes: LIMIT_BYTES });
  }
}

function blobAt(number: number): (typeof BLOBS)[number] {
  const blob = BLOBS[number];
  if (blob === undefined) throw new RangeError(`there is no blob ${number}`);
  return blob;
}

test(
  'no order of steps makes a store lose pieces, pins or bytes, pass its limit, or serve a wrong byte',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), async (steps) => {
        await using directory = await makeTemporaryDirectory();
        const run = new Run(directory.path, await openFsStore(directory.path, { maxSizeBytes: LIMIT_BYTES }));
        for (const each of steps) {
          await run.step(each);
          await run.check();
        }
        await run.finish();
      }),
      { numRuns: 12, seed: 20_261_120, endOnFailure: true },
    );
  },
);
