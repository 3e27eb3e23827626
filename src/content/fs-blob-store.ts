/** The content store on disk. See layout.ts for where things lie, and docs/decisions/0001-content-store.md for why. */
import { BufferPool } from './buffer-pool.ts';
import { hash } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import { statOf } from './blob-catalog.ts';
import type { BlobStat, BlobStore, HeldBlob, PartialBlob, StoreUsage, VerifyResult } from './blob-store.ts';
import { ContentIndex } from './content-index.ts';
import { nodeDisk, writeNewFile, type Disk } from './disk.ts';
import { contentError, isAbsentError } from './errors.ts';
import { pieceGeometry, pieceRange, type PieceGeometry } from './geometry.ts';
import { StoreLayout } from './layout.ts';
import { RecordShelf } from './record-shelf.ts';
import { loadCatalog, prepareDirectory, prepareFolders } from './store-opening.ts';
import { openingFailure } from './opening-failure.ts';
import { makeStoreParts, type StoreParts } from './store-parts.ts';
import { verifyBlob } from './store-verifying.ts';
import { StoreSpace, type Eviction, type EvictionReason, type StoreLimits } from './store-space.ts';

/** What a store keeps for reading when it shares no pool. */
const OWN_MEMORY_BYTES = 8 * 1024 * 1024;

export interface FsBlobStoreDeps {
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly metrics: Registry;
  /** The index in the store's `index` folder, when someone else opened it, shares it, and closes it. */
  readonly index?: ContentIndex | undefined;
  /** The file system; the real one when left out. */
  readonly disk?: Disk | undefined;
  /** Memory for what is read; of its own when left out. */
  readonly memory?: BufferPool | undefined;
}

export interface FsBlobStoreConfig {
  /** The store's own directory; made when it is not there. */
  readonly directory: string;
  /** Most bytes of blobs and of partial blobs together. */
  readonly maxSizeBytes: number;
  /** Free bytes that are left to others on the disk; 0 for none. */
  readonly minFreeDiskBytes: number;
  /** True where the size limit is for what may be evicted, and what is pinned lies beside it: on a seed. */
  readonly pinnedIsBeside?: boolean | undefined;
}

/** How long a time of use may wait until it is written: what a crash loses only makes eviction a little less exact. */
const SAVE_USE_INTERVAL_MS = 60_000;

/** Keeps blobs in a directory that one process at a time may have open. */
export class FsBlobStore implements BlobStore {
  readonly #log: Logger;
  readonly #parts: StoreParts;
  readonly #space: StoreSpace;
  readonly #ownsIndex: boolean;
  readonly #countedPinnedBytes: () => number;
  /** Blobs of record, for the driver that keeps them in this store. */
  readonly record: RecordShelf;
  readonly #saving: NodeJS.Timeout;
  readonly #putting = new Set<Promise<void>>();
  #nextIncoming = 1;
  #closing: Promise<void> | undefined;

  private constructor(deps: FsBlobStoreDeps, config: FsBlobStoreConfig, parts: StoreParts) {
    this.#log = deps.log;
    this.#parts = parts;
    this.#ownsIndex = deps.index === undefined;
    const { catalog, disk, metrics, shelf } = parts;
    this.#countedPinnedBytes = () => (config.pinnedIsBeside === true ? 0 : catalog.pinnedBytes);
    const evictableBytes = (): number => catalog.totalBytes - catalog.pinnedBytes + shelf.totalBytes;
    const evictor = {
      heldBytes: () => evictableBytes() + this.#countedPinnedBytes(),
      evictOne: (reason: EvictionReason) => this.#evictOne(reason),
    };
    this.#space = new StoreSpace(
      { clock: deps.clock, disk, metrics, evictor },
      { ...config, folder: config.directory },
    );
    this.record = new RecordShelf(parts, this.#space);
    metrics.observe({
      blobCount: () => catalog.count,
      blobBytes: () => catalog.totalBytes,
      partialBytes: () => shelf.totalBytes,
      maxSizeBytes: () => this.#space.maxSizeBytes,
    });
    this.#saving = setInterval(() => void parts.complete.saveUse(), SAVE_USE_INTERVAL_MS);
    this.#saving.unref();
  }

  /**
   * Opens or makes a store. Whoever opens it closes it.
   * @throws {DockyardError} ERR_STORE_LOCKED, ERR_STORE_VERSION, ERR_STORE_FULL, ERR_STORE_IO
   */
  static async open(deps: FsBlobStoreDeps, config: FsBlobStoreConfig): Promise<FsBlobStore> {
    const disk = deps.disk ?? nodeDisk;
    const layout = new StoreLayout(config.directory);
    await prepareDirectory(disk, layout);
    const index = deps.index ?? (await ContentIndex.open(layout.indexFolder, deps.log));
    const parts = makeStoreParts({
      ...deps,
      memory: deps.memory ?? new BufferPool(OWN_MEMORY_BYTES),
      disk,
      index,
      layout,
      registry: deps.metrics,
    });
    try {
      await prepareFolders(disk, layout);
      await parts.quarantine.load();
      await loadCatalog(parts);
      await parts.shelf.load();
      const store = new FsBlobStore(deps, config, parts);
      await store.#shrink(async () => await store.#space.withRoom(0, async () => await Promise.resolve()));
      return store;
    } catch (error) {
      await parts.hashes.close();
      if (deps.index === undefined) await index.close();
      throw openingFailure(config.directory, error);
    }
  }

  /** Puts other limits in force, and evicts what is beyond them. */
  async setLimits(limits: StoreLimits): Promise<void> {
    this.#assertOpen();
    this.#space.setLimits(limits);
    await this.#shrink(async () => await this.#space.shrink());
  }

