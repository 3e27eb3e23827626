import { hash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import type { PartialBlob } from '../../../src/content/blob-store.ts';
import { Bitfield } from '../../../src/content/bitfield.ts';
import { pieceGeometry, pieceRange } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { LocalPieces, RecentPieces } from '../../../src/transfer/local-pieces.ts';
import { abortable } from '../../../src/oci/abortable.ts';
import { PieceIntake } from '../../../src/transfer/piece-intake.ts';

const SIZE = 3 * 65_536 + 10;

/** A partial blob in memory whose writes end when the test says so. */
function makeIntake(options: { holdWrites?: boolean } = {}) {
  const blob = randomBytes(SIZE);
  const geometry = pieceGeometry(SIZE);
  const held = new Bitfield(geometry.pieceCount);
  const data = Buffer.alloc(SIZE);
  const gate = Promise.withResolvers<void>();
  if (options.holdWrites !== true) gate.resolve();
  const state = { writeError: undefined as Error | undefined, end: 'complete' as 'complete' | 'mismatch' };
  const partial: PartialBlob = {
    digest: digestOf(blob),
    geometry,
    held,
    pieceHash: () => undefined,
    hashPiece: async (bytes) => hash('sha256', bytes, 'buffer'),
    writePiece: async (index, bytes) => {
      await gate.promise;
      if (state.writeError !== undefined) throw state.writeError;
      data.set(bytes, index * geometry.pieceSizeBytes);
      held.add(index);
    },
    read: async (range) => await Promise.resolve(Buffer.from(data.subarray(range.start, range.end))),
    complete: async (given) => {
      await Promise.resolve();
      if (state.end === 'complete') given?.onVerified?.();
      return state.end;
    },
    reset: async () => {
      held.clear();
      data.fill(0);
      await Promise.resolve();
    },
    close: async () => await Promise.resolve(),
    discard: async () => await Promise.resolve(),
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
  const memory = new BufferPool(0);
  const local = new LocalPieces(partial, new RecentPieces(memory, 1024 * 1024));
  const intake = new PieceIntake({ memory, partial, local, openHeld: async () => await Promise.resolve(undefined) });
  const pieceOf = (piece: number): Buffer => {
    const range = pieceRange(geometry, piece);
    return Buffer.from(blob.subarray(range.start, range.end));
  };
  const keep = async (piece: number, bytes = pieceOf(piece)): Promise<void> =>
    await intake.keep(piece, bytes, hash('sha256', bytes, 'buffer'));
  return { intake, local, state, gate, pieceOf, keep };
}

describe('an intake of pieces', () => {
  test('wakes all who wait for a piece before it is on disk', async () => {
    const { intake, gate, keep, pieceOf } = makeIntake({ holdWrites: true });
    const waiting = [intake.wait(1, undefined), intake.wait(1, undefined)];
    const kept = keep(1);
    expect(await Promise.all(waiting)).toEqual([pieceOf(1), pieceOf(1)]);
    expect([intake.has(1), intake.has(0)]).toEqual([true, false]);
    expect(await intake.wait(1, undefined)).toEqual(pieceOf(1));
    gate.resolve();
    await kept;
    expect(await intake.wait(1, undefined)).toEqual(pieceOf(1));
  });

  test('lets each give up alone', async () => {
    const { intake, keep, pieceOf } = makeIntake();
    const abort = new AbortController();
    const impatient = intake.wait(0, abort.signal);
    const patient = intake.wait(0, undefined);
    abort.abort();
    await expect(impatient).rejects.toMatchObject({ name: 'AbortError' });
    await keep(0);
    expect(await patient).toEqual(pieceOf(0));
    await expect(intake.wait(0, abort.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('says when the whole is right, and not before', async () => {
    const { intake, keep } = makeIntake();
    for (const piece of [3, 1, 0]) await keep(piece);
    expect(intake.isAllHeld).toBe(false);
    await keep(2);
    expect(intake.isAllHeld).toBe(true);
    let isFinished = false;
    const waiting = intake.waitFinished(undefined).then(() => (isFinished = true));
    expect(isFinished).toBe(false);
    expect(await intake.finish()).toBe('complete');
    await waiting;
  });

  test('forgets false pieces, in memory as well, and takes the right ones', async () => {
    const { intake, local, state, keep, pieceOf } = makeIntake();
    const wrong = randomBytes(65_536);
    await keep(0, Buffer.from(wrong));
    for (const piece of [1, 2, 3]) await keep(piece);
    state.end = 'mismatch';
    expect(await intake.finish()).toBe('mismatch');
    await intake.reset();
    expect(intake.has(0)).toBe(false);
    const waiting = intake.wait(0, undefined);
    await keep(0);
    expect(await waiting).toEqual(pieceOf(0));
    expect(await local.read(0)).toEqual(pieceOf(0));
  });

  test('gives its failure to all who wait, and to all who come', async () => {
    const { intake } = makeIntake();
    const waiting = intake.wait(2, undefined);
    intake.fail(new Error('disk is gone'));
    intake.fail(new Error('later'));
    await expect(waiting).rejects.toThrow('disk is gone');
    await expect(intake.wait(0, undefined)).rejects.toThrow('disk is gone');
    await expect(intake.waitFinished(undefined)).rejects.toThrow('disk is gone');
  });

  test('does not hold a piece that could not be written', async () => {
    const { intake, state, keep } = makeIntake();
    state.writeError = new Error('full');
    await expect(keep(0)).rejects.toThrow('full');
    expect(intake.has(0)).toBe(false);
  });
});

test('giving up waits for nothing, whatever the work does later', async () => {
  const work = Promise.withResolvers<number>();
  const abort = new AbortController();
  const waiting = abortable(work.promise, abort.signal);
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  work.resolve(1);
  expect(await abortable(work.promise, undefined)).toBe(1);
});
