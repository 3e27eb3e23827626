/**
 * Whose piece leaves next, where a peer fetches several blobs over one link. Most turns go to the blob that lacks least: it is
 * whole sooner, and none of the others later than if all had got the same. What is fetched in a pull waits for one another, as
 * layers are unpacked one after the other, the first of them first. The rest of the turns go round, so that none waits for
 * another to end. Pure.
 */

/** Of so many turns one goes round. */
const ROUND_EVERY = 5;

/** What is known of those that wait. */
export interface Waiting {
  /** What its peer lacks, as far as is known here. */
  readonly remainingBytes: number;
  readonly openedAtMs: number;
}

export class UploadTurns {
  #turn = 0;

  /** Picks one of those that wait, who were served last being last; undefined when there is none. */
  next<Waiter extends Waiting>(waiters: Iterable<Waiter>): Waiter | undefined {
    this.#turn = (this.#turn + 1) % ROUND_EVERY;
    let best: Waiter | undefined;
    for (const waiter of waiters) {
      if (this.#turn === 0) return waiter;
      if (best === undefined || isBefore(waiter, best)) best = waiter;
    }
    return best;
  }
}

function isBefore(one: Waiting, other: Waiting): boolean {
  if (one.remainingBytes !== other.remainingBytes) return one.remainingBytes < other.remainingBytes;
  return one.openedAtMs < other.openedAtMs;
}
