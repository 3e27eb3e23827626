/**
 * Room: the size limit of a store, the floor of free disk, and what to do when the file system itself says that it is full.
 * Every write of the store runs inside `withRoom`.
 */
import { DockyardError, isAbortError } from '../oci/error.ts';
import type { Disk } from './disk.ts';
import { contentError, isNoSpaceError } from './errors.ts';
import { KeyedLock } from './keyed-lock.ts';
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

/** What of a store's limits may change while it is open. */
export interface StoreLimits {
  readonly maxSizeBytes: number;
  readonly minFreeDiskBytes: number;
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
/** What one write frees, others that wait for room may take before it: so a write is tried more than twice. */
const MAX_ATTEMPTS = 8;

/** Makes room by eviction, or says ERR_STORE_FULL. */
export class StoreSpace {
  readonly #deps: StoreSpaceDeps;
  readonly #folder: string;
  #limits: StoreLimits;
  /** One at a time makes room on the disk: the others would evict for want of what is about to be freed. */
  readonly #relief = new KeyedLock<'disk'>();
  /** Bytes that are being written and not yet counted as held. */
  #reservedBytes = 0;
  /** Those among them that the size limit will not count. */
  #uncountedBytes = 0;
  /** Bytes that evictions gave back so far. */
  #freedBytes = 0;
  #freeAtReading = 0;
  #freeReadAtMs = -Infinity;
  #writtenSinceReading = 0;

  constructor(deps: StoreSpaceDeps, config: StoreSpaceConfig) {
    this.#deps = deps;
    this.#folder = config.folder;
    this.#limits = config;
  }

  get maxSizeBytes(): number {
    return this.#limits.maxSizeBytes;
  }

  /** Puts other limits in force: the next write meets them. */
  setLimits(limits: StoreLimits): void {
    this.#limits = limits;
  }

  /** Evicts what is beyond the limits. @throws {DockyardError} ERR_STORE_FULL when what may be evicted is not enough */
  async shrink(): Promise<void> {
    try {
      await this.#meetSizeLimit();
      await this.#meetDiskFloor();
    } catch (error) {
      throw this.#translate(error);
    }
  }

  /** Free bytes of the disk, less what is being written. */
  async freeDiskBytes(): Promise<number> {
    return await this.#readFree();
  }

  /**
   * Makes room for `bytes` and runs `write`, which counts them as held before it resolves. When the file system says that
   * it is full, makes more room and runs `write` again; so it must be repeatable and leave nothing behind when it fails.
   * @throws {DockyardError} ERR_STORE_FULL; ERR_STORE_IO for other failures of the file system
   */
  async withRoom<Result>(bytes: number, write: () => Promise<Result>): Promise<Result> {
    return await this.#withRoom(bytes, write, 'counted');
  }

  /** As `withRoom`, for what the size limit does not count; only the disk has to have room for it. */
  async withDiskRoom<Result>(bytes: number, write: () => Promise<Result>): Promise<Result> {
    return await this.#withRoom(bytes, write, 'uncounted');
  }

