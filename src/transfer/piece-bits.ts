/**
 * A set of pieces as 32-bit words, so that sets can be compared a word at a time: what a holder has, what is free to be asked
 * for. Bit 0 of the first word is piece 0; `Bitfield` has the order of the wire.
 */
const WORD_BITS = 32;

export class PieceBits {
  /** May be read by whoever compares sets; changed by this class alone. */
  readonly words: Int32Array;
  #count = 0;

  constructor(pieceCount: number) {
    this.words = new Int32Array(Math.ceil(pieceCount / WORD_BITS));
  }

  /** How many pieces are in it. */
  get count(): number {
    return this.#count;
  }

  has(piece: number): boolean {
    return ((this.words[piece >>> 5] ?? 0) & (1 << (piece & 31))) !== 0;
  }

  /** Sets a bit; false when it was set, or the piece does not exist. */
  add(piece: number): boolean {
    const place = piece >>> 5;
    const word = this.words[place];
    const bit = 1 << (piece & 31);
    if (word === undefined || (word & bit) !== 0) return false;
    this.words[place] = word | bit;
    this.#count += 1;
    return true;
  }

  /** Clears a bit; false when it was clear. */
  delete(piece: number): boolean {
    const place = piece >>> 5;
    const word = this.words[place] ?? 0;
    const bit = 1 << (piece & 31);
    if ((word & bit) === 0) return false;
    this.words[place] = word & ~bit;
    this.#count -= 1;
    return true;
  }
}

/** The piece of the lowest bit in a word that has one; `place` is where the word stands. */
export function lowestPiece(word: number, place: number): number {
  return place * WORD_BITS + 31 - Math.clz32(word & -word);
}
