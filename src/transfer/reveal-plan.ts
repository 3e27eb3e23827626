/**
 * To whom the reader of an origin tells of a new piece first. If it told all, all would ask it for the same pieces and its
 * link would carry each many times; so each piece is told to one peer, who passes it on, and to the others only when it
 * did not spread by itself (the idea of BEP 16, "superseeding"). Pure.
 */

/** A piece told to one peer that nobody else has shown yet is told to all after this time. */
const REVEAL_ALL_AFTER_MS = 500;

export class RevealPlan<Peer> {
  readonly #owed = new Map<Peer, Map<number, number>>();

  /** The peer with the fewest pieces that it was told of and has not fetched: the fast ones get more. */
  choose(piece: number, peers: Iterable<Peer>, nowMs: number): Peer | undefined {
    let best: Peer | undefined;
    let bestOwed = Infinity;
    for (const peer of peers) {
      const owed = this.#owed.get(peer)?.size ?? 0;
      if (owed >= bestOwed) continue;
      best = peer;
      bestOwed = owed;
    }
    if (best === undefined) return undefined;
    const pieces = this.#owed.get(best) ?? new Map<number, number>();
    pieces.set(piece, nowMs);
    // Set anew, so that among equals the one chosen last comes last.
    this.#owed.delete(best);
    this.#owed.set(best, pieces);
    return best;
  }

  /** A peer has a piece now. */
  onHas(peer: Peer, piece: number): void {
    this.#owed.get(peer)?.delete(piece);
  }

  /** A peer is gone: what only it was told of must be told to others. */
  remove(peer: Peer): number[] {
    const pieces = [...(this.#owed.get(peer)?.keys() ?? [])];
    this.#owed.delete(peer);
    return pieces;
  }

  /** Pieces that did not spread in time, to be told to all. */
  overdue(nowMs: number): number[] {
    const due: number[] = [];
    for (const pieces of this.#owed.values()) {
      for (const [piece, toldAtMs] of pieces) {
        if (nowMs - toldAtMs < REVEAL_ALL_AFTER_MS) break;
        pieces.delete(piece);
        due.push(piece);
      }
    }
    return due;
  }
}
