/**
 * How many nodes should read one blob from its origin at once. One is enough unless the origin gives each connection only a
 * part of what the swarm could take, which shows when it is tried: readers are doubled for as long as that brings more, and
 * taken back when it does not. Pure: times are given.
 */

/** A number of readers is tried for so long; what comes in the first part, while connections begin, does not count. */
const TRIAL_MS = 700;
const WARM_UP_MS = 250;
/** Doubling is worth it when it brings this share of what it could. */
const WORTHWHILE_GAIN = 0.4;
/** After a doubling that brought nothing the next one waits for so long. */
const REST_MS = 15_000;

export class ReaderPlan {
  readonly #maxReaders: number;
  #target = 1;
  /** The last number of readers that was worth it, and what it brought. */
  #proven = 1;
  #provenRate = 0;
  #trialAtMs: number | undefined;
  #trialBytes = 0;
  #restUntilMs = 0;

  constructor(maxReaders: number) {
    this.#maxReaders = maxReaders;
  }

  /** Bytes left the origin for the swarm, whoever read them. */
  onBytes(bytes: number, nowMs: number): void {
    this.#trialAtMs ??= nowMs;
    if (nowMs - this.#trialAtMs >= WARM_UP_MS) this.#trialBytes += bytes;
  }

  /** A reader was lost: what came without it says nothing about how many are worth while. */
  onLost(nowMs: number): void {
    this.#trialAtMs = nowMs;
    this.#trialBytes = 0;
  }

  /** More than one reader has proved to be worth while. */
  get isShared(): boolean {
    return this.#proven > 1;
  }

  /** More readers than have proved to be worth while are being tried. */
  get isTrial(): boolean {
    return this.#target > this.#proven;
  }

  /** How many readers there should be now, this node included. To be asked a few times a second. */
  target(nowMs: number): number {
    if (this.#trialAtMs === undefined || nowMs - this.#trialAtMs < TRIAL_MS) return this.#target;
    const rate = this.#trialBytes / (nowMs - this.#trialAtMs - WARM_UP_MS);
    this.#judge(rate, nowMs);
    this.#trialAtMs = nowMs;
    this.#trialBytes = 0;
    return this.#target;
  }

  #judge(rate: number, nowMs: number): void {
    const possibleGain = this.#target / this.#proven - 1;
    if (this.isTrial && rate < this.#provenRate * (1 + possibleGain * WORTHWHILE_GAIN)) {
      this.#target = this.#proven;
      this.#restUntilMs = nowMs + REST_MS;
      return;
    }
    this.#proven = this.#target;
    this.#provenRate = rate;
    if (nowMs >= this.#restUntilMs) this.#target = Math.min(this.#target * 2, this.#maxReaders);
  }
}
