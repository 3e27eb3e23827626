import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Channel } from '../../../src/transfer/channel.ts';
import { HashNeeds } from '../../../src/transfer/hash-needs.ts';
import type { PieceMap } from '../../../src/transfer/piece-map.ts';
import type { PieceRun } from '../../../src/transfer/wire.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const HASH = Buffer.alloc(32);

/** Needs of a blob of which some hashes are known, and what was asked of whom. */
function makeNeeds(...known: number[]) {
  const hashes = new Set(known);
  const asked: { peer: string; runs: readonly PieceRun[] }[] = [];
  const map = { hash: (piece: number) => (hashes.has(piece) ? HASH : undefined) } as Partial<PieceMap> as PieceMap;
  const needs = new HashNeeds({
    map: () => map,
    nowMs: () => Date.now(),
    ask: (channel, runs) => asked.push({ peer: channel as unknown as string, runs }),
  });
  return { needs, hashes, asked };
}

const peer = (name: string): Channel => name as unknown as Channel;

test('a peer is asked once, in runs, for the hashes that nobody tells in time', () => {
  const { needs, asked } = makeNeeds(2);
  needs.onHas(peer('a'), [0, 1, 2, 3]);
  needs.onHas(peer('b'), [0, 1, 3]);
  expect(asked).toEqual([]);
  vi.advanceTimersByTime(100);
  expect(asked).toEqual([
    {
      peer: 'a',
      runs: [
        { start: 0, count: 2 },
        { start: 3, count: 1 },
      ],
    },
  ]);
});

test('what the author tells within the patience is asked of nobody', () => {
  const { needs, asked, hashes } = makeNeeds();
  needs.onHas(peer('a'), [0, 1]);
  hashes.add(0).add(1);
  vi.advanceTimersByTime(60_000);
  expect(asked).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

test('one who does not answer is followed by another, ever more slowly', () => {
  const { needs, asked } = makeNeeds();
  needs.onHas(peer('a'), [0]);
  needs.onHas(peer('b'), [0]);
  vi.advanceTimersByTime(10_000);
  expect(asked.map(({ peer: name }) => name)).toEqual(['a', 'b', 'a', 'b', 'a']);
});

test('one who leaves is followed by another at once', () => {
  const { needs, asked } = makeNeeds();
  needs.onHas(peer('a'), [0]);
  needs.onHas(peer('b'), [0]);
  vi.advanceTimersByTime(10);
  needs.forget(peer('a'));
  vi.advanceTimersByTime(10);
  expect(asked.map(({ peer: name }) => name)).toEqual(['a', 'b']);
});

test('an end is an end', () => {
  const { needs, asked } = makeNeeds();
  needs.onHas(peer('a'), [0]);
  needs.close();
  vi.advanceTimersByTime(60_000);
  expect(asked).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
