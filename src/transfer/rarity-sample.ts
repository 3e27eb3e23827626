/** How many missing pieces are compared to find a rare one: near to the rarest, at a bounded cost. */
export const RARITY_SAMPLE = 32;

/** Compares pieces of one holder by how many have them. */
export class RaritySample {
  readonly #availability: Uint16Array;
  readonly #isLeft: (piece: number) => boolean;
  #best: number | undefined;
  #leastHolders = Infinity;
  /** How many more are to be compared. */
  room = RARITY_SAMPLE;

  constructor(availability: Uint16Array, isLeft: (piece: number) => boolean) {
    this.#availability = availability;
    this.#isLeft = isLeft;
  }

  get rarest(): number | undefined {
    return this.#best;
  }

  /** Compares at most so many of the pieces in a word, beginning at bit `turn`. */
  compare(word: number, place: number, turn: number, most: number): void {
    let rest = turn === 0 ? word : (word >>> turn) | (word << (32 - turn));
    for (let left = Math.min(most, this.room); left > 0 && rest !== 0; left -= 1) {
      const piece = place * 32 + ((31 - Math.clz32(rest & -rest) + turn) & 31);
      rest &= rest - 1;
      this.room -= 1;
      const holders = this.#availability[piece] ?? 0;
      if (holders >= this.#leastHolders || this.#isLeft(piece)) continue;
      this.#leastHolders = holders;
      this.#best = piece;
    }
  }
}
