/** Bits of a stream, the highest of each byte first. Filled asynchronously, read synchronously. */

/** The bits at hand end before what is asked for: the stream is cut off, or claims more than it may. */
export class OutOfBits extends Error {
  override readonly name = 'OutOfBits';
}

/** A window over a stream: `fill` makes sure of bytes, then bits are taken from them. */
export class BitReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #bytes = new Uint8Array(0);
  #endByte = 0;
  #bit = 0;
  #isSourceDone = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Has so many bytes at hand, or all that are left. @returns false when none is left */
  async fill(wantedBytes: number): Promise<boolean> {
    while (!this.#isSourceDone && this.#leftBytes() < wantedBytes) {
      const next = await this.#source.next();
      if (next.done === true) this.#isSourceDone = true;
      else this.#append(next.value, wantedBytes);
    }
    return this.#leftBytes() > 0;
  }

  /** The next `count` bits, 25 at most, which stay; zeros after the end. */
  peek(count: number): number {
    const at = this.#bit >>> 3;
    const bytes = this.#bytes;
    const word =
      (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>>
      0;
    return ((word << (this.#bit & 7)) >>> 0) >>> (32 - count);
  }

  /** Passes over bits. @throws {OutOfBits} */
  skip(count: number): void {
    this.#bit += count;
    if (this.#bit > this.#endByte * 8) throw new OutOfBits('the stream ends too early');
  }

  /** The next `count` bits, 1 to 25. @throws {OutOfBits} */
  read(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }

  /** The next 32 bits. */
  readWord(): number {
    const high = this.read(16);
    return ((high << 16) | this.read(16)) >>> 0;
  }

  /** Goes to the next whole byte. */
  align(): void {
    this.#bit = (this.#bit + 7) & ~7;
  }

  #leftBytes(): number {
    return this.#endByte - (this.#bit >>> 3);
  }

  #append(chunk: Uint8Array, wantedBytes: number): void {
    const usedBytes = this.#bit >>> 3;
    const leftBytes = this.#endByte - usedBytes;
    const size = leftBytes + chunk.length;
    if (this.#endByte + chunk.length > this.#bytes.length) {
      // What was read is let go only here, so that bytes are moved seldom.
      const target = size > this.#bytes.length ? new Uint8Array(Math.max(size, wantedBytes * 2)) : this.#bytes;
      target.set(this.#bytes.subarray(usedBytes, this.#endByte), 0);
      this.#bytes = target;
      this.#endByte = leftBytes;
      this.#bit &= 7;
    }
    this.#bytes.set(chunk, this.#endByte);
    this.#endByte += chunk.length;
  }
}
