/** Blobs that a seed keeps for good, on its disk or in a bucket, and how the swarm is told of them. */
import type { Logger } from 'pino';
import type { BlobStore } from '../../src/content/blob-store.ts';
import type { BufferPool } from '../../src/content/buffer-pool.ts';
import type { OpenedContent } from '../../src/content/open-content.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { BlobStorage, StoredBlob } from '../../src/storage/blob-storage.ts';
import { RecordHoldings } from '../../src/storage/record-holdings.ts';
import type { S3StorageConfig } from '../../src/storage/s3-config.ts';
import { openRecordStorage } from './record-storage.ts';

export interface SeedRecordDeps {
  readonly content: OpenedContent;
  readonly memory: BufferPool;
  readonly log: Logger;
  /** Names this seed, to others that might use its bucket. */
  readonly owner: () => Promise<string>;
}

/** Whoever opens it closes it, before the content store. */
export class SeedRecord implements AsyncDisposable {
  readonly storage: BlobStorage;
  readonly #deps: SeedRecordDeps;
  readonly #opened: BlobStorage;
  /** Blobs in a bucket are held too; those on the disk lie in the content store as they are. */
  readonly #holdings: RecordHoldings | undefined;
  #announce: (digest: Digest) => void = () => undefined;
  /** One after the other: a crowd of pushes is not to open a crowd of files. */
  #hashing: Promise<void> = Promise.resolve();

  private constructor(deps: SeedRecordDeps, opened: BlobStorage, holdings: RecordHoldings | undefined) {
    this.#deps = deps;
    this.#opened = opened;
    this.#holdings = holdings;
    this.storage = holdings === undefined ? opened : forgetting(opened, holdings);
  }

  /** @param bucket the disk without one. @throws {DockyardError} ERR_STORAGE_IO, ERR_STORAGE_TAKEN when the bucket cannot be used */
  static async open(deps: SeedRecordDeps, bucket: S3StorageConfig | undefined): Promise<SeedRecord> {
    const { content, log, memory, owner } = deps;
    const storage = await openRecordStorage({ record: content.record, log, owner }, bucket);
    if (bucket === undefined) return new SeedRecord(deps, storage, undefined);
    return new SeedRecord(
      deps,
      storage,
      new RecordHoldings({ content: content.blobs, record: storage.blobs, memory, log }),
    );
  }

  /** What this node holds, as peers see it. */
  get store(): BlobStore {
    return this.#holdings ?? this.#deps.content.blobs;
  }

  /** True when the blob can be read from this node's own content store. */
  isHeld(digest: Digest): boolean {
    return this.#deps.content.blobs.stat(digest) !== undefined;
  }

  /** True for a blob of record on this disk. In a bucket nothing is evicted, so nothing needs a mark here. */
  isPinned(digest: Digest): boolean {
    return this.#deps.content.record.stat(digest) !== undefined;
  }

  async isOfRecord(digest: Digest): Promise<boolean> {
    return this.#holdings === undefined ? this.isPinned(digest) : (await this.storage.blobs.stat(digest)) !== undefined;
  }

  /** Makes a blob of record again of one that was lost and is held because a peer gave it. */
  async regain(digest: Digest): Promise<void> {
    // A mark on the disk heals the disk; a bucket is healed by whoever scrubs it, and by pushing again.
    if (this.#holdings !== undefined || this.isPinned(digest)) return;
    if (await this.#deps.content.record.pin(digest))
      this.#deps.log.info({ digest }, 'blob of record came back from a peer');
  }

  /**
   * Makes a blob of record of one that was fetched to this disk, and answers it when it is there. Itself `undefined` where blobs of
   * record lie in a bucket.
   */
  get adoptHeld(): ((digest: Digest) => Promise<StoredBlob | undefined>) | undefined {
    if (this.#holdings !== undefined) return undefined;
    const { record } = this.#deps.content;
    return async (digest) => ((await record.pin(digest)) ? await this.storage.blobs.stat(digest) : undefined);
  }

  /** From now on the swarm is told of what is stored; of what lies in a bucket already, too. */
  share(announce: (digest: Digest) => void): void {
    this.#announce = announce;
    this.#holdings?.start(announce);
  }

  /** Resolves when `store` knows of all that was stored before; to be called after `share`. */
  async whenFound(): Promise<void> {
    await this.#holdings?.whenFound();
  }

  /** To be called when a blob was stored. */
  onStored(stored: StoredBlob): void {
    const { digest } = stored;
    this.#holdings?.add(stored);
    this.#announce(digest);
    // In a bucket they were hashed as they came.
    if (this.#holdings === undefined) this.#hashing = this.#hashing.then(async () => await this.#preparePieces(digest));
  }

  async close(): Promise<void> {
    await this.#holdings?.close();
    await this.#opened.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Peers ask for the hashes of pieces first; whoever waits for them begins to read the registry meanwhile. */
  async #preparePieces(digest: Digest): Promise<void> {
    const { content, log } = this.#deps;
    try {
      await using held = await content.blobs.open(digest);
      await held?.pieceHashes();
    } catch (error) {
      // They are made again when somebody asks.
      log.debug({ err: error, digest }, 'pieces of a pushed blob could not be hashed ahead');
    }
  }
}

/** Peers are not to ask for what was removed. */
function forgetting(storage: BlobStorage, holdings: RecordHoldings): BlobStorage {
  const { blobs, uploads } = storage;
  const remove: typeof blobs.delete = async (digest, options) => {
    holdings.forget(digest);
    return await blobs.delete(digest, options);
  };
  const close = async (): Promise<void> => await storage.close();
  const verify: typeof blobs.verify = async (digest, options) => {
    const state = await blobs.verify(digest, options);
    if (state !== 'good') holdings.forget(digest);
    return state;
  };
  return { blobs: { ...blobs, delete: remove, verify }, uploads, close, [Symbol.asyncDispose]: close };
}
