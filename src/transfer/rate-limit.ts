/** A token bucket: operators' limits on bytes per second. 0 means no limit. */
import { abortable } from '../oci/abortable.ts';

/** What may be used at once after a pause, as a share of a second. */
const BURST_SECONDS = 0.1;
/** Never a smaller burst: one frame must fit. */
const MIN_BURST_BYTES = 64 * 1024;

export class RateLimit {
  readonly #nowMs: () => number;
  #bytesPerSecond: number;
  /** Below zero when more was spent than there was. */
  #tokens: number;
  #filledAtMs: number;
  readonly #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(bytesPerSecond: number, nowMs: () => number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#nowMs = nowMs;
    this.#filledAtMs = nowMs();
    this.#tokens = this.#burst();
  }

  /** Changes the limit at run time. */
  setRate(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
    this.#filledAtMs = this.#nowMs();
    this.#tokens = this.#burst();
    this.#release();
  }

  /** True when something may be used now. */
  get isOpen(): boolean {
    this.#fill();
    return this.#isUnlimited || this.#tokens > 0;
  }

  /** Uses all of `bytes`, which cannot be cut: what is too much is owed, and nothing is granted until it is paid. */
  spend(bytes: number): void {
    if (this.#isUnlimited) return;
    this.#fill();
    this.#tokens -= bytes;
  }

  /** Takes up to `bytes`; answers how many were granted, 0 when the bucket is empty. */
  take(bytes: number): number {
    if (this.#isUnlimited) return bytes;
    this.#fill();
    if (this.#tokens < Math.min(bytes, MIN_BURST_BYTES)) return 0;
    const granted = Math.min(bytes, Math.floor(this.#tokens));
    this.#tokens -= granted;
    return granted;
  }

  /** Calls back, once, when a frame may be taken again. */
  whenAllowed(callback: () => void): void {
    this.#waiting.push(callback);
    this.#fill();
    const lacking = this.#isUnlimited ? 0 : Math.max(0, MIN_BURST_BYTES - this.#tokens);
    // A millisecond more: the clock of timers runs in whole ones.
    this.#timer ??= setTimeout(() => this.#release(), lacking === 0 ? 0 : (lacking / this.#bytesPerSecond) * 1000 + 1);
  }

  /** Waits until `bytes`, which may be more than a burst, have been granted. */
  async acquire(bytes: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    let left = bytes;
    while (left > 0) {
      options.signal?.throwIfAborted();
      const granted = this.take(Math.min(left, MIN_BURST_BYTES));
      left -= granted;
      if (granted > 0) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.whenAllowed(resolve);
      await abortable(promise, options.signal);
    }
  }

  /** Lets go of all who wait; from now on there is no limit. */
  close(): void {
    this.#closed = true;
    this.#release();
  }

  get #isUnlimited(): boolean {
    return this.#closed || this.#bytesPerSecond === 0;
  }

  #burst(): number {
    return Math.max(MIN_BURST_BYTES, this.#bytesPerSecond * BURST_SECONDS);
  }

  #fill(): void {
    const nowMs = this.#nowMs();
    this.#tokens = Math.min(this.#burst(), this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * this.#bytesPerSecond);
    this.#filledAtMs = nowMs;
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const callback of this.#waiting.splice(0)) callback();
  }
}