  stat(digest: Digest): BlobStat | undefined {
    const entry = this.#parts.catalog.get(digest);
    return entry === undefined ? undefined : statOf(entry);
  }

  async open(digest: Digest): Promise<HeldBlob | undefined> {
    this.#assertOpen();
    return await this.#parts.complete.open(digest);
  }

  async openPartial(digest: Digest, sizeBytes: number): Promise<PartialBlob> {
    this.#assertOpen();
    this.#refuseWhatNeverFits(digest, sizeBytes);
    return await this.#parts.shelf.open(digest, sizeBytes, this.#space);
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    const found = digestOf(bytes, digestAlgorithm(digest));
    if (found !== digest) throw contentError('ERR_CONTENT_MISMATCH', `bytes given as ${digest} are ${found}`);
    if (this.#parts.catalog.get(digest) !== undefined) return;
    this.#refuseWhatNeverFits(digest, bytes.length);
    const putting = this.#space.withRoom(bytes.length, async () => await this.#putFile(digest, bytes));
    this.#putting.add(putting);
    try {
      await putting;
    } finally {
      this.#putting.delete(putting);
    }
  }

  async setPinned(digest: Digest, pinned: boolean): Promise<void> {
    this.#assertOpen();
    const held = await this.#parts.complete.setPinned(digest, pinned);
    if (!held && pinned) throw contentError('ERR_BLOB_NOT_HELD', `${digest} cannot be pinned: it is not held`);
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#assertOpen();
    return await this.#parts.complete.remove(digest);
  }

  onGone(listener: (digest: Digest) => void): void {
    this.#parts.catalog.onGone(listener);
  }

  list(): Iterable<BlobStat> {
    return this.#parts.catalog.list();
  }

  listPartials(): Iterable<{ digest: Digest; geometry: PieceGeometry; heldCount: number }> {
    return this.#parts.shelf.list();
  }

  async usage(): Promise<StoreUsage> {
    const { catalog, shelf } = this.#parts;
    return {
      blobCount: catalog.count,
      blobBytes: catalog.totalBytes,
      partialCount: shelf.count,
      partialBytes: shelf.totalBytes,
      maxSizeBytes: this.#space.maxSizeBytes,
      freeDiskBytes: await this.#space.freeDiskBytes(),
    };
  }

  async *verify(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<VerifyResult> {
    for (const { digest } of this.#parts.catalog.list()) {
      options.signal?.throwIfAborted();
      this.#assertOpen();
      const result = await verifyBlob(this.#parts, digest, options);
      if (result !== undefined) yield result;
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { complete, hashes, index, shelf } = this.#parts;
    clearInterval(this.#saving);
    await Promise.allSettled(this.#putting);
    await shelf.close();
    await hashes.close();
    await complete.close();
    if (this.#ownsIndex) await index.close();
  }

  async #putFile(digest: Digest, bytes: Uint8Array): Promise<void> {
    const { complete, layout } = this.#parts;
    const incoming = join(layout.incomingFolder, String(this.#nextIncoming++));
    try {
      await writeNewFile(this.#parts.disk, incoming, bytes);
      await complete.publish(digest, bytes.length, incoming, hashesOf(bytes));
    } finally {
      // Gone already when it was published; still there when that failed, or when another put was first.
      await this.#removeIncoming(incoming);
    }
  }

  async #removeIncoming(path: string): Promise<void> {
    try {
      await this.#parts.disk.unlink(path);
    } catch (error) {
      if (!isAbsentError(error)) this.#log.warn({ err: error, path }, 'temporary file could not be removed');
    }
  }

  #evictOne(reason: EvictionReason): Eviction | undefined {
    const { complete, metrics, quarantine, shelf } = this.#parts;
    const kinds = [
      ['quarantine', () => (reason === 'disk' ? quarantine.evictOne() : undefined)],
      ['blob', () => complete.evictOne()],
      ['partial', () => shelf.evictOne()],
    ] as const;
    for (const [kind, evictOne] of kinds) {
      const eviction = evictOne();
      if (eviction === undefined) continue;
      metrics.countEviction(reason, kind);
      return eviction;
    }
    return undefined;
  }

  /** The limit may be lower than before. What is pinned, or being read, stays all the same. */
  async #shrink(meetLimits: () => Promise<void>): Promise<void> {
    try {
      await meetLimits();
    } catch (error) {
      this.#log.warn({ err: error }, 'more is pinned or in use than the limits of the store allow');
    }
  }

  /** Nothing is evicted for a blob that would not fit even if all else went. */
  #refuseWhatNeverFits(digest: Digest, sizeBytes: number): void {
    const pinnedBytes = this.#countedPinnedBytes();
    const { maxSizeBytes } = this.#space;
    if (pinnedBytes + sizeBytes <= maxSizeBytes) return;
    this.#parts.metrics.countRefusal();
    throw contentError('ERR_STORE_FULL', `${digest} does not fit into the store, beside what is pinned`, {
      details: { sizeBytes, pinnedBytes, maxSizeBytes },
    });
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw contentError('ERR_STORE_CLOSED', 'the content store is closed');
  }
}

/** The hashes of several pieces; that of a single one is mostly the digest. */
function hashesOf(bytes: Uint8Array): Buffer | undefined {
  const geometry = pieceGeometry(bytes.length);
  if (geometry.pieceCount <= 1) return undefined;
  const ranges = Array.from({ length: geometry.pieceCount }, (_, index) => pieceRange(geometry, index));
  return Buffer.concat(ranges.map(({ start, end }) => hash('sha256', bytes.subarray(start, end), 'buffer')));
}
