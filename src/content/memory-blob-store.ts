/** Blobs in memory: the double for unit tests. The limit and the eviction are those of `FsBlobStore`. */
import { hash } from 'node:crypto';
import type { ByteRange } from '../oci/byte-range.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import { BlobCatalog, statOf, type CatalogEntry } from './blob-catalog.ts';
import type { BlobStat, BlobStore, HeldBlob, PartialBlob, StoreUsage, VerifyResult } from './blob-store.ts';
import { contentError } from './errors.ts';
import { assertRange } from './fs-held-blob.ts';
import { pieceGeometry, pieceRange, type PieceGeometry } from './geometry.ts';
import { MemoryPartialBlob, type MemoryPieces } from './memory-partial-blob.ts';

export interface MemoryBlobStoreDeps {
  readonly clock: { nowMs(): number };
}

export interface MemoryBlobStoreConfig {
  /** Most bytes of blobs and of partial blobs together. */
  readonly maxSizeBytes: number;
}

/** Small enough that a consumer of `stream` sees several chunks of a blob of a few pieces. */
const STREAM_CHUNK_BYTES = 64 * 1024;

/** Keeps blobs until the process ends. */
export class MemoryBlobStore implements BlobStore {
  readonly #deps: MemoryBlobStoreDeps;
  readonly #maxSizeBytes: number;
  readonly #catalog = new BlobCatalog();
  readonly #bytes = new Map<CatalogEntry, Buffer>();
  readonly #partials = new Map<Digest, MemoryPieces>();
  #closed = false;

  constructor(deps: MemoryBlobStoreDeps, config: MemoryBlobStoreConfig = { maxSizeBytes: Infinity }) {
    this.#deps = deps;
    this.#maxSizeBytes = config.maxSizeBytes;
  }

  stat(digest: Digest): BlobStat | undefined {
    const entry = this.#catalog.get(digest);
    return entry === undefined ? undefined : statOf(entry);
  }

  async open(digest: Digest): Promise<HeldBlob | undefined> {
    this.#assertOpen();
    const entry = this.#catalog.get(digest);
    const bytes = entry === undefined ? undefined : this.#bytes.get(entry);
    if (entry === undefined || bytes === undefined) return await Promise.resolve(undefined);
    entry.leases += 1;
    this.#catalog.touch(entry, this.#deps.clock.nowMs());
    return new MemoryHeldBlob(entry, bytes);
  }

