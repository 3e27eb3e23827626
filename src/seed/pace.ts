/** Keeps background work to a rate. */
export interface PaceDeps {
  readonly clock: {
    nowMs(): number;
    sleep(delayMs: number, options?: { signal?: AbortSignal | undefined }): Promise<void>;
  };
}

/** Shorter waits are gathered: a timer for every chunk would cost more than it evens out. */
const LEAST_WAIT_MS = 20;

export class Pace {
  readonly #deps: PaceDeps;
  readonly #bytesPerSecond: number;
  /** When what was spent so far is paid for. */
  #paidAtMs = 0;

  /** @param bytesPerSecond Infinity is no limit */
  constructor(deps: PaceDeps, bytesPerSecond: number) {
    this.#deps = deps;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Spends bytes, and waits as long as they take at the rate. Time that was not used is not saved up. */
  async spend(sizeBytes: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const nowMs = this.#deps.clock.nowMs();
    this.#paidAtMs = Math.max(this.#paidAtMs, nowMs) + (sizeBytes / this.#bytesPerSecond) * 1000;
    const waitMs = this.#paidAtMs - nowMs;
    if (waitMs >= LEAST_WAIT_MS) await this.#deps.clock.sleep(waitMs, options);
  }
}
