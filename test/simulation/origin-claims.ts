/** Which pieces one simulated journey reads from the origin: what stands in the place of that part of `Gathering`. */
import { ORIGIN_KEY } from '../../src/transfer/journey-types.ts';
import type { MissingRun } from '../../src/transfer/origin-reader.ts';
import type { PieceScheduler } from '../../src/transfer/piece-scheduler.ts';

export class OriginClaims {
  readonly #scheduler: PieceScheduler;

  constructor(scheduler: PieceScheduler) {
    this.#scheduler = scheduler;
  }

  /** What is worth reading next; undefined when nothing lacks. */
  nextRun(): MissingRun | undefined {
    const from = this.#scheduler.mostUrgent() ?? 0;
    return (
      this.#scheduler.firstUnavailableRun(from, Infinity) ??
      (from === 0 ? undefined : this.#scheduler.firstUnavailableRun(0, Infinity))
    );
  }

  /** Marks a piece as being read; false when it comes from elsewhere, is not wanted, or has to wait for an urgent one. */
  claim(piece: number): boolean {
    const scheduler = this.#scheduler;
    const urgent = scheduler.mostUrgent() ?? piece;
    if (urgent < piece && scheduler.firstUnavailableRun(urgent, 1)?.first === urgent) return false;
    return scheduler.availability(piece) === 0 && this.claimLent(piece);
  }

  /** Marks a piece as being read for all; false when this node does not lack it. */
  claimLent(piece: number): boolean {
    if (!this.#scheduler.isMissing(piece) || this.#scheduler.isRequested(piece)) return false;
    this.#scheduler.reserve(ORIGIN_KEY, piece);
    return true;
  }
}
