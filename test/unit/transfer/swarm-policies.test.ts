/** The small pure parts that decide about peers: pace, reveal plan, rendezvous. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { HolderPace } from '../../../src/transfer/holder-pace.ts';
import { Rendezvous } from '../../../src/transfer/rendezvous.ts';
import { RevealPlan } from '../../../src/transfer/reveal-plan.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const KIB = 1024;

describe('the pace of a holder', () => {
  test('begins with half a megabyte and never asks for fewer than two pieces', () => {
    const pace = new HolderPace(0, 16 * 1024 * KIB);
    expect(pace.windowPieces(64 * KIB, 1)).toBe(8);
    expect(pace.windowPieces(1024 * KIB, 1)).toBe(2);
  });

  test('asks less of each where many holders send, so that nothing waits at one that another could bring', () => {
    const pace = new HolderPace(0, 16 * 1024 * KIB);
    expect([1, 2, 4, 8, 12].map((holderCount) => pace.windowPieces(64 * KIB, holderCount))).toEqual([8, 4, 2, 2, 1]);
    for (let ms = 0; ms < 2000; ms += 10) pace.onBytes(128 * KIB, ms);
    const [alone = 0, amongMany = 0] = [1, 8].map((holderCount) => pace.windowPieces(64 * KIB, holderCount));
    expect(amongMany).toBeLessThan(alone / 2);
    expect(amongMany).toBeGreaterThan(2);
  });

  test('widens with the measured rate up to its bound, and narrows again', () => {
    const pace = new HolderPace(0, 4 * 1024 * KIB);
    for (let ms = 0; ms < 2000; ms += 10) pace.onBytes(1024 * KIB, ms);
    expect(pace.windowPieces(64 * KIB, 1)).toBe(64);
    expect(pace.rateBytesPerSecond).toBeGreaterThan(50 * 1024 * KIB);
    for (let ms = 2000; ms < 6000; ms += 60) pace.onBytes(6 * KIB, ms);
    expect(pace.windowPieces(64 * KIB, 1)).toBe(2);
  });

  test('tells how long a piece among others may take, once that was measured', () => {
    const pace = new HolderPace(0, 1024 * KIB);
    expect(pace.expectedMs(2, 64 * KIB)).toBe(0);
    pace.onBytes(64 * KIB, 64);
    expect(pace.expectedMs(2, 64 * KIB)).toBe(128);
  });

  test('is stalled when something is owed and nothing comes, from the moment it was asked', () => {
    const pace = new HolderPace(0, 1024 * KIB);
    expect(pace.isStalled(10_000, 0, 2000)).toBe(false);
    pace.onAsked(10_000, true);
    expect([pace.isStalled(11_999, 3, 2000), pace.isStalled(12_000, 3, 2000)]).toEqual([false, true]);
    pace.onBytes(1, 11_000);
    pace.onAsked(12_500, false);
    expect([pace.isStalled(12_999, 3, 2000), pace.isStalled(13_000, 3, 2000)]).toEqual([false, true]);
  });

  test('is left alone while it is busy', () => {
    const pace = new HolderPace(0, 1024 * KIB);
    pace.onBusy(100, 500);
    expect([pace.isBusy(599), pace.isBusy(600)]).toEqual([true, false]);
  });
});

describe('a reveal plan', () => {
  test('tells each piece to one peer, evenly', () => {
    const plan = new RevealPlan<string>();
    const peers = ['a', 'b', 'c'];
    const told = Array.from({ length: 30 }, (_, piece) => plan.choose(piece, peers, 0));
    for (const peer of peers) expect(told.filter((one) => one === peer).length).toBe(10);
    expect(plan.choose(31, [], 0)).toBeUndefined();
  });

  test('gives more to those who fetch', () => {
    const plan = new RevealPlan<string>();
    for (let piece = 0; piece < 20; piece += 1) {
      const chosen = plan.choose(piece, ['fast', 'slow'], 0);
      if (chosen === 'fast') plan.onHas('fast', piece);
    }
    expect(plan.remove('slow').length).toBeLessThan(3);
    expect(plan.remove('fast')).toEqual([]);
  });

  test('takes it as spread whoever shows a piece: who was told does not tell back', () => {
    const plan = new RevealPlan<string>();
    plan.choose(1, ['a'], 0);
    plan.choose(2, ['a'], 0);
    plan.onHas('b', 1);
    expect(plan.awaitedCount).toBe(1);
    expect(plan.overdue(600)).toEqual([2]);
    expect(plan.awaitedCount).toBe(0);
  });

  test('leaves pieces with a peer that brings others meanwhile, though not for ever', () => {
    const plan = new RevealPlan<string>();
    for (let piece = 0; piece < 100; piece += 1) plan.choose(piece, ['a'], 0);
    const due: number[] = [];
    for (let nowMs = 100; nowMs < 5000; nowMs += 100) {
      plan.onHas('b', nowMs / 100);
      due.push(...plan.overdue(nowMs));
    }
    expect(due).toEqual([]);
    expect(plan.overdue(5000)).toContain(99);
  });

  test('does not blame a peer that asked for what it was told of and waits for its turn', () => {
    const plan = new RevealPlan<string>();
    plan.choose(1, ['a'], 0);
    plan.choose(2, ['a'], 0);
    plan.onWanted('a', [1, 2]);
    // Others come to their turns meanwhile, but not often.
    for (const nowMs of [1000, 2000, 3000]) {
      plan.choose(nowMs, ['b'], nowMs);
      plan.onHas('b', nowMs);
      expect(plan.overdue(nowMs + 900)).toEqual([]);
    }
    plan.onHas('b', 1);
    expect([plan.isAwaited(1), plan.isAwaited(2)]).toEqual([false, true]);
    expect(plan.overdue(5100)).toContain(2);
  });

  test('tells all of what a peer asked for that has stopped: others came to their turns again and again', () => {
    const plan = new RevealPlan<string>();
    plan.choose(1, ['a'], 0);
    plan.onWanted('a', [1]);
    for (let nowMs = 100; nowMs <= 1100; nowMs += 100) {
      plan.choose(nowMs, ['b'], nowMs);
      plan.onHas('b', nowMs);
      expect(plan.overdue(nowMs)).toEqual([]);
    }
    expect(plan.overdue(1200)).toEqual([1]);
  });

  test('tells all of what a peer asked for when nothing comes to anybody any more', () => {
    const plan = new RevealPlan<string>();
    plan.choose(1, ['a'], 0);
    plan.choose(2, ['b'], 0);
    plan.onWanted('a', [1]);
    plan.onHas('b', 2);
    expect(plan.overdue(1199)).toEqual([]);
    expect(plan.overdue(1200)).toEqual([1]);
  });

  test('awaits nothing any more when some peer has everything', () => {
    const plan = new RevealPlan<string>();
    plan.choose(1, ['a'], 0);
    plan.onWanted('a', [1]);
    plan.choose(2, ['b'], 0);
    plan.onComplete();
    expect([plan.awaitedCount, plan.overdue(10_000), plan.remove('a')]).toEqual([0, [], []]);
    expect(plan.choose(3, ['a', 'b'], 10_000)).toBeDefined();
  });

  test('tells all of what did not spread in time, once, and of what a peer took with it', () => {
    const plan = new RevealPlan<string>();
    plan.choose(1, ['a'], 0);
    plan.choose(2, ['a'], 400);
    plan.choose(3, ['b'], 400);
    expect(plan.overdue(499)).toEqual([]);
    expect(plan.overdue(500)).toEqual([1]);
    expect(plan.overdue(500)).toEqual([]);
    expect(plan.remove('b')).toEqual([3]);
    expect(plan.overdue(2000)).toEqual([2]);
  });
});

describe('a rendezvous', () => {
  const digest = digestOf(Buffer.from('x'));
  const config = { maxDigests: 3, maxParticipants: 4, maxEntries: 9, gatheringTtlMs: 1000 };
  const names = (table: Rendezvous, nowMs: number, count = 10): string[] =>
    table.participants(digest, 'me', nowMs, count).map(({ peerId }) => peerId);

  test('names the complete first, and never the one who asks', () => {
    const table = new Rendezvous(config, seededRandom(1));
    table.note(digest, 'a', false, 0);
    table.note(digest, 'b', true, 1);
    table.note(digest, 'me', true, 2);
    table.note(digest, 'c', false, 3);
    expect(names(table, 10)[0]).toBe('b');
    expect(names(table, 10).toSorted()).toEqual(['a', 'b', 'c']);
    expect(names(table, 10, 2)[0]).toBe('b');
    expect(names(table, 10, 2)).toHaveLength(2);
  });

  test('names each about as often as the other, also of more than it keeps', () => {
    const table = new Rendezvous({ ...config, maxParticipants: 20, maxEntries: 20 }, seededRandom(7));
    const counts = new Map<string, number>();
    for (let round = 0; round < 300; round += 1) {
      for (let peer = 0; peer < 40; peer += 1) table.note(digest, `peer-${peer}`, false, round);
      for (const name of names(table, round, 5)) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    // 1500 names of 40 peers. Who was noted last is always kept, and named about twice as often as those who may be dropped.
    expect(counts.size).toBe(40);
    expect(Math.max(...counts.values())).toBeLessThan(120);
  });

  test('names nobody twice', () => {
    const table = new Rendezvous({ ...config, maxParticipants: 256 }, seededRandom(3));
    for (let peer = 0; peer < 30; peer += 1) table.note(digest, `peer-${peer}`, peer % 3 === 0, 0);
    for (let count = 1; count < 40; count += 1) {
      const list = names(table, 0, count);
      expect(new Set(list).size).toBe(list.length);
      expect(list).toHaveLength(Math.min(count, 30));
    }
  });

  test('forgets those who gather and are not heard of, but not the complete', () => {
    const table = new Rendezvous(config, seededRandom(1));
    table.note(digest, 'a', false, 0);
    table.note(digest, 'b', true, 0);
    expect(names(table, 5000)).toEqual(['b']);
    table.withdraw(digest, 'b');
    expect([names(table, 5000), table.size]).toEqual([[], 0]);
  });

  test('stays within its bounds whatever is noted', () => {
    const note = fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 9 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(note, { maxLength: 200 }), (notes) => {
        const table = new Rendezvous(config, seededRandom(1));
        notes.forEach(([blob, peer, complete], nowMs) => {
          table.note(digestOf(Buffer.from([blob])), `peer-${peer}`, complete, nowMs);
        });
        expect(table.size).toBeLessThanOrEqual(3);
        let entryCount = 0;
        for (let blob = 0; blob < 10; blob += 1) {
          const list = table.participants(digestOf(Buffer.from([blob])), '', 200, 100);
          expect(list.length).toBeLessThanOrEqual(4);
          entryCount += list.length;
        }
        expect(entryCount).toBeLessThanOrEqual(9);
      }),
    );
  });

  test('keeps a complete peer rather than one who gathers', () => {
    const table = new Rendezvous(config, seededRandom(1));
    table.note(digest, 'complete', true, 0);
    for (let index = 0; index < 10; index += 1) table.note(digest, `gatherer-${index}`, false, index);
    expect(names(table, 10)[0]).toBe('complete');
    table.withdraw(digest, 'complete');
    expect(names(table, 10)).not.toContain('complete');
  });
});
