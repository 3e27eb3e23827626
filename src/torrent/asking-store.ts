/** The chunk store of one torrent in the engine's thread: all that it is asked, it asks the main thread. */
import type { ChunkRange, ChunkStore } from 'webtorrent';
import { asError } from '../oci/error.ts';
import type { WindowCache } from './window-cache.ts';

/** Questions to the main thread. */
export interface StorageAsker {
  read(id: number, start: number, end: number): Promise<Uint8Array>;
  write(id: number, offsetBytes: number, bytes: Uint8Array): Promise<void>;
}

/** What is read at once: enough to make questions rare, little enough that nothing is read in vain. */
const MAX_WINDOW_BYTES = 1024 * 1024;
const MIN_WINDOW_BYTES = 64 * 1024;

export interface AskingStoreConfig {
  readonly id: number;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  /** Nothing is read ahead of content that is still being written. */
  readonly isComplete: boolean;
}

/** Made for webtorrent, which calls back instead of waiting. */
export class AskingStore implements ChunkStore {
  readonly chunkLength: number;
  readonly #asker: StorageAsker;
  readonly #windows: WindowCache;
  readonly #config: AskingStoreConfig;
  readonly #windowBytes: number;

  constructor(asker: StorageAsker, windows: WindowCache, config: AskingStoreConfig) {
    this.#asker = asker;
    this.#windows = windows;
    this.#config = config;
    this.chunkLength = config.pieceSizeBytes;
    this.#windowBytes = Math.min(Math.max(config.pieceSizeBytes, MIN_WINDOW_BYTES), MAX_WINDOW_BYTES);
  }

  get(index: number, range: ChunkRange | null, done: (error: Error | null, bytes?: Uint8Array) => void): void {
    const { pieceSizeBytes, sizeBytes } = this.#config;
    const pieceStart = index * pieceSizeBytes;
    const pieceEnd = Math.min(pieceStart + pieceSizeBytes, sizeBytes);
    const start = pieceStart + (range?.offset ?? 0);
    const end = range?.length === undefined ? pieceEnd : start + range.length;
    if (start < pieceStart || end > pieceEnd || start >= end) {
      done(new RangeError('a range outside of its piece was asked for'));
      return;
    }
    this.#read(start, end).then(
      (bytes) => done(null, bytes),
      (error: unknown) => done(asError(error)),
    );
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

  async #read(start: number, end: number): Promise<Uint8Array> {
    const { id, sizeBytes, isComplete } = this.#config;
    const windowStart = Math.floor(start / this.#windowBytes) * this.#windowBytes;
    const windowEnd = Math.min(windowStart + this.#windowBytes, sizeBytes);
    if (!isComplete || end > windowEnd) return await this.#asker.read(id, start, end);
    const read = async (from: number, to: number): Promise<Uint8Array> => await this.#asker.read(id, from, to);
    const window = await this.#windows.get(`${id} ${windowStart}`, windowStart, windowEnd, read);
    return window.subarray(start - windowStart, end - windowStart);
  }
}
