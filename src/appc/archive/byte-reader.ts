/** Bytes of a stream, taken in pieces of a wanted size. Holds one chunk at a time. */

/** Reads a stream from its beginning to its end, once. Whoever makes it closes it. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #isAtEnd = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Up to `maxBytes` of what comes next, whatever is at hand; `undefined` at the end. */
  async some(maxBytes: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      if (this.#isAtEnd) return undefined;
      const next = await this.#source.next();
      if (next.done === true) this.#isAtEnd = true;
      else this.#chunk = next.value;
    }
    const taken = this.#chunk.subarray(0, maxBytes);
    this.#chunk = this.#chunk.subarray(taken.length);
    return taken;
  }

  /** So many bytes, or fewer at the end, in memory of their own. */
  async upTo(sizeBytes: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let leftBytes = sizeBytes;
    while (leftBytes > 0) {
      const part = await this.some(leftBytes);
      if (part === undefined) break;
      // A source may use the memory of a chunk again once the next is asked for.
      parts.push(Uint8Array.from(part));
      leftBytes -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Ends the stream where it is not at its end. */
  async close(): Promise<void> {
    this.#chunk = new Uint8Array(0);
    if (this.#isAtEnd) return;
    this.#isAtEnd = true;
    await this.#source.return?.();
  }
}
