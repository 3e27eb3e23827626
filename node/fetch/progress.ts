/** How far a fetch is: counted by who does the work, read by who shows it. */

/** What is being done. */
export type FetchPhase = 'looking' | 'fetching' | 'verifying' | 'seeding' | 'done';

/** Counters of one command. */
export class FetchProgress {
  phase: FetchPhase = 'looking';
  /** What all parts come to; `undefined` while it is not known. */
  totalBytes: number | undefined;
  /** Verified or about to be, whether fetched now or before. */
  doneBytes = 0;
  /** Fetched by this process, what had to be thrown away included. */
  receivedBytes = 0;
  /** Sent to others, where others are. */
  sentBytes = 0;
  /** Other ends at work; `undefined` where there are none but the origin. */
  peerCount: number | undefined;

  /** Bytes came in. */
  received(sizeBytes: number): void {
    this.receivedBytes += sizeBytes;
    this.doneBytes += sizeBytes;
  }

  /** Bytes were there already. */
  reused(sizeBytes: number): void {
    this.doneBytes += sizeBytes;
  }

  /** Bytes that had been counted as done are of no use. */
  lost(sizeBytes: number): void {
    this.doneBytes -= sizeBytes;
  }
}

/** How long a rate looks back. */
const WINDOW_MS = 5_000;

/** A rate over the last seconds, from a counter that grows. */
export class RateMeter {
  readonly #samples: { readonly atMs: number; readonly bytes: number }[] = [];

  /** Notes where the counter stands; `nowMs` never goes back. */
  sample(nowMs: number, bytes: number): void {
    this.#samples.push({ atMs: nowMs, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? nowMs) < nowMs - WINDOW_MS) this.#samples.shift();
  }

  /** Bytes a second; 0 until time has passed. */
  bytesPerSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs));
  }
}
