/** What a clock that is set does to waits. */
import { afterEach, expect, test, vi } from 'vitest';
import { CircuitBreaker } from '../../../src/origin/circuit-breaker.ts';
import { steadyClock, systemClock } from '../../../src/origin/clock.ts';

const DAY_MS = 24 * 3_600_000;

afterEach(() => {
  vi.useRealTimers();
});

test('a machine whose clock is set back by a day does not keep an upstream shut for a day', () => {
  const startedAtMs = steadyClock.nowMs();
  const breaker = new CircuitBreaker({ clock: steadyClock }, { failureThreshold: 1, outageMs: 0, openMs: 0 });
  const pass = breaker.tryPass();
  if (pass === undefined) throw new Error('a breaker is closed at first');
  breaker.failed(pass, undefined);
  expect(breaker.isOpen).toBe(true);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - DAY_MS });
  expect(systemClock.nowMs() - startedAtMs).toBeLessThan(-DAY_MS / 2);
  expect(steadyClock.nowMs()).toBeGreaterThanOrEqual(startedAtMs);
  expect(breaker.tryPass()).toBeDefined();
});
