/**
 * Room: the size limit of a store, the floor of free disk, and what to do when the file system itself says that it is full.
 * Every write of the store runs inside `withRoom`.
 */
import { DockyardError, isAbortError } from '../oci/error.ts';
import type { Disk } from './disk.ts';
import { contentError, isNoSpaceError } from './errors.ts';
import type { StoreMetrics } from './store-metrics.ts';

/** Why something is removed: the store's own limit, or the disk. */
export type EvictionReason = 'size' | 'disk';

/** Something that was chosen to go: no longer counted, and gone from disk when `done` resolves, which it always does. */
export interface Eviction {
  readonly sizeBytes: number;
  readonly done: Promise<void>;
}

/** What can be removed, and how much is there. */
export interface Evictor {
  /** Bytes of all that is held. */
  heldBytes(): number;
  /** Chooses the next to go at once; `undefined` when nothing may. */
  evictOne(reason: EvictionReason): Eviction | undefined;
}

export interface StoreSpaceDeps {
  readonly clock: { nowMs(): number };
  readonly disk: Disk;
  readonly metrics: StoreMetrics;
  readonly evictor: Evictor;
}

export interface StoreSpaceConfig {
  /** A folder on the disk that is watched. */
  readonly folder: string;
  readonly maxSizeBytes: number;
  readonly minFreeDiskBytes: number;
}

/** Other programs write to the disk too: the answer of statfs is believed this long, and for this many bytes of our own. */
const FREE_READING_MAX_AGE_MS = 5000;
const FREE_READING_MAX_BYTES = 64 * 1024 * 1024;
/** A full disk is relieved by at least this much, so that the retry does not meet the same wall one block later. */
const MIN_RELIEF_BYTES = 1024 * 1024;

/** Makes room by eviction, or says ERR_STORE_FULL. */
export class StoreSpace {
  readonly #deps: StoreSpaceDeps;
  readonly #config: StoreSpaceConfig;
  /** Bytes that are being written and not yet counted as held. */
  #reservedBytes = 0;
  #freeBytes = 0;
  #freeReadAtMs = -Infinity;
  #writtenSinceReading = 0;

  constructor(deps: StoreSpaceDeps, config: StoreSpaceConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  get maxSizeBytes(): number {
    return this.#config.maxSizeBytes;
  }

  /** Free bytes of the disk, from a recent reading. */
  async freeDiskBytes(): Promise<number> {
    return await this.#readFree(0);
  }

  /**
   * Makes room for `bytes` and runs `write`, which counts them as held before it resolves. When the file system says that
   * it is full, makes more room and runs `write` once more; so it must be repeatable and leave nothing behind when it fails.
   * @throws {DockyardError} ERR_STORE_FULL; ERR_STORE_IO for other failures of the file system
   */
  async withRoom<Result>(bytes: number, write: () => Promise<Result>): Promise<Result> {
    this.#reservedBytes += bytes;
    try {
      await this.#meetSizeLimit();
      await this.#meetDiskFloor(bytes);
      try {
        return await write();
      } catch (error) {
        if (!isNoSpaceError(error)) throw error;
        await this.#relieveDisk(Math.max(bytes, MIN_RELIEF_BYTES), error);
      }
      return await write();
    } catch (error) {
      throw this.#translate(error);
    } finally {
      this.#reservedBytes -= bytes;
    }
  }

  async #meetSizeLimit(): Promise<void> {
    const { evictor } = this.#deps;
    const going: Promise<void>[] = [];
    try {
      while (evictor.heldBytes() + this.#reservedBytes > this.#config.maxSizeBytes) {
        const eviction = evictor.evictOne('size');
        if (eviction === undefined) throw this.#full('the size limit of the store is reached');
        going.push(eviction.done);
      }
    } finally {
      await Promise.all(going);
    }
  }

  async #meetDiskFloor(bytes: number): Promise<void> {
    const floorBytes = this.#config.minFreeDiskBytes;
    if (bytes === 0 || floorBytes === 0) return;
    let freeBytes = await this.#readFree(bytes);
    if (freeBytes - bytes < floorBytes) freeBytes = await this.#readFree(FREE_READING_MAX_BYTES);
    while (freeBytes - bytes < floorBytes) {
      const eviction = this.#deps.evictor.evictOne('disk');
      if (eviction === undefined) throw this.#full('the floor of free disk space is reached');
      await eviction.done;
      // Some file systems free space a while after the unlink; without the sum, everything would go meanwhile.
      freeBytes = Math.max(freeBytes + eviction.sizeBytes, await this.#readFree(FREE_READING_MAX_BYTES));
      this.#freeBytes = freeBytes;
    }
  }

  async #relieveDisk(bytes: number, cause: unknown): Promise<void> {
    let freedBytes = 0;
    while (freedBytes < bytes) {
      const eviction = this.#deps.evictor.evictOne('disk');
      if (eviction === undefined) break;
      await eviction.done;
      freedBytes += eviction.sizeBytes;
    }
    if (freedBytes === 0) throw this.#full('the disk is full', cause);
  }

  /** Free bytes, less what was written since they were read. */
  async #readFree(upcomingBytes: number): Promise<number> {
    const nowMs = this.#deps.clock.nowMs();
    this.#writtenSinceReading += upcomingBytes;
    const stale = nowMs - this.#freeReadAtMs > FREE_READING_MAX_AGE_MS || nowMs < this.#freeReadAtMs;
    if (stale || this.#writtenSinceReading >= FREE_READING_MAX_BYTES) {
      this.#freeReadAtMs = nowMs;
      this.#writtenSinceReading = 0;
      this.#freeBytes = await this.#deps.disk.freeBytes(this.#config.folder);
    }
    return this.#freeBytes - this.#writtenSinceReading;
  }

  #translate(error: unknown): unknown {
    if (
      error instanceof DockyardError ||
      isAbortError(error) ||
      error instanceof RangeError ||
      error instanceof TypeError
    )
      return error;
    if (isNoSpaceError(error)) return this.#full('the disk is full', error);
    return contentError('ERR_STORE_IO', 'the content store could not be written', { cause: error });
  }

  #full(reason: string, cause?: unknown): DockyardError {
    this.#deps.metrics.countRefusal();
    const { maxSizeBytes, minFreeDiskBytes } = this.#config;
    return contentError('ERR_STORE_FULL', `no room in the content store: ${reason}`, {
      cause,
      details: { maxSizeBytes, minFreeDiskBytes, heldBytes: this.#deps.evictor.heldBytes() },
    });
  }
}
