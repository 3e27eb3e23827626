/**
 * Which pieces the peers of all channels have told of: one bit each, all in one array, since most of a run goes into reading
 * and setting them, and a small array for each of a million channels would be spread over the whole memory.
 */
const BITS = 32;
const FIRST_CHANNELS = 256;

export class ToldBits {
  readonly #wordsPerChannel: number;
  #words: Uint32Array;

  constructor(pieceCount: number) {
    this.#wordsPerChannel = Math.ceil(pieceCount / BITS);
    this.#words = new Uint32Array(this.#wordsPerChannel * FIRST_CHANNELS);
  }

  has(channel: number, piece: number): boolean {
    return (((this.#words[channel * this.#wordsPerChannel + (piece >>> 5)] ?? 0) >>> (piece & 31)) & 1) === 1;
  }

  /** Sets a bit; false when it was set. */
  add(channel: number, piece: number): boolean {
    const place = channel * this.#wordsPerChannel + (piece >>> 5);
    if (place >= this.#words.length) this.#grow(place);
    const word = this.#words[place] ?? 0;
    const bit = 1 << (piece & 31);
    if ((word & bit) !== 0) return false;
    this.#words[place] = word | bit;
    return true;
  }

  #grow(place: number): void {
    const grown = new Uint32Array(Math.max(place + 1, this.#words.length * 2));
    grown.set(this.#words);
    this.#words = grown;
  }
}
