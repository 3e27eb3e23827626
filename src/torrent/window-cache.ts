/**
 * Reading ahead: peers ask for 16 KiB at a time, mostly one after the other, and a question to the store for each would
 * cost more than the bytes. Windows lie in memory that both threads see: the side that has the disk reads into it, nothing is
 * copied or handed over, and the same memory serves again and again, so that no collector has to look for it.
 *
 * A window goes when another one needs its place, the least recently used first; never while it is read or pinned.
 */

/** Bytes of one window at most. */
export const WINDOW_BYTES = 512 * 1024;

/** A place for one window, and what lies there. */
export interface Window {
  /** Where it begins in the memory. */
  readonly offsetBytes: number;
  /** What was read. */
  bytes: Buffer;
  isReady: boolean;
  /** Set while it is read. */
  reading: Promise<void> | undefined;
  /** Who still needs the bytes. */
  pins: number;
}

/** Reads a window into the memory that both threads see. */
export type ReadWindow = (offsetBytes: number) => Promise<void>;

/** Windows of all torrents together. */
export class WindowCache {
  readonly #memory: SharedArrayBuffer;
  readonly #windows: readonly Window[];
  readonly #free: Window[];
  readonly #byKey = new Map<string, Window>();

  /** @param memory room for a whole number of windows */
  constructor(memory: SharedArrayBuffer) {
    this.#memory = memory;
    this.#windows = Array.from({ length: Math.floor(memory.byteLength / WINDOW_BYTES) }, (_, index) => ({
      offsetBytes: index * WINDOW_BYTES,
      bytes: Buffer.alloc(0),
      isReady: false,
      reading: undefined,
      pins: 0,
    }));
    this.#free = this.#windows.toReversed();
  }

  /** The window of that key, which may still be read; `undefined` when nobody asked for it, or it had to go. */
  find(key: string): Window | undefined {
    const window = this.#byKey.get(key);
    if (window === undefined) return undefined;
    this.#byKey.delete(key);
    this.#byKey.set(key, window);
    return window;
  }

  /** Begins to read a window; `undefined` when the bytes of all others are still needed. */
  begin(key: string, sizeBytes: number, read: ReadWindow): Window | undefined {
    const window = this.#free.pop() ?? this.#evict();
    if (window === undefined) return undefined;
    this.#byKey.set(key, window);
    window.bytes = Buffer.from(this.#memory, window.offsetBytes, sizeBytes);
    window.reading = read(window.offsetBytes).then(
      () => {
        window.reading = undefined;
        window.isReady = true;
      },
      (error: unknown) => {
        window.reading = undefined;
        // The next reader is to try again.
        this.#byKey.delete(key);
        this.#free.push(window);
        throw error;
      },
    );
    // Whoever waits hears of it.
    window.reading.catch(() => undefined);
    return window;
  }

  /** Keeps the window in which the bytes lie, until `unpin`; `undefined` when they lie elsewhere. */
  pin(bytes: Uint8Array): Window | undefined {
    if (bytes.buffer !== this.#memory) return undefined;
    const window = this.#windows[Math.floor(bytes.byteOffset / WINDOW_BYTES)];
    if (window !== undefined) window.pins += 1;
    return window;
  }

  unpin(window: Window): void {
    window.pins -= 1;
  }

  /** True when the bytes lie in memory that other bytes will lie in later. */
  owns(bytes: Uint8Array): boolean {
    return bytes.buffer === this.#memory;
  }

  #evict(): Window | undefined {
    for (const [key, window] of this.#byKey) {
      if (window.pins > 0 || window.reading !== undefined) continue;
      this.#byKey.delete(key);
      window.isReady = false;
      return window;
    }
    return undefined;
  }
}
