import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SilenceWatch } from '../../../../node/fetch/silence-watch.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('work is given up when nothing was heard for the time that is allowed', () => {
  using watch = new SilenceWatch(1000, undefined);
  vi.advanceTimersByTime(900);
  watch.heard();
  vi.advanceTimersByTime(900);
  expect(watch.signal.aborted).toBe(false);
  vi.advanceTimersByTime(100);
  expect(watch.signal.reason).toMatchObject({ code: 'ERR_FETCH_STALLED' });
});

test('and never when that is what was asked for, or when all has come', () => {
  using endless = new SilenceWatch(0, undefined);
  using stopped = new SilenceWatch(1000, undefined);
  stopped.stop();
  stopped.heard();
  vi.advanceTimersByTime(1_000_000);
  expect([endless.signal.aborted, stopped.signal.aborted]).toEqual([false, false]);
});

test('another signal ends it too, with its own reason', () => {
  const controller = new AbortController();
  using watch = new SilenceWatch(1000, controller.signal);
  controller.abort(new Error('enough'));
  expect(watch.signal.reason).toMatchObject({ message: 'enough' });
});
