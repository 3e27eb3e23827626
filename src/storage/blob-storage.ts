/**
 * Storage of record: where a seed keeps what was pushed to it. A driver keeps bytes by digest and knows neither
 * repositories nor manifests; what may be seen where is the catalog's to say.
 *
 * Every driver keeps these promises, and test/contract/blob-storage.ts holds it to them:
 * - A blob can be seen when, and only when, all of its bytes were hashed and are durable. It appears at once, whole.
 * - An offset that was answered is durable: it outlives `kill -9` and a loss of power, and so does a published blob.
 * - An upload that ends halfway, for whatever reason, goes on from `offsetBytes` or is cancelled; it never becomes a blob.
 * - Absence is `undefined` or `false`, never an error. A failure is a DockyardError of STORAGE_ERRORS; an abort stays one.
 * - Memory is bounded: no method holds a blob, or a list of all blobs.
 */
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';

/** Facts of a blob of record. */
export interface StoredBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** When it was published, in milliseconds since the epoch; publishing what is there already leaves it as it was. */
  readonly storedAtMs: number;
}

/** A blob of record, open for reading. What was deleted meanwhile may be read to its end. Whoever opens it closes it. */
export interface StoredReading extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /**
   * Streams a range that lies within the blob; the consumer sets the pace and owns the chunks. Several may run at once.
   * @throws {DockyardError} ERR_STORAGE_IO, ERR_STORAGE_DAMAGED when there are fewer bytes than the blob has
   */
  read(range: ByteRange, options?: StorageOptions): AsyncIterable<Uint8Array>;
  /**
   * The SHA-256 of every piece, as the content store cuts blobs, 32 bytes each; only of drivers whose blobs lie outside of
   * the content store. Where they are not known the blob is read, which finds damage.
   * @throws {DockyardError} ERR_STORAGE_IO, ERR_STORAGE_DAMAGED
   */
  pieceHashes?(options?: StorageOptions): Promise<Buffer>;
  /** Idempotent; ends readings that are under way. */
  close(): Promise<void>;
}

/** What every call takes. */
export interface StorageOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What an upload is told of the bytes that it is given. */
export interface AppendOptions extends StorageOptions {
  /** The caller commits right after: then the bytes need not be durable before `commit` answers. */
  readonly isLast?: boolean | undefined;
  /** Told of each chunk that will not be read again, so that its memory can serve again. Not told of every one. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
}

/** How a blob is verified. */
export interface VerifyOptions extends StorageOptions {
  /** Told of bytes that were read; reading goes on when its promise resolves. */
  readonly onRead?: ((sizeBytes: number) => Promise<void>) | undefined;
}

/** How a blob was found. */
export type StoredState = 'good' | 'damaged' | 'missing';

/** Where a list goes on. */
export interface ListOptions extends StorageOptions {
  /** The digest after which to begin, not included: the last one that the caller has dealt with. It need not exist. */
  readonly after?: Digest | undefined;
}

/** A URL from which a client may fetch a blob itself. */
export interface DirectUrl {
  readonly url: string;
  readonly expiresAtMs: number;
}

/** Blobs of record by digest. */
export interface StoredBlobs {
  /** Facts of a blob, or `undefined`. */
  stat(digest: Digest, options?: StorageOptions): Promise<StoredBlob | undefined>;
  /** Opens a blob, or answers `undefined`. */
  open(digest: Digest, options?: StorageOptions): Promise<StoredReading | undefined>;
  /** Removes a blob durably; false when it was not there. */
  delete(digest: Digest, options?: StorageOptions): Promise<boolean>;
  /**
   * Hashes a blob again. One that is damaged is set aside: from then on it is absent, and may be pushed again; its bytes are
   * kept for inspection where there is room.
   * @throws {DockyardError} ERR_STORAGE_IO when it cannot be told
   */
  verify(digest: Digest, options?: VerifyOptions): Promise<StoredState>;
  /**
   * All blobs in the order of their digests as text, read as the caller goes along. What is published or deleted meanwhile
   * may or may not be among them; everything else is there exactly once.
   */
  list(options?: ListOptions): AsyncIterable<StoredBlob>;
  /** Where a client may fetch a blob by itself; only of drivers that can, and `undefined` when the blob is not there. */
  directUrl?(digest: Digest, options?: StorageOptions): Promise<DirectUrl | undefined>;
}

/** Names an upload: 32 lower-case hexadecimal digits, not to be guessed. Anything else names none. */
export type UploadId = string;

/** True for text that may name an upload; what comes from a client is checked with it before a driver sees it. */
export function isUploadId(text: string): text is UploadId {
  return /^[a-f0-9]{32}$/.test(text);
}

/** Facts of an upload that is under way. */
export interface UploadFacts {
  readonly id: UploadId;
  /** When bytes were last kept, or else when it began: an upload is abandoned when this is long ago. */
  readonly changedAtMs: number;
}

/**
 * Bytes on their way to become a blob. There is one writer at a time: a second call while one runs is refused, and harms
 * neither. All calls of one process for one id work on the same upload.
 */
export interface Upload {
  readonly id: UploadId;
  /** How many bytes are durable: where the next `append` goes on. Right after every call, also one that failed. */
  readonly offsetBytes: number;
  /**
   * Adds bytes, which must not change any more, and answers the new offset, once all of them are durable. When the source fails or the signal aborts,
   * what had come is made durable as far as that is possible, `offsetBytes` says how far that is, and the failure is
   * thrown on. Where the driver has to keep a remainder in memory (a part that is too small to be stored), it may drop
   * it then, and `offsetBytes` tells the truth.
   * @throws {DockyardError} ERR_UPLOAD_BUSY, ERR_UPLOAD_ENDED, ERR_STORAGE_FULL, ERR_STORAGE_IO; what the source throws
   */
  append(source: AsyncIterable<Uint8Array>, options?: AppendOptions): Promise<number>;
  /**
   * Ends the upload: hashes the whole with the algorithm that the digest names and publishes the blob, durably. Where the
   * blob is there already the new bytes are dropped, which is no error.
   * After ERR_DIGEST_MISMATCH the upload is cancelled; after other failures it goes on and `commit` may be called again.
   * @throws {DockyardError} ERR_DIGEST_MISMATCH, ERR_UPLOAD_BUSY, ERR_UPLOAD_ENDED, ERR_STORAGE_FULL, ERR_STORAGE_IO
   */
  commit(digest: Digest, options?: StorageOptions): Promise<StoredBlob>;
  /**
   * Removes the upload and its bytes. An upload that has ended is left as it is.
   * @throws {DockyardError} ERR_UPLOAD_BUSY while bytes are being added or it is being committed
   */
  cancel(): Promise<void>;
}

/** Uploads that are under way, those of earlier processes included. */
export interface Uploads {
  /** Begins one. */
  create(options?: StorageOptions): Promise<Upload>;
  /** Finds one by its id, also after a restart, with its true offset; `undefined` when it ended or never was. */
  open(id: UploadId, options?: StorageOptions): Promise<Upload | undefined>;
  /** All of them, in no order. */
  list(options?: StorageOptions): AsyncIterable<UploadFacts>;
}

/** Storage of record. Whoever opened it closes it. */
export interface BlobStorage extends AsyncDisposable {
  readonly blobs: StoredBlobs;
  readonly uploads: Uploads;
  /** Lets calls that are under way end, and leaves uploads for the next process. Idempotent. */
  close(): Promise<void>;
}
