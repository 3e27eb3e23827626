/**
 * Pieces that complete holders alone have, while others gather: which of them to ask for. In order, so that clients get
 * what they wait for; and of those that come next, first the ones that fall to this node, since what everybody asks of the
 * same holder leaves its link many times. Pure.
 */

/** So many of them may be under way at once in the swarm: behind one that is late, its bearer's share is taken by others. */
const WINDOW_PIECES = 128;
/** So many places are looked at for them, between pieces that are held or have spread already. */
const MAX_LOOKED_AT = 4 * WINDOW_PIECES;

/** What is known of pieces. */
export interface PieceStates {
  readonly pieceCount: number;
  /** It is missing, and complete holders alone have it. */
  isFresh(piece: number): boolean;
  /** It can be asked for now. */
  isFree(piece: number): boolean;
  /** It falls to this node, among those that lack it. */
  isOwn(piece: number): boolean;
}

export class FreshPieces {
  /** Before it there is none. */
  #from = 0;

  /** A piece may have become fresh again. */
  rewind(piece: number): void {
    this.#from = Math.min(this.#from, piece);
  }

  /** The next one to ask for; undefined when there is none within the window. `random` is in [0, 1). */
  next(states: PieceStates, random: () => number): number | undefined {
    const { pieceCount } = states;
    while (this.#from < pieceCount && !states.isFresh(this.#from)) this.#from += 1;
    const end = Math.min(pieceCount, this.#from + MAX_LOOKED_AT);
    const others: number[] = [];
    let seen = 0;
    for (let piece = this.#from; piece < end && seen < WINDOW_PIECES; piece += 1) {
      if (!states.isFresh(piece)) continue;
      seen += 1;
      if (!states.isFree(piece)) continue;
      if (states.isOwn(piece)) return piece;
      others.push(piece);
    }
    return others[Math.floor(random() * others.length)];
  }
}
