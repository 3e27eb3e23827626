/**
 * Storage of record in a bucket of S3, or of a service that speaks its protocol. The layout is in s3-keys.ts. Two seeds may
 * share a bucket when each has a prefix of its own.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Digest } from '../oci/digest.ts';
import { ConnectionSlots } from '../origin/connection-slots.ts';
import {
  isUploadId,
  type BlobStorage,
  type DirectUrl,
  type ListOptions,
  type StorageOptions,
  type StoredBlob,
  type StoredBlobs,
  type StoredReading,
  type StoredState,
  type Upload,
  type UploadFacts,
  type UploadId,
  type Uploads,
  type VerifyOptions,
} from './blob-storage.ts';
import { storageError } from './errors.ts';
import type { S3StorageConfig } from './s3-config.ts';
import { S3Keys } from './s3-keys.ts';
import type { Multipart, StoredPart } from './s3-multiparts.ts';
import { S3Objects, type ObjectFacts } from './s3-objects.ts';
import { claimPlace } from './s3-owner.ts';
import { S3PieceNotes } from './s3-piece-notes.ts';
import { S3Reading, type S3ReadingDeps } from './s3-reading.ts';
import { S3Upload } from './s3-upload.ts';
import { verifyObject } from './s3-verifying.ts';
import { parseUploadMetadata, uploadMetadata, type S3UploadState } from './s3-upload-body.ts';

export interface S3BlobStorageDeps {
  readonly log: Logger;
  readonly clock: { nowMs(): number };
  /** Names the seed whose place it is to be; anybody's when left out. */
  readonly owner?: string | undefined;
}

/** Uploads that are remembered between two requests, with the hash of what came; others are read again when committed. */
const MAX_REMEMBERED_UPLOADS = 1024;

/** Whoever opens it closes it. */
export class S3BlobStorage implements BlobStorage {
  readonly blobs: StoredBlobs;
  readonly uploads: Uploads;
  readonly #deps: S3BlobStorageDeps;
  readonly #config: S3StorageConfig;
  readonly #objects: S3Objects;
  readonly #keys: S3Keys;
  readonly #pieceNotes: S3PieceNotes;
  readonly #slots: ConnectionSlots;
  /** The one used last at the end. */
  readonly #remembered = new Map<UploadId, S3Upload>();
  #closing: Promise<void> | undefined;

  private constructor(deps: S3BlobStorageDeps, config: S3StorageConfig, objects: S3Objects) {
    this.#deps = deps;
    this.#config = config;
    this.#objects = objects;
    this.#keys = new S3Keys(config.prefix);
    this.#pieceNotes = new S3PieceNotes({ objects, keys: this.#keys, log: deps.log });
    this.#slots = new ConnectionSlots(Math.max(2, Math.floor(config.memoryBytes / config.partSizeBytes)));
    this.blobs = {
      stat: async (digest, options) => await this.#stat(digest, options),
      open: async (digest, options) => await this.#openBlob(digest, options),
      delete: async (digest, options) => await this.#delete(digest, options),
      verify: async (digest, options) => await this.#verify(digest, options),
      list: (options) => this.#list(options),
      directUrl: async (digest, options) => await this.#directUrl(digest, options),
    };
    this.uploads = {
      create: async (options) => await this.#create(options),
      open: async (id, options) => await this.#openUpload(id, options),
      list: (options) => this.#listUploads(options),
    };
  }

