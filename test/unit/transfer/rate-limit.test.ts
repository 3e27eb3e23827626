import { expect, test, vi, beforeEach, afterEach } from 'vitest';
import { RateLimit } from '../../../src/transfer/rate-limit.ts';

const KIB = 1024;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A limit on the virtual clock. */
function limitOf(bytesPerSecond: number): RateLimit {
  return new RateLimit(bytesPerSecond, () => Date.now());
}

test('without a limit everything is granted at once', async () => {
  const limit = limitOf(0);
  expect(limit.take(1e12)).toBe(1e12);
  limit.spend(1e12);
  expect(limit.isOpen).toBe(true);
  await limit.acquire(1e12);
});

test.each([100 * KIB, 1024 * KIB, 64 * 1024 * KIB])(
  'over time %i bytes a second are granted, and no more',
  async (rate) => {
    const limit = limitOf(rate);
    const startMs = Date.now();
    let grantedBytes = 0;
    let isOver = false;
    const pump = (): void => {
      if (isOver) return;
      for (let granted = limit.take(64 * KIB); granted > 0; granted = limit.take(64 * KIB)) grantedBytes += granted;
      limit.whenAllowed(pump);
    };
    pump();
    await vi.advanceTimersByTimeAsync(20_000);
    isOver = true;
    limit.close();
    const seconds = (Date.now() - startMs) / 1000;
    const burst = Math.max(64 * KIB, rate * 0.1);
    expect(grantedBytes).toBeLessThanOrEqual(rate * seconds + burst + 64 * KIB);
    expect(grantedBytes).toBeGreaterThan(rate * seconds * 0.8);
  },
);

test('what cannot be cut is owed, and paid before anything else is granted', () => {
  const limit = limitOf(1024 * KIB);
  limit.spend(2 * 1024 * KIB);
  expect([limit.isOpen, limit.take(1)]).toEqual([false, 0]);
  vi.advanceTimersByTime(1800);
  expect(limit.isOpen).toBe(false);
  vi.advanceTimersByTime(300);
  expect(limit.isOpen).toBe(true);
  limit.close();
});

test('who waits for more than a burst gets it in its time', async () => {
  const limit = limitOf(1024 * KIB);
  let isDone = false;
  const waiting = limit.acquire(3 * 1024 * KIB).then(() => (isDone = true));
  await vi.advanceTimersByTimeAsync(2500);
  expect(isDone).toBe(false);
  await vi.advanceTimersByTimeAsync(800);
  expect(isDone).toBe(true);
  await waiting;
});

test('waiting ends at once when it is aborted, when the limit is lifted, and when it is closed', async () => {
  const limit = limitOf(1);
  const abort = new AbortController();
  const aborted = limit.acquire(1e9, { signal: abort.signal });
  const lifted = limit.acquire(1e9);
  abort.abort();
  await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  limit.setRate(0);
  await lifted;
  limit.setRate(1);
  const closed = limit.acquire(1e9);
  limit.close();
  await closed;
  expect(vi.getTimerCount()).toBe(0);
});