  async openPartial(digest: Digest, sizeBytes: number): Promise<PartialBlob> {
    this.#assertOpen();
    this.#refuseWhatNeverFits(digest, sizeBytes);
    const earlier = this.#partials.get(digest);
    if (earlier?.open === true) throw contentError('ERR_PARTIAL_BUSY', `${digest} is being gathered already`);
    const usable = earlier?.geometry.sizeBytes === sizeBytes;
    const pieces = usable ? earlier : { digest, geometry: pieceGeometry(sizeBytes), pieces: new Map(), open: true };
    pieces.open = true;
    this.#partials.set(digest, pieces);
    return await Promise.resolve(
      new MemoryPartialBlob(
        {
          makeRoom: (bytes) => this.#makeRoom(bytes),
          publish: (bytes) => this.#add(digest, bytes),
          onEnd: (keep) => this.#endPartial(pieces, keep),
        },
        pieces,
      ),
    );
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    const found = digestOf(bytes, digestAlgorithm(digest));
    if (found !== digest) throw contentError('ERR_CONTENT_MISMATCH', `bytes given as ${digest} are ${found}`);
    if (this.#catalog.get(digest) !== undefined) return;
    this.#refuseWhatNeverFits(digest, bytes.length);
    this.#makeRoom(bytes.length);
    this.#add(digest, Buffer.from(bytes));
    await Promise.resolve();
  }

  async setPinned(digest: Digest, pinned: boolean): Promise<void> {
    this.#assertOpen();
    const entry = this.#catalog.get(digest);
    if (entry !== undefined) this.#catalog.setPinned(entry, pinned);
    else if (pinned) throw contentError('ERR_BLOB_NOT_HELD', `${digest} cannot be pinned: it is not held`);
    await Promise.resolve();
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#assertOpen();
    const entry = this.#catalog.get(digest);
    if (entry !== undefined) this.#bytes.delete(entry);
    return await Promise.resolve(this.#catalog.delete(digest));
  }

  onGone(listener: (digest: Digest) => void): void {
    this.#catalog.onGone(listener);
  }

  list(): Iterable<BlobStat> {
    return this.#catalog.list();
  }

  *listPartials(): Generator<{ digest: Digest; geometry: PieceGeometry; heldCount: number }> {
    for (const { digest, geometry, pieces } of this.#partials.values())
      yield { digest, geometry, heldCount: pieces.size };
  }

  async usage(): Promise<StoreUsage> {
    return await Promise.resolve({
      blobCount: this.#catalog.count,
      blobBytes: this.#catalog.totalBytes,
      partialCount: this.#partials.size,
      partialBytes: this.#partialBytes(),
      maxSizeBytes: this.#maxSizeBytes,
      freeDiskBytes: Infinity,
    });
  }

  async *verify(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<VerifyResult> {
    for (const { digest, sizeBytes } of this.#catalog.list()) {
      options.signal?.throwIfAborted();
      this.#assertOpen();
      yield await Promise.resolve({ digest, sizeBytes, state: 'good' });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #add(digest: Digest, bytes: Buffer): void {
    if (this.#catalog.get(digest) !== undefined) return;
    const nowMs = this.#deps.clock.nowMs();
    const entry = this.#catalog.add({
      digest,
      sizeBytes: bytes.length,
      addedAtMs: nowMs,
      lastUsedAtMs: nowMs,
      pinned: false,
    });
    this.#bytes.set(entry, bytes);
  }

  #endPartial(pieces: MemoryPieces, keep: boolean): void {
    pieces.open = false;
    this.#partials.delete(pieces.digest);
    // Again at the end: closed ones stand in the order in which they were last used.
    if (keep && pieces.pieces.size > 0) this.#partials.set(pieces.digest, pieces);
  }

  #makeRoom(bytes: number): void {
    while (this.#catalog.totalBytes + this.#partialBytes() + bytes > this.#maxSizeBytes) {
      const victim = this.#catalog.takeVictim();
      if (victim !== undefined) {
        this.#bytes.delete(victim);
        continue;
      }
      const partial = this.#partials.values().find((pieces) => !pieces.open);
      if (partial === undefined)
        throw contentError('ERR_STORE_FULL', 'no room in the content store: the size limit is reached');
      this.#partials.delete(partial.digest);
    }
  }

  #partialBytes(): number {
    let totalBytes = 0;
    for (const { pieces } of this.#partials.values())
      for (const { bytes } of pieces.values()) totalBytes += bytes.length;
    return totalBytes;
  }

  #refuseWhatNeverFits(digest: Digest, sizeBytes: number): void {
    if (this.#catalog.pinnedBytes + sizeBytes <= this.#maxSizeBytes) return;
    throw contentError('ERR_STORE_FULL', `${digest} does not fit into the store, beside what is pinned`);
  }

  #assertOpen(): void {
    if (this.#closed) throw contentError('ERR_STORE_CLOSED', 'the content store is closed');
  }
}

class MemoryHeldBlob implements HeldBlob {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly #entry: CatalogEntry;
  readonly #bytes: Buffer;
  #closed = false;

  constructor(entry: CatalogEntry, bytes: Buffer) {
    this.#entry = entry;
    this.#bytes = bytes;
    this.digest = entry.digest;
    this.geometry = pieceGeometry(bytes.length);
  }

  async pieceHashes(): Promise<Buffer> {
    const hashes: Buffer[] = [];
    for (let index = 0; index < this.geometry.pieceCount; index += 1) {
      hashes.push(hash('sha256', await this.read(pieceRange(this.geometry, index)), 'buffer'));
    }
    return Buffer.concat(hashes);
  }

  async read(range: ByteRange): Promise<Buffer> {
    if (this.#closed) throw contentError('ERR_STORE_CLOSED', `${this.digest} is read after it was closed`);
    assertRange(range, this.#bytes.length);
    return await Promise.resolve(Buffer.from(this.#bytes.subarray(range.start, range.end)));
  }

  async *stream(range: ByteRange, options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Buffer> {
    assertRange(range, this.#bytes.length);
    for (let start = range.start; start < range.end; start += STREAM_CHUNK_BYTES) {
      options.signal?.throwIfAborted();
      yield await this.read({ start, end: Math.min(start + STREAM_CHUNK_BYTES, range.end) });
    }
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#entry.leases -= 1;
    this.#closed = true;
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
