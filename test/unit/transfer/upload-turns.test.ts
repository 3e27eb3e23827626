import { describe, expect, test } from 'vitest';
import { UploadTurns } from '../../../src/transfer/upload-turns.ts';

interface Waiter {
  readonly name: string;
  remainingBytes: number;
  readonly openedAtMs: number;
}

/** Serves pieces of 10 bytes until all have everything; answers who was served, in order. Who was served goes last. */
function serve(waiters: Waiter[]): string[] {
  const turns = new UploadTurns();
  const served: string[] = [];
  let waiting = [...waiters];
  for (let next = turns.next(waiting); next !== undefined; next = turns.next(waiting)) {
    const chosen: Waiter = next;
    served.push(chosen.name);
    chosen.remainingBytes -= 10;
    waiting = waiting.filter((waiter) => waiter !== chosen);
    if (chosen.remainingBytes > 0) waiting.push(chosen);
  }
  return served;
}

const lastOf = (served: readonly string[], name: string): number => served.lastIndexOf(name) + 1;

describe('turns of blobs on one link', () => {
  test('of equal layers the first one asked for is whole first, the next ones after it, none later than with equal shares', () => {
    const layers = ['a', 'b', 'c'].map((name, index) => ({ name, remainingBytes: 1000, openedAtMs: index }));
    const served = serve(layers);
    expect(lastOf(served, 'a')).toBeLessThanOrEqual(150);
    expect(lastOf(served, 'b')).toBeLessThanOrEqual(250);
    expect(lastOf(served, 'c')).toBe(300);
  });

  test('a small blob passes a large one that came before it', () => {
    const served = serve([
      { name: 'large', remainingBytes: 10_000, openedAtMs: 0 },
      { name: 'small', remainingBytes: 20, openedAtMs: 1 },
    ]);
    expect(lastOf(served, 'small')).toBeLessThanOrEqual(3);
  });

  test('a large one gets its turn, however many small ones come', () => {
    const turns = new UploadTurns();
    const large = { name: 'large', remainingBytes: 1e9, openedAtMs: 0 };
    let largeCount = 0;
    // Who was served last is last; every small one is new.
    for (let turn = 0; turn < 100; turn += 1) {
      const small = { name: 'small', remainingBytes: 10, openedAtMs: turn };
      if (turns.next([large, small]) === large) largeCount += 1;
    }
    expect(largeCount).toBe(20);
  });

  test('nobody waits: nobody is served', () => {
    expect(new UploadTurns().next([])).toBeUndefined();
  });
});