  async #withRoom<Result>(bytes: number, write: () => Promise<Result>, kind: 'counted' | 'uncounted'): Promise<Result> {
    this.#reservedBytes += bytes;
    if (kind === 'uncounted') this.#uncountedBytes += bytes;
    try {
      // Asked first, since this runs for every piece and there is room nearly always.
      if (kind === 'counted' && this.#isBeyondLimit()) await this.#meetSizeLimit();
      if (bytes > 0 && !this.#isAboveFloor()) await this.#meetDiskFloor();
      const result = await this.#writeWithRelief(bytes, write);
      this.#writtenSinceReading += bytes;
      return result;
    } catch (error) {
      throw this.#translate(error);
    } finally {
      this.#reservedBytes -= bytes;
      if (kind === 'uncounted') this.#uncountedBytes -= bytes;
    }
  }

  async #writeWithRelief<Result>(bytes: number, write: () => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      const freedBefore = this.#freedBytes;
      try {
        return await write();
      } catch (error) {
        if (!isNoSpaceError(error) || attempt === MAX_ATTEMPTS) throw error;
        await this.#relief.run('disk', async () => {
          // Whoever was first may have made room for all.
          if (this.#freedBytes === freedBefore) await this.#relieveDisk(Math.max(bytes, MIN_RELIEF_BYTES), error);
        });
      }
    }
  }

  #isBeyondLimit(): boolean {
    const heldBytes = this.#deps.evictor.heldBytes() + this.#reservedBytes - this.#uncountedBytes;
    return heldBytes > this.#limits.maxSizeBytes;
  }

  async #meetSizeLimit(): Promise<void> {
    const going: Promise<void>[] = [];
    try {
      while (this.#isBeyondLimit()) {
        const eviction = this.#deps.evictor.evictOne('size');
        if (eviction === undefined) throw this.#full('the size limit of the store is reached');
        going.push(this.#carryOut(eviction));
      }
    } finally {
      await Promise.all(going);
    }
  }

  /** By the last reading, if that is still believed. */
  #isAboveFloor(): boolean {
    const floorBytes = this.#limits.minFreeDiskBytes;
    return floorBytes === 0 || (!this.#isReadingDue(this.#deps.clock.nowMs()) && this.#expectedFree() >= floorBytes);
  }

  async #meetDiskFloor(): Promise<void> {
    const floorBytes = this.#limits.minFreeDiskBytes;
    if (floorBytes === 0 || (await this.#readFree()) >= floorBytes) return;
    await this.#relief.run('disk', async () => {
      let freeBytes = await this.#readFree('now');
      while (freeBytes < floorBytes) {
        const eviction = this.#deps.evictor.evictOne('disk');
        if (eviction === undefined) throw this.#full('the floor of free disk space is reached');
        await this.#carryOut(eviction);
        // Some file systems free space a while after the unlink; without the sum, everything would go meanwhile.
        const expectedBytes = freeBytes + eviction.sizeBytes;
        freeBytes = await this.#readFree('now');
        this.#freeAtReading += Math.max(0, expectedBytes - freeBytes);
        freeBytes = Math.max(expectedBytes, freeBytes);
      }
    });
  }

  async #relieveDisk(bytes: number, cause: unknown): Promise<void> {
    let freedBytes = 0;
    while (freedBytes < bytes) {
      const eviction = this.#deps.evictor.evictOne('disk');
      if (eviction === undefined) break;
      await this.#carryOut(eviction);
      freedBytes += eviction.sizeBytes;
    }
    if (freedBytes === 0) throw this.#full('the disk is full', cause);
  }

  async #carryOut(eviction: Eviction): Promise<void> {
    await eviction.done;
    this.#freedBytes += eviction.sizeBytes;
  }

  /** Free bytes as of the last reading, less what was written since and what is being written. */
  async #readFree(when: 'lately' | 'now' = 'lately'): Promise<number> {
    const nowMs = this.#deps.clock.nowMs();
    if (when === 'now' || this.#isReadingDue(nowMs)) {
      this.#freeReadAtMs = nowMs;
      this.#writtenSinceReading = 0;
      this.#freeAtReading = await this.#deps.disk.freeBytes(this.#folder);
    }
    return this.#expectedFree();
  }

  #isReadingDue(nowMs: number): boolean {
    const aged = nowMs - this.#freeReadAtMs > FREE_READING_MAX_AGE_MS || nowMs < this.#freeReadAtMs;
    return aged || this.#writtenSinceReading >= FREE_READING_MAX_BYTES;
  }

  #expectedFree(): number {
    return this.#freeAtReading - this.#writtenSinceReading - this.#reservedBytes;
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
    const { maxSizeBytes, minFreeDiskBytes } = this.#limits;
    return contentError('ERR_STORE_FULL', `no room in the content store: ${reason}`, {
      cause,
      details: { maxSizeBytes, minFreeDiskBytes, heldBytes: this.#deps.evictor.heldBytes() },
    });
  }
}
