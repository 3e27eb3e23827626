/**
 * A content store to which blobs of record are added that lie elsewhere: in a bucket. To peers this node holds them, and
 * gives their pieces by reading the bucket; all else is the content store's. Which blobs there are is kept in memory, as the
 * content store does for its own.
 */
import type { Logger } from 'pino';
import type { BlobStat, BlobStore, HeldBlob, PartialBlob, StoreUsage, VerifyResult } from '../content/blob-store.ts';
import type { BufferPool } from '../content/buffer-pool.ts';
import { pieceGeometry, type PieceGeometry } from '../content/geometry.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import { isAbortError, isDockyardError } from '../oci/error.ts';
import type { StoredBlob, StoredBlobs, StoredReading } from './blob-storage.ts';
import { storageError } from './errors.ts';

export interface RecordHoldingsDeps {
  /** Closed by whoever opened it. */
  readonly content: BlobStore;
  /** A driver that knows piece hashes; closed by whoever opened it. */
  readonly record: Pick<StoredBlobs, 'open' | 'list'>;
  /** Memory for pieces. */
  readonly memory: BufferPool;
  readonly log: Logger;
}

/** One for each seed whose record is not in its content store. */
export class RecordHoldings implements BlobStore {
  readonly #deps: RecordHoldingsDeps;
  readonly #stored = new Map<Digest, BlobStat>();
  readonly #goneListeners: ((digest: Digest) => void)[] = [];
  readonly #stopping = new AbortController();
  #finding: Promise<void> | undefined;

  constructor(deps: RecordHoldingsDeps) {
    this.#deps = deps;
  }

  /** A blob was stored, or found in storage. */
  add({ digest, sizeBytes, storedAtMs }: StoredBlob): void {
    const times = { addedAtMs: storedAtMs, lastUsedAtMs: storedAtMs };
    this.#stored.set(digest, { digest, sizeBytes, ...times, pinned: true });
  }

  /** A blob is not in storage any more. */
  forget(digest: Digest): void {
    if (!this.#stored.delete(digest) || this.#deps.content.stat(digest) !== undefined) return;
    for (const listener of this.#goneListeners) listener(digest);
  }

  /** Neither storage nor the content store holds it any more. */
  onGone(listener: (digest: Digest) => void): void {
    this.#goneListeners.push(listener);
    this.#deps.content.onGone((digest) => {
      if (!this.#stored.has(digest)) listener(digest);
    });
  }

  /** Finds in the background what is in storage already, and calls back for each blob. */
  start(onFound: (digest: Digest) => void): void {
    this.#finding ??= this.#find(onFound);
  }

  /** Resolves when the search ended that `start` began. */
  async whenFound(): Promise<void> {
    await this.#finding;
  }

  stat(digest: Digest): BlobStat | undefined {
    return this.#deps.content.stat(digest) ?? this.#stored.get(digest);
  }

  async open(digest: Digest): Promise<HeldBlob | undefined> {
    const held = await this.#deps.content.open(digest);
    if (held !== undefined || !this.#stored.has(digest)) return held;
    const reading = await this.#openStored(digest);
    if (reading === 'unknown') return undefined;
    if (reading !== undefined) return new RecordHeldBlob(reading, this.#deps.memory);
    this.forget(digest);
    return undefined;
  }

  *list(): Generator<BlobStat> {
    yield* this.#deps.content.list();
    for (const stored of this.#stored.values()) {
      if (this.#deps.content.stat(stored.digest) === undefined) yield stored;
    }
  }

  async openPartial(digest: Digest, sizeBytes: number): Promise<PartialBlob> {
    return await this.#deps.content.openPartial(digest, sizeBytes);
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    await this.#deps.content.put(digest, bytes);
  }

  async setPinned(digest: Digest, pinned: boolean): Promise<void> {
    await this.#deps.content.setPinned(digest, pinned);
  }

  /** From the content store alone: what is of record is deleted from storage. */
  async remove(digest: Digest): Promise<boolean> {
    return await this.#deps.content.remove(digest);
  }

  listPartials(): Iterable<{ digest: Digest; geometry: PieceGeometry; heldCount: number }> {
    return this.#deps.content.listPartials();
  }

  async usage(): Promise<StoreUsage> {
    return await this.#deps.content.usage();
  }

  verify(options?: { signal?: AbortSignal | undefined }): AsyncIterable<VerifyResult> {
    return this.#deps.content.verify(options);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#finding;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** While storage does not answer, peers may have the blob: then it is as if it were not held here. */
  async #openStored(digest: Digest): Promise<StoredReading | 'unknown' | undefined> {
    try {
      return await this.#deps.record.open(digest);
    } catch (error) {
      if (!isDockyardError(error, 'ERR_STORAGE_IO')) throw error;
      this.#deps.log.warn({ err: error, digest }, 'blob in storage could not be opened');
      return 'unknown';
    }
  }

  async #find(onFound: (digest: Digest) => void): Promise<void> {
    const { log, record } = this.#deps;
    try {
      for await (const stored of record.list({ signal: this.#stopping.signal })) {
        if (this.#stored.has(stored.digest)) continue;
        this.add(stored);
        onFound(stored.digest);
      }
    } catch (error) {
      // What was not found is read by this node's clients all the same, and by peers as from any registry.
      if (!isAbortError(error)) log.warn({ err: error }, 'peers are not told of all blobs in storage');
    }
  }
}

/** A blob of record, as peers read it. */
class RecordHeldBlob implements HeldBlob {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly #reading: StoredReading;
  readonly #memory: BufferPool;
  #pieceHashes: Promise<Buffer> | undefined;

  constructor(reading: StoredReading, memory: BufferPool) {
    this.#reading = reading;
    this.#memory = memory;
    this.digest = reading.digest;
    this.geometry = pieceGeometry(reading.sizeBytes);
  }

  async pieceHashes(): Promise<Buffer> {
    const { digest } = this;
    if (this.#reading.pieceHashes === undefined)
      throw storageError('ERR_STORAGE_IO', `the driver of storage knows no piece hashes of ${digest}`);
    this.#pieceHashes ??= this.#reading.pieceHashes();
    return await this.#pieceHashes;
  }

  async read(range: ByteRange): Promise<Buffer> {
    const bytes = this.#memory.acquire(range.end - range.start);
    let filled = 0;
    try {
      for await (const chunk of this.#reading.read(range)) {
        bytes.set(chunk, filled);
        filled += chunk.length;
      }
      return bytes;
    } catch (error) {
      this.#memory.release(bytes);
      throw error;
    }
  }

  async *stream(range: ByteRange, options?: { signal?: AbortSignal | undefined }): AsyncGenerator<Buffer> {
    for await (const chunk of this.#reading.read(range, options))
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }

  async close(): Promise<void> {
    await this.#reading.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
