/** A bounded number of connections at once; who comes later waits in line, outside of any network timeout. */

interface Waiter {
  readonly admit: () => void;
}

export class ConnectionSlots {
  readonly #limit: number;
  readonly #waiting = new Set<Waiter>();
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Waits for a slot; the answer gives it back, and does nothing when called again. */
  async acquire(options: { signal?: AbortSignal | undefined } = {}): Promise<() => void> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#used < this.#limit) this.#used += 1;
    else await this.#wait(signal);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#release();
    };
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const waiter: Waiter = { admit: () => resolve(undefined) };
    const onAbort = (): void => {
      // A waiter that was admitted already keeps its slot: its holder releases it when it sees the abort.
      if (this.#waiting.delete(waiter)) reject(signal?.reason);
    };
    this.#waiting.add(waiter);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Hands the slot to the next in line, so that `used` does not change, or frees it. */
  #release(): void {
    const next = this.#waiting.values().next();
    if (next.done === true) {
      this.#used -= 1;
      return;
    }
    this.#waiting.delete(next.value);
    next.value.admit();
  }
}
