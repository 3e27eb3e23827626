/** A token bucket: operators' limits on bytes per second. 0 means no limit. */

/** What may be used at once after a pause, as a share of a second. */
const BURST_SECONDS = 0.1;
/** Never a smaller burst: one frame must fit. */
const MIN_BURST_BYTES = 64 * 1024;

export class RateLimit {
  readonly #nowMs: () => number;
  #bytesPerSecond: number;
  #tokens: number;
  #filledAtMs: number;
  readonly #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(bytesPerSecond: number, nowMs: () => number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#nowMs = nowMs;
    this.#filledAtMs = nowMs();
    this.#tokens = this.#burst();
  }

  /** Changes the limit at run time. */
  setRate(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
    this.#tokens = this.#burst();
    this.#release();
  }

  /** Takes up to `bytes`; answers how many were granted, 0 when the bucket is empty. */
  take(bytes: number): number {
    if (this.#bytesPerSecond === 0) return bytes;
    this.#fill();
    if (this.#tokens < Math.min(bytes, MIN_BURST_BYTES)) return 0;
    const granted = Math.min(bytes, Math.floor(this.#tokens));
    this.#tokens -= granted;
    return granted;
  }

  /** Calls back, once, when some bytes may be taken again. */
  whenAllowed(callback: () => void): void {
    this.#waiting.push(callback);
    this.#timer ??= setTimeout(() => this.#release(), (MIN_BURST_BYTES / this.#bytesPerSecond) * 1000);
  }

  /** Waits until `bytes`, which may be more than a burst, have been granted. */
  async acquire(bytes: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    let left = bytes;
    while (left > 0) {
      options.signal?.throwIfAborted();
      const granted = this.take(Math.min(left, MIN_BURST_BYTES));
      left -= granted;
      if (granted === 0) await new Promise<void>((resolve) => this.whenAllowed(resolve));
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#release();
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
