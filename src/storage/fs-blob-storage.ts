/**
 * Storage of record on a disk: the blobs are pinned files of the content store, so the swarm serves them and they lie on
 * disk once; an upload is a file of its own beside them, whose length is the upload's offset.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { BlobStat, HeldBlob } from '../content/blob-store.ts';
import { isAbsentError } from '../content/errors.ts';
import type { RecordShelf } from '../content/record-shelf.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import {
  isUploadId,
  type BlobStorage,
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
import { FsUpload } from './fs-upload.ts';
import { storageFailure } from './storage-failure.ts';
import { digestStored } from './stored-hash.ts';

export interface FsBlobStorageDeps {
  readonly record: RecordShelf;
}

/** Hashes of uploads that are kept running between two requests; further ones are read again when they are committed. */
const MAX_RUNNING_HASHES = 256;

/** Keeps blobs in a content store that someone else opened and closes, after this. */
export class FsBlobStorage implements BlobStorage {
  readonly blobs: StoredBlobs;
  readonly uploads: Uploads;
  readonly #record: RecordShelf;
  /** Uploads that this process has dealt with, the one used last at the end. */
  readonly #open = new Map<UploadId, FsUpload>();
  #closing: Promise<void> | undefined;

  constructor({ record }: FsBlobStorageDeps) {
    this.#record = record;
    this.blobs = {
      stat: async (digest, options) => await this.#stat(digest, options),
      open: async (digest, options) => await this.#openBlob(digest, options),
      delete: async (digest, options) => await this.#delete(digest, options),
      verify: async (digest, options) => await this.#verify(digest, options),
      list: (options) => this.#list(options),
    };
    this.uploads = {
      create: async (options) => await this.#create(options),
      open: async (id, options) => await this.#openUpload(id, options),
      list: (options) => this.#listUploads(options),
    };
  }

  async close(): Promise<void> {
    this.#closing ??= Promise.all(Array.from(this.#open.values(), (upload) => upload.leave())).then(() => undefined);
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #stat(digest: Digest, options: StorageOptions = {}): Promise<StoredBlob | undefined> {
    this.#assertReady(options);
    const facts = this.#record.stat(digest);
    return await Promise.resolve(facts === undefined ? undefined : storedBlob(facts));
  }

  async #openBlob(digest: Digest, options: StorageOptions = {}): Promise<StoredReading | undefined> {
    this.#assertReady(options);
    const held = await storageFailure(digest, () => this.#record.open(digest));
    return held === undefined ? undefined : new FsReading(held);
  }

  async #delete(digest: Digest, options: StorageOptions = {}): Promise<boolean> {
    this.#assertReady(options);
    return await storageFailure(digest, () => this.#record.remove(digest));
  }

  async #verify(digest: Digest, options: VerifyOptions = {}): Promise<StoredState> {
    this.#assertReady(options);
    let isSetAside = false;
    try {
      await using reading = await this.#openBlob(digest, options);
      if (reading === undefined) return 'missing';
      // A file that was deleted while it is open can be read to its end, and not once more.
      const isThere = await this.#record.isOnDisk(digest);
      if (isThere && (await digestStored(reading, options)) === digest) return 'good';
    } catch (error) {
      options.signal?.throwIfAborted();
      const isUnreadable = ['ERR_STORAGE_IO', 'ERR_STORAGE_DAMAGED'].some((code) => isDockyardError(error, code));
      if (!isUnreadable) throw error;
      // Whoever reads a damaged blob sets it aside.
      isSetAside = isDockyardError(error, 'ERR_STORAGE_DAMAGED');
    }
    // A second look, past what may have been changed in memory, which sets aside what is damaged.
    const state = await storageFailure(digest, () => this.#record.verify(digest, options));
    return state ?? (isSetAside ? 'damaged' : 'missing');
  }

  async *#list(options: ListOptions = {}): AsyncGenerator<StoredBlob> {
    await Promise.resolve();
    for (const facts of this.#record.list(options.after)) {
      this.#assertReady(options);
      yield storedBlob(facts);
    }
  }

  async #create(options: StorageOptions = {}): Promise<Upload> {
    this.#assertReady(options);
    const id = randomBytes(16).toString('hex');
    const { disk } = this.#record;
    const path = this.#path(id);
    const file = await storageFailure(id, () => this.#record.withRoom(0, () => disk.open(path, 'wx')));
    await file.close();
    return this.#remember(new FsUpload(this.#uploadDeps(), { id, path, sizeBytes: 0 }));
  }

  async #openUpload(id: UploadId, options: StorageOptions = {}): Promise<Upload | undefined> {
    this.#assertReady(options);
    if (!isUploadId(id)) return undefined;
    const known = this.#open.get(id);
    if (known !== undefined) return this.#remember(known);
    const path = this.#path(id);
    try {
      const { size } = await this.#record.disk.stat(path);
      // Two requests may have asked at once: both are to have the same one.
      return this.#remember(this.#open.get(id) ?? new FsUpload(this.#uploadDeps(), { id, path, sizeBytes: size }));
    } catch (error) {
      if (isAbsentError(error)) return undefined;
      throw storageError('ERR_STORAGE_IO', `upload ${id} could not be opened`, { cause: error });
    }
  }

  async *#listUploads(options: StorageOptions = {}): AsyncGenerator<UploadFacts> {
    const { disk, uploadsFolder } = this.#record;
    for (const name of await storageFailure('uploads', () => disk.list(uploadsFolder))) {
      this.#assertReady(options);
      if (!isUploadId(name)) continue;
      try {
        const { mtimeMs } = await disk.stat(join(uploadsFolder, name));
        yield { id: name, changedAtMs: mtimeMs };
      } catch (error) {
        // It ended while the list was read.
        if (!isAbsentError(error)) throw storageError('ERR_STORAGE_IO', 'an upload cannot be read', { cause: error });
      }
    }
  }

  #uploadDeps(): ConstructorParameters<typeof FsUpload>[0] {
    return { record: this.#record, onEnd: (id) => void this.#open.delete(id) };
  }

  #remember(upload: FsUpload): FsUpload {
    this.#open.delete(upload.id);
    this.#open.set(upload.id, upload);
    for (const oldest of this.#open.values()) {
      if (this.#open.size <= MAX_RUNNING_HASHES) break;
      // One at work is used again at its end; forgetting it would let a second writer in.
      if (oldest.isBusy || oldest === upload) continue;
      oldest.dropHash();
      this.#open.delete(oldest.id);
    }
    return upload;
  }

  #path(id: UploadId): string {
    return join(this.#record.uploadsFolder, id);
  }

  #assertReady(options: StorageOptions): void {
    if (this.#closing !== undefined) throw storageError('ERR_STORAGE_CLOSED', 'storage of record is closed');
    options.signal?.throwIfAborted();
  }
}

/** A blob of record on disk. */
class FsReading implements StoredReading {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly #held: HeldBlob;

  constructor(held: HeldBlob) {
    this.#held = held;
    this.digest = held.digest;
    this.sizeBytes = held.geometry.sizeBytes;
  }

  async *read(range: ByteRange, options: StorageOptions = {}): AsyncGenerator<Uint8Array> {
    const chunks = this.#held.stream(range, options)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await storageFailure(this.digest, () => chunks.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await chunks.return?.();
    }
  }

  async close(): Promise<void> {
    await this.#held.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function storedBlob({ digest, sizeBytes, addedAtMs }: BlobStat): StoredBlob {
  return { digest, sizeBytes, storedAtMs: addedAtMs };
}
