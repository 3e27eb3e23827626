/** The chunk store of one torrent in the engine's thread: all that it is asked, it asks the main thread. */
import type { ChunkRange, ChunkStore } from 'webtorrent';
import { asError } from '../oci/error.ts';
import { WINDOW_BYTES, type Window, type WindowCache } from './window-cache.ts';

/** Questions to the main thread. */
export interface StorageAsker {
  read(id: number, start: number, end: number): Promise<Uint8Array>;
  /** Reads into the memory of the window cache. */
  readWindow(id: number, start: number, end: number, offsetBytes: number): Promise<void>;
  write(id: number, offsetBytes: number, bytes: Uint8Array): Promise<void>;
}

/** What is read at once is a piece, and of small pieces several: a peer asks for all of them, and mostly for the next ones too. */
const MIN_WINDOW_BYTES = 64 * 1024;

export interface AskingStoreConfig {
  readonly id: number;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  /** Nothing is read ahead of content that is still being written; see `onComplete`. */
  readonly isComplete: boolean;
}

/** Made for webtorrent, which calls back instead of waiting. */
export class AskingStore implements ChunkStore {
  readonly chunkLength: number;
  readonly #asker: StorageAsker;
  readonly #windows: WindowCache;
  readonly #config: AskingStoreConfig;
  readonly #windowBytes: number;
  #isComplete: boolean;

  constructor(asker: StorageAsker, windows: WindowCache, config: AskingStoreConfig) {
    this.#asker = asker;
    this.#windows = windows;
    this.#config = config;
    this.chunkLength = config.pieceSizeBytes;
    this.#isComplete = config.isComplete;
    this.#windowBytes = Math.min(Math.max(config.pieceSizeBytes, MIN_WINDOW_BYTES), WINDOW_BYTES);
  }

  /** To be called when all has been written: from now on it is read ahead. */
  onComplete(): void {
    this.#isComplete = true;
  }

  get(index: number, range: ChunkRange | null, done: (error: Error | null, bytes?: Uint8Array) => void): void {
    const { pieceSizeBytes, sizeBytes } = this.#config;
    const pieceStart = index * pieceSizeBytes;
    const pieceEnd = Math.min(pieceStart + pieceSizeBytes, sizeBytes);
    const start = pieceStart + (range?.offset ?? 0);
    const end = range?.length === undefined ? pieceEnd : start + range.length;
    // Peers ask for pieces before the first one, too.
    if (pieceStart < 0 || start < pieceStart || end > pieceEnd || start >= end) {
      done(new RangeError('a range outside of its piece was asked for'));
      return;
    }
    const window = this.#windowOf(start, end);
    if (window === undefined) {
      this.#asker.read(this.#config.id, start, end).then(
        (bytes) => done(null, bytes),
        (error: unknown) => done(asError(error)),
      );
      return;
    }
    const offset = start % this.#windowBytes;
    const bytes = window.bytes.subarray(offset, offset + end - start);
    if (window.isReady) done(null, bytes);
    else this.#whenRead(window, () => done(null, bytes), done);
  }

  put(index: number, bytes: Uint8Array, done: (error?: Error | null) => void): void {
    this.#asker.write(this.#config.id, index * this.#config.pieceSizeBytes, bytes).then(
      () => done(null),
      (error: unknown) => done(asError(error)),
    );
  }

  /** Whoever opened the storage closes it. */
  close(done: (error?: Error | null) => void): void {
    done(null);
  }

  destroy(done: (error?: Error | null) => void): void {
    done(null);
  }

  /** The window in which a range lies; `undefined` when it has to be read alone. */
  #windowOf(start: number, end: number): Window | undefined {
    const { id, sizeBytes } = this.#config;
    const index = Math.floor(start / this.#windowBytes);
    const from = index * this.#windowBytes;
    const to = Math.min(from + this.#windowBytes, sizeBytes);
    if (!this.#isComplete || end > to) return undefined;
    const key = `${id} ${index}`;
    const read = async (offsetBytes: number): Promise<void> => await this.#asker.readWindow(id, from, to, offsetBytes);
    return this.#windows.find(key) ?? this.#windows.begin(key, to - from, read);
  }

  #whenRead(window: Window, onRead: () => void, onFailed: (error: Error) => void): void {
    window.pins += 1;
    (window.reading ?? Promise.resolve()).then(
      () => {
        onRead();
        this.#windows.unpin(window);
      },
      (error: unknown) => {
        this.#windows.unpin(window);
        onFailed(asError(error));
      },
    );
  }
}
