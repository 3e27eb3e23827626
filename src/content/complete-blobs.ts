/**
 * The complete blobs of a store on disk: their files, their catalog, their index entries.
 *
 * Invariants: a file among the blobs was hashed as a whole and synced before its rename put it there; the catalog says
 * what is there; one lock for each digest orders renames and unlinks of its file; what is open or pinned is never evicted.
 */
import type { BufferPool } from './buffer-pool.ts';
import { hash } from 'node:crypto';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { digestAlgorithm, digestBytes, DigestHasher, type Digest } from '../oci/digest.ts';
import { statOf, type BlobCatalog, type CatalogEntry } from './blob-catalog.ts';
import type { BlobRecords } from './blob-records.ts';
import type { BlobStat, HeldBlob } from './blob-store.ts';
import type { Disk, DiskFile } from './disk.ts';
import { contentError, isAbsentError } from './errors.ts';
import { FsHeldBlob } from './fs-held-blob.ts';
import { pieceRange, type PieceGeometry } from './geometry.ts';
import type { HashThread } from './hash-thread.ts';
import { KeyedLock } from './keyed-lock.ts';
import { BLOB_FILE_MODE, type StoreLayout } from './layout.ts';
import { OpenFiles } from './open-files.ts';
import type { Quarantine } from './quarantine.ts';
import type { StoreMetrics } from './store-metrics.ts';
import type { Eviction } from './store-space.ts';

export interface CompleteBlobsDeps {
  readonly memory: BufferPool;
  readonly clock: { nowMs(): number };
  readonly disk: Disk;
  readonly layout: StoreLayout;
  readonly catalog: BlobCatalog;
  readonly records: BlobRecords;
  readonly quarantine: Quarantine;
  readonly hashes: HashThread;
  readonly metrics: StoreMetrics;
  readonly log: Logger;
}

/** What became of a file that was offered. */
export interface Adoption {
  readonly facts: BlobStat;
  /** The file is the blob now; otherwise it was held already, and the file is where it was. */
  readonly isTaken: boolean;
}

/** Owned by one `FsBlobStore`. */
export class CompleteBlobs {
  readonly #deps: CompleteBlobsDeps;
  readonly #locks = new KeyedLock<Digest>();
  readonly #files: OpenFiles;
  readonly #shards = new Set<string>();
  readonly #hashing = new Map<CatalogEntry, Promise<Buffer>>();
  /** Blobs whose time of use is not yet in the index. */
  readonly #used = new Set<Digest>();

  constructor(deps: CompleteBlobsDeps) {
    this.#deps = deps;
    this.#files = new OpenFiles(deps.disk);
  }

