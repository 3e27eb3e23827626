import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PieceScheduler } from '../../../src/transfer/piece-scheduler.ts';

/** A scheduler that wants everything, with holders 1 … and the pieces that each has. */
function schedulerWith(
  pieceCount: number,
  holders: readonly (readonly number[])[],
  random: () => number = () => 0.5,
  isOwn?: (piece: number) => boolean,
) {
  const scheduler = new PieceScheduler(pieceCount, random, isOwn);
  holders.forEach((pieces, index) => {
    scheduler.addHolder(index + 1);
    for (const piece of pieces) scheduler.setHas(index + 1, piece);
  });
  for (let piece = 0; piece < pieceCount; piece += 1) scheduler.desire(piece);
  return scheduler;
}

/** All that a holder is asked for until it has nothing more that is needed. */
function drain(scheduler: PieceScheduler, key: number, inOrder = false): number[] {
  const asked: number[] = [];
  for (let piece = scheduler.next(key, inOrder); piece !== undefined; piece = scheduler.next(key, inOrder))
    asked.push(piece);
  return asked;
}

const all = (count: number): number[] => Array.from({ length: count }, (_, piece) => piece);
const holdersOf = (pieceCount: number) =>
  fc.array(fc.uniqueArray(fc.nat({ max: pieceCount - 1 })), { minLength: 1, maxLength: 5 });

