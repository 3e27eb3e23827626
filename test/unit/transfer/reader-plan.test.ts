import { expect, test } from 'vitest';
import { ReaderPlan } from '../../../src/transfer/reader-plan.ts';

const TICK_MS = 100;

/** Lets time pass; the origin gives what `rate` says of the number of readers, in bytes per millisecond. */
function run(plan: ReaderPlan, rate: (readers: number) => number, durationMs: number, fromMs = 0): number[] {
  const targets: number[] = [];
  let readers = 1;
  for (let nowMs = fromMs; nowMs < fromMs + durationMs; nowMs += TICK_MS) {
    plan.onBytes(rate(readers) * TICK_MS, nowMs);
    readers = plan.target(nowMs);
    if (targets.at(-1) !== readers) targets.push(readers);
  }
  return targets;
}

test('an origin that gives each connection a part gets more readers, until that brings nothing', () => {
  const targets = run(new ReaderPlan(16), (readers) => Math.min(readers * 1000, 4000), 4900);
  expect(targets).toEqual([1, 2, 4, 8, 4]);
});

test('an origin that gives one connection all it has is tried with a second reader now and then, no more', () => {
  const targets = run(new ReaderPlan(16), () => 1000, 33_300);
  expect(targets).toEqual([1, 2, 1, 2, 1, 2]);
});

test('there are never more readers than allowed', () => {
  expect(Math.max(...run(new ReaderPlan(3), (readers) => readers * 1000, 10_000))).toBe(3);
  expect(run(new ReaderPlan(1), (readers) => readers * 1000, 10_000)).toEqual([1]);
});

test('while nothing comes nobody else is called in', () => {
  const plan = new ReaderPlan(16);
  expect(plan.target(0)).toBe(1);
  expect(plan.target(60_000)).toBe(1);
});
