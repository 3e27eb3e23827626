import { expect, test } from 'vitest';
import { CircuitBreaker } from '../../../src/origin/circuit-breaker.ts';

function makeBreaker(): { breaker: CircuitBreaker; clock: { atMs: number; nowMs(): number } } {
  const clock = {
    atMs: 1_000,
    nowMs() {
      return this.atMs;
    },
  };
  return { breaker: new CircuitBreaker({ clock }, { failureThreshold: 3, openMs: 5_000 }), clock };
}

test('a breaker opens after failures in a row, and only then', () => {
  const { breaker } = makeBreaker();
  breaker.failed();
  breaker.failed();
  breaker.succeeded();
  breaker.failed();
  breaker.failed();
  expect(breaker.tryPass()).toBe(true);
  breaker.failed();
  expect(breaker.tryPass()).toBe(false);
  expect(breaker.isOpen).toBe(true);
});

test('an open breaker lets one request try after its time, and a success closes it', () => {
  const { breaker, clock } = makeBreaker();
  for (let count = 0; count < 3; count += 1) breaker.failed();
  clock.atMs += 5_000;
  expect([breaker.tryPass(), breaker.tryPass()]).toEqual([true, false]);
  breaker.succeeded();
  expect([breaker.tryPass(), breaker.tryPass()]).toEqual([true, true]);
});

test('a probe that fails or never tells keeps the breaker open for another while', () => {
  const { breaker, clock } = makeBreaker();
  for (let count = 0; count < 3; count += 1) breaker.failed();
  clock.atMs += 5_000;
  breaker.tryPass();
  breaker.failed();
  clock.atMs += 4_999;
  expect(breaker.tryPass()).toBe(false);
  clock.atMs += 1;
  expect(breaker.tryPass()).toBe(true);
  clock.atMs += 5_000;
  expect(breaker.tryPass()).toBe(true);
});
