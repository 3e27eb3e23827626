/** Time and chance as collaborators, so that tests can set both. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason when it is aborted. */
  sleep(delayMs: number, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (delayMs, options = {}) => {
    options.signal?.throwIfAborted();
    try {
      await delay(delayMs, undefined, options.signal === undefined ? {} : { signal: options.signal });
    } catch (error) {
      // node:timers wraps the reason; callers compare the reason itself.
      options.signal?.throwIfAborted();
      throw error;
    }
  },
};
