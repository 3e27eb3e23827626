/** A set of piece indexes, one bit each; the highest bit of the first byte is piece 0, as in BitTorrent (BEP 3). */
export class Bitfield {
  readonly size: number;
  readonly #bytes: Uint8Array;
  #count = 0;

  /**
   * @param size number of bits
   * @param bytes initial content, copied; spare bits at the end are cleared
   */
  constructor(size: number, bytes?: Uint8Array) {
    this.size = size;
    this.#bytes = new Uint8Array(Math.ceil(size / 8));
    if (bytes === undefined) return;
    if (bytes.length !== this.#bytes.length) throw new RangeError(`${bytes.length} bytes do not hold ${size} bits`);
    for (let index = 0; index < size; index += 1) {
      if (((bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0) this.add(index);
    }
  }

  /** How many bits are set. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.size;
  }

  has(index: number): boolean {
    return index < this.size && ((this.#bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
  }

  /** Sets a bit; false when it was set already. */
  add(index: number): boolean {
    if (index < 0 || index >= this.size) throw new RangeError(`there is no bit ${index} among ${this.size}`);
    if (this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (0x80 >> (index & 7));
    this.#count += 1;
    return true;
  }

  /** Clears a bit; false when it was clear already. */
  delete(index: number): boolean {
    if (!this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) & ~(0x80 >> (index & 7));
    this.#count -= 1;
    return true;
  }

  clear(): void {
    this.#bytes.fill(0);
    this.#count = 0;
  }

  /** The first clear bit at or after `from`, or `size` when there is none. */
  firstClear(from = 0): number {
    let index = from;
    while (index < this.size && this.has(index)) index += 1;
    return index;
  }

  /** A copy of the bytes, for the wire or the disk. */
  toBytes(): Uint8Array {
    return this.#bytes.slice();
  }
}
