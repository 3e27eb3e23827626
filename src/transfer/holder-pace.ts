/**
 * How fast a holder answers, and what follows from it: how much to ask of it at once, and when to give it up. Pure:
 * times are given, nothing is measured here.
 */

/** Enough is asked to keep the link busy for this long at the measured rate: it covers round trip and scheduling. */
const WINDOW_MS = 60;
/** The same, where other holders keep the link busy too: what waits at one of many might have come from another sooner. */
const WINDOW_AMONG_MANY_MS = 20;
/** Never fewer: one piece on the wire, one behind it. */
const MIN_WINDOW_PIECES = 2;
const MANY_HOLDERS = 4;
/** Where so many hold pieces one of each will do: no link is idle while one of them has nothing under way. */
const HOLDERS_FOR_SINGLE_PIECES = 12;
/** What is asked before anything was measured, of all holders together. */
const FIRST_WINDOW_BYTES = 512 * 1024;
/** Weight of the newest sample in the running rate. */
const SMOOTHING = 0.3;
/** Samples are taken over at least this long, so that one burst does not look like a rate. */
const SAMPLE_MS = 50;

export class HolderPace {
  #rateBytesPerMs = 0;
  #sampleBytes = 0;
  #sampleStartMs: number;
  #lastProgressMs: number;
  #busyUntilMs = 0;
  readonly #maxWindowBytes: number;

  constructor(nowMs: number, maxWindowBytes: number) {
    this.#sampleStartMs = nowMs;
    this.#lastProgressMs = nowMs;
    this.#maxWindowBytes = maxWindowBytes;
  }

  /** Bytes came from it. */
  onBytes(bytes: number, nowMs: number): void {
    this.#lastProgressMs = nowMs;
    this.#sampleBytes += bytes;
    const elapsedMs = nowMs - this.#sampleStartMs;
    if (elapsedMs < SAMPLE_MS) return;
    const sample = this.#sampleBytes / elapsedMs;
    this.#rateBytesPerMs =
      this.#rateBytesPerMs === 0 ? sample : this.#rateBytesPerMs * (1 - SMOOTHING) + sample * SMOOTHING;
    this.#sampleBytes = 0;
    this.#sampleStartMs = nowMs;
  }

  /** The first request after a pause: waiting begins now. */
  onAsked(nowMs: number, wasIdle: boolean): void {
    if (!wasIdle) return;
    this.#lastProgressMs = nowMs;
    this.#sampleStartMs = nowMs;
    this.#sampleBytes = 0;
  }

  /** It said that it has too much to do. */
  onBusy(nowMs: number, pauseMs: number): void {
    this.#busyUntilMs = nowMs + pauseMs;
  }

  isBusy(nowMs: number): boolean {
    return nowMs < this.#busyUntilMs;
  }

  /** Bytes per second, 0 while unknown. */
  get rateBytesPerSecond(): number {
    return this.#rateBytesPerMs * 1000;
  }

  /**
   * How many pieces may be asked for at once.
   * @param holderCount holders that pieces are asked of at the same time, this one included
   */
  windowPieces(pieceSizeBytes: number, holderCount: number): number {
    const isAmongMany = holderCount >= MANY_HOLDERS;
    const windowMs = isAmongMany ? WINDOW_AMONG_MANY_MS : WINDOW_MS;
    const firstBytes = FIRST_WINDOW_BYTES / Math.max(1, holderCount);
    const bytes = this.#rateBytesPerMs === 0 ? firstBytes : this.#rateBytesPerMs * windowMs * 2;
    const leastPieces = holderCount >= HOLDERS_FOR_SINGLE_PIECES ? 1 : MIN_WINDOW_PIECES;
    return Math.max(leastPieces, Math.ceil(Math.min(bytes, this.#maxWindowBytes) / pieceSizeBytes));
  }

  /** How long a piece that was asked for with others may take at the measured rate; 0 while that is unknown. */
  expectedMs(inFlightCount: number, pieceSizeBytes: number): number {
    return this.#rateBytesPerMs === 0 ? 0 : (inFlightCount * pieceSizeBytes) / this.#rateBytesPerMs;
  }

  /** True when pieces are owed and nothing has come for `stallMs`. */
  isStalled(nowMs: number, inFlightCount: number, stallMs: number): boolean {
    return inFlightCount > 0 && nowMs - this.#lastProgressMs >= stallMs;
  }
}
