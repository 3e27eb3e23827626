/** A share of a thread's time for one kind of work, so that it is done there only while there is little of it. */
export class TimeShare {
  readonly #share: number;
  readonly #maxMs: number;
  #leftMs: number;
  #countedAtMs = -Infinity;

  /** @param share of the time, below 1 @param maxMs what gathers at most while nothing is taken */
  constructor(share: number, maxMs: number) {
    this.#share = share;
    this.#maxMs = maxMs;
    this.#leftMs = maxMs;
  }

  /** True while something is left of the share. */
  isFree(nowMs: number): boolean {
    const earnedMs = Math.max(0, nowMs - this.#countedAtMs) * this.#share;
    this.#leftMs = Math.min(this.#maxMs, this.#leftMs + earnedMs);
    this.#countedAtMs = nowMs;
    return this.#leftMs > 0;
  }

  /** Work took so long. */
  take(elapsedMs: number): void {
    this.#leftMs -= elapsedMs;
  }
}
