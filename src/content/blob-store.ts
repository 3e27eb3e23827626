/**
 * What a content store promises. Blobs are named by digest; a blob is either complete (verified as a whole, published by
 * a rename) or partial (some verified pieces, kept over restarts). `FsBlobStore` keeps them on disk, `MemoryBlobStore`
 * is the double for unit tests; both pass test/contract/blob-store.ts.
 */
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { PieceGeometry } from './geometry.ts';
import type { Bitfield } from './bitfield.ts';

/** Facts of a complete blob. */
export interface BlobStat {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly addedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly pinned: boolean;
}

/** A complete blob that someone reads. While it is open it is not evicted. Whoever opens it closes it. */
export interface HeldBlob extends AsyncDisposable {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  /**
   * The SHA-256 of every piece, in order, 32 bytes each; computed once and kept.
   * @throws {DockyardError} ERR_BLOB_DAMAGED when they had to be computed and the whole is not what it was
   */
  pieceHashes(): Promise<Buffer>;
  /**
   * Reads a range whole, unverified: for pieces, which those who get them verify, never for blobs. The caller owns the
   * buffer and may release it, see BufferPool.
   */
  read(range: ByteRange): Promise<Buffer>;
  /**
   * Streams a range in large chunks, all verified; the consumer sets the pace, owns the chunks, and may release them.
   * @throws {DockyardError} ERR_BLOB_DAMAGED in place of the first wrong bytes; the blob is held no longer then
   */
  stream(range: ByteRange, options?: { signal?: AbortSignal | undefined }): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** A blob that is still being gathered. There is one at a time for a digest, and its opener alone writes to it. */
export interface PartialBlob extends AsyncDisposable {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  /** Which pieces are held. Not to be changed by the reader. */
  readonly held: Bitfield;
  /** The hash of a piece that is held, or that was refused for want of room; otherwise `undefined`. */
  pieceHash(index: number): Buffer | undefined;
  /** The SHA-256 of bytes that came in for a piece, which must not change meanwhile; never fails. */
  hashPiece(bytes: Uint8Array): Promise<Buffer>;
  /**
   * Keeps a piece of which the caller has checked that `pieceHash` is its SHA-256 and the hash it expected.
   * Resolves when the bytes can be read back, and survive the end of this process.
   * @throws {DockyardError} ERR_STORE_FULL when the disk is full or the size limit cannot be met; nothing is lost by it
   */
  writePiece(index: number, bytes: Uint8Array, pieceHash: Uint8Array): Promise<void>;
  /** Reads bytes whose pieces are all held. The caller owns the buffer and may release it. */
  read(range: ByteRange): Promise<Buffer>;
  /**
   * To be called when all pieces are held: hashes the whole and, if it is what the digest says, publishes the blob
   * durably (`complete`; this object is closed by it). Otherwise `mismatch`: some piece hash was false; the caller
   * resets or discards. Hashing of the contiguous beginning runs ahead in the background, so this is quick; the fsync may
   * not be. `onVerified` is called as soon as the whole is known to be right, for those who wait for no more than that.
   */
  complete(options?: { onVerified?: (() => void) | undefined }): Promise<'complete' | 'mismatch'>;
  /** Forgets all pieces and hashes. */
  reset(): Promise<void>;
  /** Stops the work and keeps the pieces for a later `openPartial`. */
  close(): Promise<void>;
  /** Stops the work and removes the pieces. */
  discard(): Promise<void>;
}

/** How full the store is. */
export interface StoreUsage {
  readonly blobCount: number;
  readonly blobBytes: number;
  readonly partialCount: number;
  readonly partialBytes: number;
  readonly maxSizeBytes: number;
  readonly freeDiskBytes: number;
}

/** What `verify` found of one blob. */
export interface VerifyResult {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly state: 'good' | 'damaged' | 'missing';
}

export interface BlobStore extends AsyncDisposable {
  /** Facts of a complete blob from memory, or `undefined` when it is not held complete. */
  stat(digest: Digest): BlobStat | undefined;
  /** Opens a complete blob, or answers `undefined` when it is not held complete. Marks it as used. */
  open(digest: Digest): Promise<HeldBlob | undefined>;
  /**
   * Opens a partial blob, with the verified pieces of earlier work.
   * @throws {DockyardError} ERR_STORE_FULL, ERR_PARTIAL_BUSY when it is open already
   */
  openPartial(digest: Digest, sizeBytes: number): Promise<PartialBlob>;
  /**
   * Keeps a small blob at once, after checking its digest. Holding it already is success.
   * @throws {DockyardError} ERR_CONTENT_MISMATCH, ERR_STORE_FULL
   */
  put(digest: Digest, bytes: Uint8Array): Promise<void>;
  /**
   * A pinned blob is never evicted. Unpinning what is not held is no error.
   * @throws {DockyardError} ERR_BLOB_NOT_HELD when a blob that is not held complete is to be pinned
   */
  setPinned(digest: Digest, pinned: boolean): Promise<void>;
  /** Removes a complete blob; false when it was not held. Readers that have it open go on. */
  remove(digest: Digest): Promise<boolean>;
  /** Tells of each complete blob that is held no longer: evicted, removed, or found damaged. */
  onGone(listener: (digest: Digest) => void): void;
  /** All complete blobs. */
  list(): Iterable<BlobStat>;
  /** Partial blobs on disk, open or not. */
  listPartials(): Iterable<{ digest: Digest; geometry: PieceGeometry; heldCount: number }>;
  usage(): Promise<StoreUsage>;
  /** Hashes again all that is held; what is wrong is set aside, out of reach of readers. */
  verify(options?: { signal?: AbortSignal | undefined }): AsyncIterable<VerifyResult>;
  close(): Promise<void>;
}
