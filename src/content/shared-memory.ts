/**
 * Names for shared memory that a thread was shown: the memory itself goes over once, afterwards its number does. A thread
 * that is told that memory is gone lets it go too.
 */

/** Bytes in shared memory: whose, from where, how many. */
export type SharedSlice = readonly [memory: number, offset: number, length: number];

/** What a thread has to learn before it can read slices. */
export interface SharedMemoryNews {
  readonly shown: readonly (readonly [memory: number, buffer: SharedArrayBuffer])[];
  readonly gone: readonly number[];
}

/** The side that owns the memory; one for each thread that is shown it. */
export class SharedMemoryNames {
  readonly #names = new WeakMap<SharedArrayBuffer, number>();
  readonly #collected = new FinalizationRegistry<number>((name) => this.#gone.push(name));
  #shown: [number, SharedArrayBuffer][] = [];
  #gone: number[] = [];
  #nextName = 1;

  /** The name of bytes; undefined when they are not in shared memory. */
  slice(bytes: Uint8Array): SharedSlice | undefined {
    const { buffer } = bytes;
    if (!(buffer instanceof SharedArrayBuffer)) return undefined;
    let name = this.#names.get(buffer);
    if (name === undefined) {
      name = this.#nextName;
      this.#nextName += 1;
      this.#names.set(buffer, name);
      this.#collected.register(buffer, name);
      this.#shown.push([name, buffer]);
    }
    return [name, bytes.byteOffset, bytes.byteLength];
  }

  /** What the thread was not told yet; to be sent before, or with, the slices named meanwhile. */
  takeNews(): SharedMemoryNews {
    const news = { shown: this.#shown, gone: this.#gone };
    this.#shown = [];
    this.#gone = [];
    return news;
  }
}

/** The thread's side. */
export class SharedMemoryView {
  readonly #buffers = new Map<number, SharedArrayBuffer>();

  learn(news: SharedMemoryNews): void {
    for (const [name, buffer] of news.shown) this.#buffers.set(name, buffer);
    for (const name of news.gone) this.#buffers.delete(name);
  }

  /** @throws {RangeError} when the memory was never shown */
  bytes([name, offset, length]: SharedSlice): Uint8Array {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) throw new RangeError(`there is no shared memory ${name}`);
    return new Uint8Array(buffer, offset, length);
  }
}
