/** How the bytes of one client arrived: how many by when, and the silences between them. */

/** Silences from here on are kept one by one. */
const LEAST_SILENCE_MS = 50;

/** Seconds since the start of the run, and the bytes that had come by then. */
export type Arrival = readonly [seconds: number, sizeBytes: number];

/** What is told of one client, for the JSON and the plot. */
export interface ArrivalRecord {
  readonly sizeBytes: number;
  /** Undefined when nothing came. */
  readonly firstAtMs: number | undefined;
  readonly points: readonly Arrival[];
  readonly longestSilenceMs: number;
}

export class Arrivals {
  readonly #startMs: number;
  readonly #pointEveryMs: number;
  readonly #points: Arrival[] = [];
  readonly #silences: { readonly fromMs: number; readonly toMs: number }[] = [];
  #firstAtMs: number | undefined;
  #lastAtMs: number;
  #sizeBytes = 0;

  /**
   * @param startMs when the run began: the time 0 of the points
   * @param fromMs when this client began: from here on it waits for bytes
   * @param pointEveryMs how far apart points are at least
   */
  constructor(startMs: number, fromMs: number, pointEveryMs: number) {
    this.#startMs = startMs;
    this.#pointEveryMs = pointEveryMs;
    this.#lastAtMs = fromMs;
    this.#points.push([(fromMs - startMs) / 1000, 0]);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The total that has arrived; the same total again is no arrival. */
  note(sizeBytes: number, nowMs: number): void {
    if (sizeBytes === this.#sizeBytes) return;
    if (nowMs - this.#lastAtMs >= LEAST_SILENCE_MS) this.#silences.push({ fromMs: this.#lastAtMs, toMs: nowMs });
    this.#firstAtMs ??= nowMs;
    this.#lastAtMs = nowMs;
    this.#sizeBytes = sizeBytes;
    const seconds = (nowMs - this.#startMs) / 1000;
    if (seconds - (this.#points.at(-1)?.[0] ?? 0) >= this.#pointEveryMs / 1000) this.#points.push([seconds, sizeBytes]);
  }

  /** The longest time without a byte, the wait for the first included; of a silence before `sinceMs` only the rest counts. */
  longestSilenceMs(sinceMs = -Infinity): number {
    return this.#silences.reduce((most, { fromMs, toMs }) => Math.max(most, toMs - Math.max(fromMs, sinceMs)), 0);
  }

  /** What came, with the last point. */
  record(): ArrivalRecord {
    const last: Arrival = [(this.#lastAtMs - this.#startMs) / 1000, this.#sizeBytes];
    return {
      sizeBytes: this.#sizeBytes,
      firstAtMs: this.#firstAtMs,
      points: [...this.#points, last],
      longestSilenceMs: this.longestSilenceMs(),
    };
  }
}
