/** Time and chance as collaborators, so that tests can set both. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason when it is aborted. */
  sleep(delayMs: number, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}

async function sleep(delayMs: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
  options.signal?.throwIfAborted();
  try {
    await delay(delayMs, undefined, options.signal === undefined ? {} : { signal: options.signal });
  } catch (error) {
    // node:timers wraps the reason; callers compare the reason itself.
    options.signal?.throwIfAborted();
    throw error;
  }
}

/** The clock of the machine, which may be set: for times that are kept on disk or told to others. */
export const systemClock: Clock = { nowMs: () => Date.now(), sleep };

/**
 * Time that only goes forward, told since the epoch: for durations within one process. With a clock that may be set, who is to wait
 * for seconds waits for a day when it was set back by one.
 */
export const steadyClock: Clock = { nowMs: () => performance.timeOrigin + performance.now(), sleep };