  /**
   * Moves a synced file that was hashed as a whole to its place, durably. Repeatable when it fails; then the file is back
   * where it was. When the blob is held already, the file is left for the caller to remove.
   */
  async publish(digest: Digest, sizeBytes: number, from: string, pieceHashes: Buffer | undefined): Promise<void> {
    await this.#locks.run(digest, async () => {
      if (this.#deps.catalog.get(digest) !== undefined) return;
      await this.#place(digest, sizeBytes, from, { pieceHashes, pinned: false });
    });
  }

  /** As `publish`, and the blob is pinned, also when it was held before. */
  async adopt(digest: Digest, sizeBytes: number, from: string): Promise<Adoption> {
    return await this.#locks.run(digest, async () => {
      const held = this.#deps.catalog.get(digest);
      if (held !== undefined) {
        if (!held.pinned) await this.#pin(held, true);
        return { facts: statOf(held), isTaken: false };
      }
      await this.#deps.disk.setMode(from, BLOB_FILE_MODE.pinned);
      const entry = await this.#place(digest, sizeBytes, from, { pieceHashes: undefined, pinned: true });
      return { facts: statOf(entry), isTaken: true };
    });
  }

  async #place(
    digest: Digest,
    sizeBytes: number,
    from: string,
    { pieceHashes, pinned }: { pieceHashes: Buffer | undefined; pinned: boolean },
  ): Promise<CatalogEntry> {
    const { catalog, clock, disk, layout, records } = this.#deps;
    const shard = layout.blobShard(digest);
    const file = layout.blobFile(digest);
    await this.#makeShard(shard);
    await disk.rename(from, file);
    try {
      await disk.syncFolder(shard);
    } catch (error) {
      await disk.rename(file, from);
      throw error;
    }
    const nowMs = clock.nowMs();
    const entry = catalog.add({ digest, sizeBytes, addedAtMs: nowMs, lastUsedAtMs: nowMs, pinned });
    entry.proven = true;
    await records.add(statOf(entry), pieceHashes);
    return entry;
  }

  /** Opens a blob; `undefined` when it is not held. */
  async open(digest: Digest): Promise<HeldBlob | undefined> {
    const { catalog, clock, layout } = this.#deps;
    const entry = catalog.get(digest);
    if (entry === undefined) return undefined;
    // Before anything is waited for, so that it is not evicted meanwhile.
    entry.leases += 1;
    catalog.touch(entry, clock.nowMs());
    this.#used.add(digest);
    try {
      const file = await this.#files.acquire(entry, layout.blobFile(digest));
      return this.#heldBlob(entry, file);
    } catch (error) {
      entry.leases -= 1;
      if (!isAbsentError(error)) throw contentError('ERR_STORE_IO', `${digest} could not be opened`, { cause: error });
      await this.forget(entry);
      return undefined;
    }
  }

  /** Pins or unpins a blob, in the index and in the permissions of its file. False when it is not held. */
  async setPinned(digest: Digest, pinned: boolean): Promise<boolean> {
    return await this.#locks.run(digest, async () => {
      const entry = this.#deps.catalog.get(digest);
      if (entry === undefined) return false;
      await this.#pin(entry, pinned);
      return true;
    });
  }

  async #pin(entry: CatalogEntry, pinned: boolean): Promise<void> {
    const { catalog, disk, layout, records } = this.#deps;
    const { digest, pinned: before } = entry;
    // At once, so that it is not evicted while the disk is at work.
    catalog.setPinned(entry, pinned);
    try {
      await disk.setMode(layout.blobFile(digest), pinned ? BLOB_FILE_MODE.pinned : BLOB_FILE_MODE.unpinned);
    } catch (error) {
      catalog.setPinned(entry, before);
      throw contentError('ERR_STORE_IO', `${digest} could not be pinned or unpinned`, { cause: error });
    }
    await records.save([statOf(entry)]);
  }

  /** Removes a blob; its readers go on. False when it was not held. */
  async remove(digest: Digest): Promise<boolean> {
    const entry = this.#deps.catalog.get(digest);
    if (entry === undefined) return false;
    this.#deps.catalog.delete(digest);
    await this.#unlink(entry);
    return true;
  }

  /** Chooses the blob that was used least recently, to make room. */
  evictOne(): Eviction | undefined {
    const entry = this.#deps.catalog.takeVictim();
    if (entry === undefined) return undefined;
    this.#deps.log.debug({ digest: entry.digest, sizeBytes: entry.sizeBytes }, 'blob evicted');
    return { sizeBytes: entry.sizeBytes, done: this.#unlinkOrWarn(entry) };
  }

  /** Sets a damaged blob aside, out of reach of readers, those included that have it open. */
  async setAside(entry: CatalogEntry): Promise<void> {
    const { catalog, log, metrics, quarantine, records } = this.#deps;
    if (entry.damaged) return;
    entry.damaged = true;
    metrics.countDamaged();
    log.error({ digest: entry.digest, sizeBytes: entry.sizeBytes }, 'blob damaged and set aside');
    if (catalog.get(entry.digest) !== entry) return;
    catalog.delete(entry.digest);
    await this.#locks.run(entry.digest, async () => {
      await this.#files.drop(entry);
      await quarantine.take(entry.digest, entry.sizeBytes);
      await records.remove([entry.digest]);
    });
  }

  /** Takes out of the books a blob whose file is not there. */
  async forget(entry: CatalogEntry): Promise<void> {
    if (this.#deps.catalog.get(entry.digest) !== entry) return;
    this.#deps.log.warn({ digest: entry.digest }, 'blob file is gone');
    this.#deps.catalog.delete(entry.digest);
    await this.#files.drop(entry);
    await this.#deps.records.remove([entry.digest]);
  }

  /** Writes the times of use that the index does not know yet. */
  async saveUse(): Promise<void> {
    const entries = Array.from(this.#used, (digest) => this.#deps.catalog.get(digest)).filter(
      (entry) => entry !== undefined,
    );
    this.#used.clear();
    await this.#deps.records.save(entries.map(statOf));
  }

  /** Closes all files and saves what is not yet saved. */
  async close(): Promise<void> {
    await this.#files.close();
    await this.saveUse();
  }

  #heldBlob(entry: CatalogEntry, file: DiskFile): HeldBlob {
    return new FsHeldBlob({
      entry,
      file,
      memory: this.#deps.memory,
      pieceHashes: async (blob) => await this.#pieceHashes(entry, blob),
      knownPieceHashes: async (geometry) => await this.#knownPieceHashes(entry, geometry),
      nowMs: () => this.#deps.clock.nowMs(),
      hashPiece: async (bytes) => await this.#deps.hashes.ofPiece(bytes),
      onDamage: async () => await this.setAside(entry),
      onClose: async () => {
        entry.leases -= 1;
        await this.#files.release(entry);
      },
    });
  }

  async #knownPieceHashes({ digest }: CatalogEntry, geometry: PieceGeometry): Promise<Buffer | undefined> {
    if (geometry.pieceCount === 0) return Buffer.alloc(0);
    if (geometry.pieceCount === 1 && digestAlgorithm(digest) === 'sha256') return digestBytes(digest);
    return await this.#deps.records.pieceHashes(digest, geometry);
  }

  async #pieceHashes(entry: CatalogEntry, blob: HeldBlob): Promise<Buffer> {
    const known = await this.#knownPieceHashes(entry, blob.geometry);
    if (known !== undefined) return known;
    let hashing = this.#hashing.get(entry);
    if (hashing === undefined) {
      hashing = this.#hashPieces(entry, blob).finally(() => this.#hashing.delete(entry));
      this.#hashing.set(entry, hashing);
    }
    return await hashing;
  }

  async #hashPieces(entry: CatalogEntry, blob: HeldBlob): Promise<Buffer> {
    const { catalog, records } = this.#deps;
    const { digest } = entry;
    // A small blob is hashed before the worker would have the message; a removed one can be read by its readers alone.
    const here = blob.geometry.pieceCount <= 1 || catalog.get(digest) !== entry;
    const found = here ? await hashThroughReader(blob) : await this.#hashFile(entry, blob.geometry);
    // Peers will believe these hashes: they are not to be those of bytes that have changed since the blob was found right.
    if (found.digest !== digest) {
      await this.setAside(entry);
      throw contentError('ERR_BLOB_DAMAGED', `the file of ${digest} has other bytes than the blob`);
    }
    entry.proven = true;
    if (catalog.get(digest) === entry) await records.savePieceHashes(digest, found.hashes);
    return found.hashes;
  }

  async #hashFile(entry: CatalogEntry, geometry: PieceGeometry): Promise<{ hashes: Buffer; digest: Digest }> {
    const { hashes, layout } = this.#deps;
    const file = layout.blobFile(entry.digest);
    const digest = entry.proven ? entry.digest : await hashes.wholeFile(file, digestAlgorithm(entry.digest));
    return { hashes: await hashes.pieceHashes(file, geometry), digest };
  }

  async #makeShard(shard: string): Promise<void> {
    if (this.#shards.has(shard)) return;
    const { disk, layout } = this.#deps;
    await disk.makeFolder(shard);
    await disk.syncFolder(dirname(shard));
    await disk.syncFolder(layout.blobsFolder);
    this.#shards.add(shard);
  }

  async #unlinkOrWarn(entry: CatalogEntry): Promise<void> {
    try {
      await this.#unlink(entry);
    } catch (error) {
      this.#deps.log.warn({ err: error, digest: entry.digest }, 'evicted blob could not be removed');
    }
  }

  async #unlink(entry: CatalogEntry): Promise<void> {
    const { catalog, disk, layout, records } = this.#deps;
    await this.#locks.run(entry.digest, async () => {
      await this.#files.drop(entry);
      try {
        await disk.unlink(layout.blobFile(entry.digest));
      } catch (error) {
        if (!isAbsentError(error))
          throw contentError('ERR_STORE_IO', `${entry.digest} could not be removed`, { cause: error });
      }
      if (catalog.get(entry.digest) === undefined) await records.remove([entry.digest]);
    });
  }
}

async function hashThroughReader(blob: HeldBlob): Promise<{ hashes: Buffer; digest: Digest }> {
  const whole = new DigestHasher(digestAlgorithm(blob.digest));
  const hashes: Buffer[] = [];
  for (let index = 0; index < blob.geometry.pieceCount; index += 1) {
    const bytes = await blob.read(pieceRange(blob.geometry, index));
    whole.update(bytes);
    hashes.push(hash('sha256', bytes, 'buffer'));
  }
  return { hashes: Buffer.concat(hashes), digest: whole.digest() };
}