  /** Makes sure that the bucket can be reached, and is the owner's. @throws {DockyardError} ERR_STORAGE_IO, ERR_STORAGE_TAKEN */
  static async open(deps: S3BlobStorageDeps, config: S3StorageConfig): Promise<S3BlobStorage> {
    const objects = await S3Objects.open(config);
    try {
      if (deps.owner !== undefined) await claimPlace(objects, new S3Keys(config.prefix), deps.owner);
      return new S3BlobStorage(deps, config, objects);
    } catch (error) {
      objects.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.all(Array.from(this.#remembered.values(), async (upload) => await upload.leave()));
      this.#objects.close();
    })();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #stat(digest: Digest, options: StorageOptions = {}): Promise<StoredBlob | undefined> {
    const facts = await this.#head(digest, options);
    return facts === undefined ? undefined : storedBlob(digest, facts);
  }

  async #openBlob(digest: Digest, options: StorageOptions = {}): Promise<StoredReading | undefined> {
    const facts = await this.#head(digest, options);
    if (facts === undefined) return undefined;
    return new S3Reading(this.#readingDeps, digest, facts);
  }

  get #readingDeps(): S3ReadingDeps {
    const { stallTimeoutMs, maxAttempts } = this.#config;
    return { objects: this.#objects, pieceNotes: this.#pieceNotes, stallTimeoutMs, maxAttempts };
  }

  async #verify(digest: Digest, options: VerifyOptions = {}): Promise<StoredState> {
    this.#assertReady(options);
    const deps = { objects: this.#objects, keys: this.#keys, pieceNotes: this.#pieceNotes };
    return await verifyObject({ ...this.#readingDeps, ...deps }, digest, options);
  }

  async #delete(digest: Digest, options: StorageOptions = {}): Promise<boolean> {
    // The service does not tell whether there was something to delete.
    const facts = await this.#head(digest, options);
    if (facts === undefined) return false;
    await this.#pieceNotes.delete(digest, facts.sizeBytes, options);
    await this.#objects.delete(this.#keys.blob(digest), options);
    return true;
  }

  async *#list(options: ListOptions = {}): AsyncGenerator<StoredBlob> {
    this.#assertReady(options);
    const after = options.after === undefined ? undefined : this.#keys.blob(options.after);
    for await (const facts of this.#objects.list(this.#keys.blobs, { after, signal: options.signal })) {
      this.#assertReady(options);
      const digest = this.#keys.digestOf(facts.key);
      if (digest !== undefined) yield storedBlob(digest, facts);
    }
  }

  async #directUrl(digest: Digest, options: StorageOptions = {}): Promise<DirectUrl | undefined> {
    if ((await this.#head(digest, options)) === undefined) return undefined;
    const expiresAtMs = this.#deps.clock.nowMs() + this.#config.directUrlTtlMs;
    return { url: await this.#objects.directUrl(this.#keys.blob(digest), options), expiresAtMs };
  }

  async #head(digest: Digest, options: StorageOptions): Promise<ObjectFacts | undefined> {
    this.#assertReady(options);
    return await this.#objects.head(this.#keys.blob(digest), options);
  }

  async #create(options: StorageOptions = {}): Promise<Upload> {
    this.#assertReady(options);
    const id = randomBytes(16).toString('hex');
    const { partSizeBytes } = this.#config;
    const metadata = uploadMetadata({ partSizeBytes, startBytes: 0, multipartId: undefined });
    await this.#objects.put(this.#keys.upload(id), Buffer.alloc(0), { ...options, metadata });
    const tail = { startBytes: 0, sizeBytes: 0 };
    return this.#remember({ id, partSizeBytes, multipart: undefined, parts: [], tail, sealed: undefined });
  }

  async #openUpload(id: UploadId, options: StorageOptions = {}): Promise<Upload | undefined> {
    this.#assertReady(options);
    if (!isUploadId(id)) return undefined;
    const known = this.#remembered.get(id);
    if (known !== undefined) return known;
    const facts = await this.#objects.head(this.#keys.upload(id), options);
    const metadata = facts === undefined ? undefined : parseUploadMetadata(facts.metadata);
    if (facts === undefined || metadata === undefined) return undefined;
    const { partSizeBytes, startBytes, multipartId } = metadata;
    const tail = { startBytes, sizeBytes: facts.sizeBytes };
    const begun = { id, partSizeBytes, tail, sealed: undefined };
    if (multipartId === undefined) return this.#remember({ ...begun, multipart: undefined, parts: [] });
    const multipart = { key: this.#keys.staging(id), id: multipartId };
    const state = await this.#findParts(begun, multipart, options);
    return state === undefined ? undefined : this.#remember(state);
  }

  /** The parts of an upload of an earlier process; `undefined` when someone removed them. */
  async #findParts(
    begun: Omit<S3UploadState, 'multipart' | 'parts'>,
    multipart: Multipart,
    options: StorageOptions,
  ): Promise<S3UploadState | undefined> {
    const found = await this.#objects.multiparts.listParts(multipart, options);
    if (found !== undefined) return { ...begun, multipart, parts: wholeParts(found, begun.partSizeBytes) };
    const sealed = await this.#objects.head(multipart.key, options);
    if (sealed !== undefined) return { ...begun, multipart, parts: [], sealed };
    // The rest of an upload that ended while it was being removed, or whose parts a rule of the bucket removed.
    await this.#objects.delete(this.#keys.upload(begun.id), options);
    return undefined;
  }

  async *#listUploads(options: StorageOptions = {}): AsyncGenerator<UploadFacts> {
    this.#assertReady(options);
    for await (const facts of this.#objects.list(this.#keys.uploads, options)) {
      this.#assertReady(options);
      const id = this.#keys.uploadOf(facts.key);
      if (id !== undefined) yield { id, changedAtMs: facts.changedAtMs };
    }
  }

  /** Two requests may have asked at once: both get the same one. */
  #remember(state: S3UploadState): S3Upload {
    const known = this.#remembered.get(state.id);
    const { log } = this.#deps;
    const upload =
      known ??
      new S3Upload(
        {
          objects: this.#objects,
          keys: this.#keys,
          pieceNotes: this.#pieceNotes,
          slots: this.#slots,
          log,
          stallTimeoutMs: this.#config.stallTimeoutMs,
          maxAttempts: this.#config.maxAttempts,
          onEnd: (id) => void this.#remembered.delete(id),
        },
        state,
      );
    this.#remembered.delete(state.id);
    this.#remembered.set(state.id, upload);
    for (const oldest of this.#remembered.values()) {
      if (this.#remembered.size <= MAX_REMEMBERED_UPLOADS) break;
      // One at work is used again at its end; forgetting it would let a second writer in.
      if (oldest.isBusy || oldest === upload) continue;
      this.#remembered.delete(oldest.id);
    }
    return upload;
  }

  #assertReady(options: StorageOptions): void {
    if (this.#closing !== undefined) throw storageError('ERR_STORAGE_CLOSED', 'storage of record is closed');
    options.signal?.throwIfAborted();
  }
}

/** Those from the first on that are whole and without a gap: what is behind them is overwritten when it comes again. */
function wholeParts(found: readonly StoredPart[], partSizeBytes: number): StoredPart[] {
  const byNumber = new Map(found.map((part) => [part.number, part]));
  const parts: StoredPart[] = [];
  for (let part = byNumber.get(1); part?.sizeBytes === partSizeBytes; part = byNumber.get(parts.length + 1)) {
    parts.push(part);
  }
  return parts;
}

function storedBlob(digest: Digest, facts: ObjectFacts): StoredBlob {
  return { digest, sizeBytes: facts.sizeBytes, storedAtMs: facts.changedAtMs };
}
