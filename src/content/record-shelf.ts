/**
 * The part of a content store that keeps blobs of record: those that were pushed here and must never be evicted. They are
 * pinned blobs like any other, so the swarm serves them from the same files and nothing lies on disk twice.
 */
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { statOf } from './blob-catalog.ts';
import type { BlobStat, HeldBlob, VerifyResult } from './blob-store.ts';
import type { Adoption } from './complete-blobs.ts';
import type { Disk } from './disk.ts';
import { isAbsentError } from './errors.ts';
import type { RunAhead } from './hash-thread.ts';
import type { StoreParts } from './store-parts.ts';
import type { StoreSpace } from './store-space.ts';
import { verifyBlob } from './store-verifying.ts';

/** What a driver of storage of record needs of the store; made by `FsBlobStore`. */
export class RecordShelf {
  readonly #parts: StoreParts;
  readonly #space: StoreSpace;

  constructor(parts: StoreParts, space: StoreSpace) {
    this.#parts = parts;
    this.#space = space;
  }

  /** The file system that the store uses. */
  get disk(): Disk {
    return this.#parts.disk;
  }

  /** A folder on the store's disk for what is being pushed; the store itself leaves it alone. */
  get uploadsFolder(): string {
    return this.#parts.layout.uploadsFolder;
  }

  /**
   * Runs a write of `sizeBytes` into the uploads folder. Where the disk is full, cached blobs give way to it. `write` must be
   * repeatable and leave nothing behind when it fails.
   * @throws {DockyardError} ERR_STORE_FULL; ERR_STORE_IO for other failures of the file system
   */
  async withRoom<Result>(sizeBytes: number, write: () => Promise<Result>): Promise<Result> {
    return await this.#space.withDiskRoom(sizeBytes, write);
  }

  /** Begins a hash that follows the growth of a file. */
  runAhead(path: string, algorithm: DigestAlgorithm): RunAhead {
    return this.#parts.hashes.runAhead(path, algorithm);
  }

  /** The digest of a whole file. @throws {DockyardError} ERR_STORE_IO, ERR_STORE_CLOSED */
  async digestOfFile(path: string, algorithm: DigestAlgorithm): Promise<Digest> {
    return await this.#parts.hashes.wholeFile(path, algorithm);
  }

  /**
   * Takes a file into the store, pinned and durable. Its bytes are synced and were hashed as a whole by the caller. When the
   * blob is held already it is pinned, and the file is left for the caller to remove.
   * @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO
   */
  async adopt(digest: Digest, sizeBytes: number, path: string): Promise<Adoption> {
    const { complete } = this.#parts;
    return await this.#space.withDiskRoom(0, async () => await complete.adopt(digest, sizeBytes, path));
  }

  /** Facts of a blob of record, from memory. */
  stat(digest: Digest): BlobStat | undefined {
    const entry = this.#parts.catalog.get(digest);
    return entry?.pinned === true ? statOf(entry) : undefined;
  }

  /** Opens a blob of record. */
  async open(digest: Digest): Promise<HeldBlob | undefined> {
    return this.stat(digest) === undefined ? undefined : await this.#parts.complete.open(digest);
  }

  /** Removes a blob of record, durably; false when there was none. Readers that have it open go on. */
  async remove(digest: Digest): Promise<boolean> {
    if (this.stat(digest) === undefined) return false;
    const { complete, disk, layout } = this.#parts;
    const removed = await complete.remove(digest);
    if (removed) await disk.syncFolder(layout.blobShard(digest));
    return removed;
  }

  /** Whether a blob of record has its file, whatever is in it. Errors are those of the file system. */
  async isOnDisk(digest: Digest): Promise<boolean> {
    try {
      await this.#parts.disk.stat(this.#parts.layout.blobFile(digest));
      return true;
    } catch (error) {
      if (isAbsentError(error)) return false;
      throw error;
    }
  }

  /** Hashes a blob again, and sets it aside when it is damaged; `undefined` when it is not held. @throws {DockyardError} ERR_STORE_CLOSED, ERR_STORE_IO */
  async verify(
    digest: Digest,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<VerifyResult['state'] | undefined> {
    return (await verifyBlob(this.#parts, digest, options))?.state;
  }

  /** Pins what is held and ought to be of record; false when it is not held. */
  async pin(digest: Digest): Promise<boolean> {
    return await this.#parts.complete.setPinned(digest, true);
  }

  /** Blobs of record in the order of their digests, after one of them. */
  *list(after: Digest | undefined): Generator<BlobStat> {
    const digests = this.#parts.catalog.pinnedDigests().filter((digest) => after === undefined || digest > after);
    for (const digest of digests.toSorted()) {
      const facts = this.stat(digest);
      if (facts !== undefined) yield facts;
    }
  }
}
