/**
 * Reading ahead: peers ask for 16 KiB at a time, mostly one after the other, and a question to the store for each would
 * cost more than the bytes. Windows are kept while there is room, the least recently used go first.
 */

/** Reads `[start, end)`. */
export type ReadWindow = (start: number, end: number) => Promise<Uint8Array>;

/** Windows of all torrents together. */
export class WindowCache {
  readonly #maxBytes: number;
  readonly #windows = new Map<string, { readonly reading: Promise<Uint8Array>; readonly sizeBytes: number }>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The window of that key; readers that come together share one reading. */
  async get(key: string, start: number, end: number, read: ReadWindow): Promise<Uint8Array> {
    const known = this.#windows.get(key);
    if (known !== undefined) {
      this.#windows.delete(key);
      this.#windows.set(key, known);
      return await known.reading;
    }
    const window = { reading: read(start, end), sizeBytes: end - start };
    this.#windows.set(key, window);
    this.#bytes += window.sizeBytes;
    this.#shrink();
    try {
      return await window.reading;
    } catch (error) {
      // The next reader is to try again.
      if (this.#windows.get(key) === window) this.#forget(key, window.sizeBytes);
      throw error;
    }
  }

  #shrink(): void {
    for (const [key, { sizeBytes }] of this.#windows) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#forget(key, sizeBytes);
    }
  }

  #forget(key: string, sizeBytes: number): void {
    this.#windows.delete(key);
    this.#bytes -= sizeBytes;
  }
}
