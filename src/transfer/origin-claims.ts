/** Which pieces of a blob are read from the origin next. Pure: it asks the scheduler, and marks there what is being read. */
import { ORIGIN_KEY } from './journey-types.ts';
import type { MissingRun } from './origin-reader.ts';
import type { PieceScheduler } from './piece-scheduler.ts';

export class OriginClaims {
  readonly #scheduler: PieceScheduler;

  constructor(scheduler: PieceScheduler) {
    this.#scheduler = scheduler;
  }

  /** What is worth reading next, from what a reader waits for on; undefined when nothing lacks. */
  nextRun(): MissingRun | undefined {
    const from = this.#scheduler.mostUrgent() ?? 0;
    return (
      this.#scheduler.firstUnavailableRun(from, Infinity) ??
      (from === 0 ? undefined : this.#scheduler.firstUnavailableRun(0, Infinity))
    );
  }

  /**
   * Marks a piece as being read; false when it comes from elsewhere, is not wanted, or has to wait: a client needs one before
   * it that a holder has failed to bring. The run ends then, and the next one begins there.
   */
  claim(piece: number): boolean {
    const scheduler = this.#scheduler;
    const urgent = scheduler.mostUrgent() ?? piece;
    if (urgent < piece && scheduler.firstUnavailableRun(urgent, 1)?.first === urgent) return false;
    return scheduler.availability(piece) === 0 && this.claimLent(piece);
  }

  /** Marks a piece as being read that another node set aside for this one; false when this node does not lack it. */
  claimLent(piece: number): boolean {
    if (!this.#scheduler.isMissing(piece) || this.#scheduler.isRequested(piece)) return false;
    this.#scheduler.reserve(ORIGIN_KEY, piece);
    return true;
  }
}