describe('a piece scheduler', () => {
  test('asks for every piece that some holder has, and for none twice', () => {
    fc.assert(
      fc.property(
        holdersOf(60),
        fc.boolean(),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (holders, inOrder, stream) => {
          const scheduler = schedulerWith(60, holders, () => Number(stream.next().value ?? 0));
          const asked = holders.flatMap((_, index) => drain(scheduler, index + 1, inOrder));
          expect(new Set(asked).size).toBe(asked.length);
          expect(new Set(asked)).toEqual(new Set(holders.flat()));
        },
      ),
    );
  });

  test('brings every piece in the end, whoever refuses, leaves or returns', () => {
    const event = fc.tuple(
      fc.constantFrom('next', 'settle', 'release', 'lose', 'leave', 'refuse'),
      fc.nat({ max: 3 }),
      fc.nat({ max: 19 }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 120 }), (events) => {
        const scheduler = schedulerWith(20, [all(20), all(20), all(20), all(20)]);
        const owner = new Map<number, Set<number>>();
        for (const [kind, index, piece] of events) {
          const key = index + 1;
          if (kind === 'next') {
            const next = scheduler.next(key, false);
            if (next === undefined) continue;
            expect(owner.get(next)?.size ?? 0).toBe(0);
            owner.set(next, new Set([key]));
          } else if (kind === 'settle') {
            scheduler.settle(piece);
            owner.delete(piece);
          } else if (kind === 'release') {
            scheduler.release(key, piece);
            owner.get(piece)?.delete(key);
          } else if (kind === 'refuse') {
            scheduler.setHasNot(key, piece);
            owner.get(piece)?.delete(key);
          } else if (kind === 'lose') {
            if (scheduler.duplicate(key, piece)) owner.set(piece, (owner.get(piece) ?? new Set()).add(key));
          } else {
            scheduler.removeHolder(key);
            for (const keys of owner.values()) keys.delete(key);
          }
        }
        // One holder of everything comes at last: it is asked for all that nobody else was asked for.
        scheduler.addHolder(99);
        for (const piece of all(20)) scheduler.setHas(99, piece);
        for (const piece of drain(scheduler, 99)) scheduler.settle(piece);
        for (const piece of all(20)) {
          expect(scheduler.isMissing(piece)).toBe((owner.get(piece)?.size ?? 0) > 0);
        }
      }),
    );
  });

  test('goes in order where order is all that counts', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 99 }), { minLength: 1 }), (pieces) => {
        const asked = drain(schedulerWith(100, [pieces]), 1, true);
        expect(asked).toEqual(pieces.toSorted((a, b) => a - b));
      }),
    );
  });

  test('asks first for what a reader waits for', () => {
    const scheduler = schedulerWith(50, [all(50)]);
    scheduler.setReader(Symbol('reader'), 30, 40);
    expect(scheduler.mostUrgent()).toBe(30);
    expect(drain(scheduler, 1, true).slice(0, 12)).toEqual([30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 0, 1]);
  });

  test('mostly asks for the rarest, and not everybody for the same', () => {
    let state = 1;
    const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
    // Pieces 3 and 11 are with holder 1 alone.
    const firsts = Array.from({ length: 200 }, () => {
      const scheduler = schedulerWith(21, [all(20), all(20).filter((piece) => piece !== 3 && piece !== 11)], random);
      return scheduler.next(1, false);
    });
    const rareCounts = [3, 11].map((rare) => firsts.filter((piece) => piece === rare).length);
    expect(Math.min(...rareCounts)).toBeGreaterThan(50);
  });

  test('leaves it to others who reads what only one has: urgency needs a second holder', () => {
    const scheduler = schedulerWith(21, [all(20), [7]], () => 0);
    scheduler.setReader(Symbol('reader'), 7, 20);
    expect(scheduler.next(1, false)).toBe(7);
    const single = schedulerWith(21, [all(20)], () => 0.99);
    single.setReader(Symbol('reader'), 7, 20);
    expect(single.next(1, false)).not.toBe(7);
  });

  test('asks a complete holder for what nobody else has, in order, what falls to this node first', () => {
    const scheduler = schedulerWith(
      12,
      [all(12), [0, 1, 6]],
      () => 0,
      (piece) => piece % 2 === 1,
    );
    scheduler.setReader(Symbol('reader'), 0, 12);
    expect(drain(scheduler, 2)).toEqual([0, 1, 6]);
    for (const piece of [0, 1, 6]) scheduler.release(2, piece);
    expect(drain(scheduler, 1)).toEqual([3, 5, 7, 9, 11, 2, 4, 8, 10, 0, 1, 6]);
  });

  test('knows again what complete holders alone have, when others are gone', () => {
    const scheduler = schedulerWith(4, [all(4), all(4), [0, 1, 2]], () => 0);
    scheduler.setReader(Symbol('reader'), 1, 4);
    expect(scheduler.next(1, false)).toBe(3);
    expect(scheduler.next(1, false)).toBe(1);
    scheduler.release(1, 1);
    scheduler.removeHolder(3);
    expect(scheduler.next(1, false)).toBe(0);
  });

  test('asks a second holder only for what it has and was not asked for', () => {
    const scheduler = schedulerWith(4, [all(4), [0, 1]]);
    expect(drain(scheduler, 1)).toHaveLength(4);
    expect([0, 1, 2].map((piece) => scheduler.duplicate(2, piece))).toEqual([true, true, false]);
    expect(scheduler.duplicate(2, 0)).toBe(false);
    expect(scheduler.settle(0).toSorted((a, b) => a - b)).toEqual([1, 2]);
    expect(scheduler.duplicate(2, 0)).toBe(false);
    scheduler.removeHolder(1);
    expect(scheduler.isRequested(1)).toBe(true);
    expect(scheduler.next(2, false)).toBeUndefined();
    scheduler.removeHolder(2);
    expect([scheduler.isRequested(1), scheduler.availability(1), scheduler.missingCount]).toEqual([false, 0, 3]);
  });

  test('leaves to near holders what they have, until they are too slow', () => {
    let turn = 0;
    const scheduler = new PieceScheduler(4, () => (turn += 0.37) % 1);
    for (let piece = 0; piece < 4; piece += 1) scheduler.desire(piece);
    scheduler.addHolder(1);
    scheduler.addHolder(2, true);
    for (let piece = 0; piece < 4; piece += 1) scheduler.setHas(2, piece, 0);
    for (const piece of [0, 1, 2]) scheduler.setHas(1, piece, 1000);
    for (const inOrder of [true, false]) {
      expect(scheduler.next(2, inOrder, 1500)).toBe(3);
      scheduler.release(2, 3);
    }
    expect(scheduler.next(2, true, 1500)).toBe(3);
    expect([scheduler.next(2, true, 2900), scheduler.next(2, false, 2900)]).toEqual([undefined, undefined]);
    expect(scheduler.next(2, true, 3100)).toBe(0);
    scheduler.removeHolder(1);
    expect(scheduler.next(2, true, 1500)).toBe(1);
  });

  test('leaves to near holders what they had before the first far one came', () => {
    const scheduler = schedulerWith(3, [[0, 1]]);
    scheduler.addHolder(2, true, 5000);
    scheduler.setHasSome(2, [0, 1, 2], (piece) => piece !== 1, 5000);
    expect([scheduler.next(2, true, 6000), scheduler.next(2, true, 6000)]).toEqual([2, undefined]);
    expect([scheduler.next(2, true, 7100), scheduler.next(2, true, 7100)]).toEqual([0, undefined]);
  });

  test('finds runs that nobody has, for the origin', () => {
    const scheduler = schedulerWith(10, [[0, 1, 5]]);
    expect(scheduler.firstUnavailableRun(0, Infinity)).toEqual({ first: 2, count: 3 });
    expect(scheduler.firstUnavailableRun(0, 2)).toEqual({ first: 2, count: 2 });
    scheduler.addHolder(0);
    scheduler.reserve(0, 6);
    expect(scheduler.firstUnavailableRun(5, Infinity)).toEqual({ first: 7, count: 3 });
    scheduler.release(0, 6);
    expect(scheduler.firstUnavailableRun(5, Infinity)).toEqual({ first: 6, count: 4 });
    expect(scheduler.lastUnavailableRun(1)).toEqual({ first: 6, count: 4 });
    expect(scheduler.lastUnavailableRun(4)).toEqual({ first: 6, count: 4 });
    scheduler.settle(8);
    // A piece alone at the end is passed over where runs are to be longer.
    expect(scheduler.lastUnavailableRun(1)).toEqual({ first: 9, count: 1 });
    expect(scheduler.lastUnavailableRun(2)).toEqual({ first: 6, count: 2 });
    expect(scheduler.lastUnavailableRun(3)).toEqual({ first: 2, count: 3 });
    expect(scheduler.lastUnavailableRun(4)).toBeUndefined();
    for (const piece of all(10)) scheduler.settle(piece);
    expect(scheduler.firstUnavailableRun(0, Infinity)).toBeUndefined();
  });

  test('takes what makes no sense without harm', () => {
    const scheduler = schedulerWith(3, [[0]]);
    scheduler.setHas(77, 0);
    scheduler.release(77, 0);
    scheduler.release(1, 0xffff_ffff);
    scheduler.setHasNot(1, 0xffff_ffff);
    scheduler.removeHolder(77);
    expect(scheduler.next(77, true)).toBeUndefined();
    expect(drain(scheduler, 1)).toEqual([0]);
  });
});
