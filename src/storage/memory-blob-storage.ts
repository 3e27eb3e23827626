/** Storage of record in memory: the double for unit tests. */
import { randomBytes } from 'node:crypto';
import type { ByteRange } from '../oci/byte-range.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import type {
  AppendOptions,
  BlobStorage,
  ListOptions,
  StorageOptions,
  StoredBlob,
  StoredBlobs,
  StoredReading,
  StoredState,
  Upload,
  UploadFacts,
  UploadId,
  Uploads,
  VerifyOptions,
} from './blob-storage.ts';
import { storageError } from './errors.ts';
import { digestStored } from './stored-hash.ts';

const CHUNK_BYTES = 64 * 1024;

interface KeptBlob extends StoredBlob {
  readonly bytes: Buffer;
}

interface KeptUpload extends UploadFacts {
  readonly bytes: Buffer;
}

/** What outlives a storage: given to the next one, as a disk is to the next process. */
export class MemoryMedium {
  readonly blobs = new Map<Digest, KeptBlob>();
  readonly uploads = new Map<UploadId, KeptUpload>();
}

export interface MemoryBlobStorageDeps {
  readonly clock: { nowMs(): number };
  readonly medium?: MemoryMedium | undefined;
}

/** Keeps blobs as long as its medium. */
export class MemoryBlobStorage implements BlobStorage {
  readonly blobs: StoredBlobs;
  readonly uploads: Uploads;
  readonly #clock: { nowMs(): number };
  readonly #medium: MemoryMedium;
  readonly #open = new Map<UploadId, MemoryUpload>();
  #isClosed = false;

  constructor({ clock, medium }: MemoryBlobStorageDeps) {
    this.#clock = clock;
    this.#medium = medium ?? new MemoryMedium();
    const { blobs } = this.#medium;
    this.blobs = {
      stat: async (digest, options) => await this.#answer(options, () => factsOf(blobs.get(digest))),
      open: async (digest, options) => await this.#answer(options, () => readingOf(blobs.get(digest))),
      delete: async (digest, options) => await this.#answer(options, () => blobs.delete(digest)),
      verify: async (digest, options) => await this.#verify(digest, options),
      list: (options) => this.#list(options),
    };
    this.uploads = {
      create: async (options) => await this.#answer(options, () => this.#create()),
      open: async (id, options) => await this.#answer(options, () => this.#openUpload(id)),
      list: (options) => this.#listUploads(options),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer<Result>(options: StorageOptions | undefined, step: () => Result): Promise<Result> {
    if (this.#isClosed) throw storageError('ERR_STORAGE_CLOSED', 'storage of record is closed');
    options?.signal?.throwIfAborted();
    return await Promise.resolve(step());
  }

  async #verify(digest: Digest, options: VerifyOptions = {}): Promise<StoredState> {
    const { blobs } = this.#medium;
    await using reading = await this.#answer(options, () => readingOf(blobs.get(digest)));
    if (reading === undefined) return 'missing';
    if ((await digestStored(reading, options)) === digest) return 'good';
    blobs.delete(digest);
    return 'damaged';
  }

  async *#list(options: ListOptions = {}): AsyncGenerator<StoredBlob> {
    const { after } = options;
    for (const digest of [...this.#medium.blobs.keys()].toSorted()) {
      const facts = await this.#answer(options, () => factsOf(this.#medium.blobs.get(digest)));
      if (facts !== undefined && (after === undefined || digest > after)) yield facts;
    }
  }

  #create(): Upload {
    const id = randomBytes(16).toString('hex');
    this.#medium.uploads.set(id, { id, bytes: Buffer.alloc(0), changedAtMs: this.#clock.nowMs() });
    return this.#remember(id);
  }

  #openUpload(id: UploadId): Upload | undefined {
    return this.#medium.uploads.has(id) ? (this.#open.get(id) ?? this.#remember(id)) : undefined;
  }

  #remember(id: UploadId): Upload {
    const upload = new MemoryUpload(id, this.#medium, this.#clock);
    this.#open.set(id, upload);
    return upload;
  }

  async *#listUploads(options: StorageOptions = {}): AsyncGenerator<UploadFacts> {
    for (const { id, changedAtMs } of [...this.#medium.uploads.values()]) {
      yield await this.#answer(options, () => ({ id, changedAtMs }));
    }
  }
}

class MemoryUpload implements Upload {
  readonly id: UploadId;
  readonly #medium: MemoryMedium;
  readonly #clock: { nowMs(): number };
  #isBusy = false;

  constructor(id: UploadId, medium: MemoryMedium, clock: { nowMs(): number }) {
    this.id = id;
    this.#medium = medium;
    this.#clock = clock;
  }

  get offsetBytes(): number {
    return this.#medium.uploads.get(this.id)?.bytes.length ?? 0;
  }

  async append(source: AsyncIterable<Uint8Array>, options: AppendOptions = {}): Promise<number> {
    return await this.#alone(async () => {
      options.signal?.throwIfAborted();
      for await (const chunk of source) {
        options.signal?.throwIfAborted();
        const { id } = this;
        const bytes = Buffer.concat([this.#kept().bytes, chunk]);
        this.#medium.uploads.set(id, { id, bytes, changedAtMs: this.#clock.nowMs() });
        options.recycle?.(chunk);
      }
      options.signal?.throwIfAborted();
      return this.offsetBytes;
    });
  }

  async commit(digest: Digest, options: StorageOptions = {}): Promise<StoredBlob> {
    return await this.#alone(async () => {
      options.signal?.throwIfAborted();
      const { bytes } = this.#kept();
      this.#medium.uploads.delete(this.id);
      const found = digestOf(bytes, digestAlgorithm(digest));
      if (found !== digest) throw storageError('ERR_DIGEST_MISMATCH', `what was uploaded as ${digest} is ${found}`);
      const { blobs } = this.#medium;
      const kept = blobs.get(digest) ?? { digest, sizeBytes: bytes.length, storedAtMs: this.#clock.nowMs(), bytes };
      blobs.set(digest, kept);
      return await Promise.resolve(factsOf(kept));
    });
  }

  async cancel(): Promise<void> {
    if (!this.#medium.uploads.has(this.id)) return;
    await this.#alone(async () => {
      this.#medium.uploads.delete(this.id);
      await Promise.resolve();
    });
  }

  #kept(): KeptUpload {
    const kept = this.#medium.uploads.get(this.id);
    if (kept === undefined) throw storageError('ERR_UPLOAD_ENDED', `upload ${this.id} has ended`);
    return kept;
  }

  async #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#kept();
    if (this.#isBusy) throw storageError('ERR_UPLOAD_BUSY', `upload ${this.id} is being written to`);
    this.#isBusy = true;
    try {
      return await work();
    } finally {
      this.#isBusy = false;
    }
  }
}

function factsOf<Blob extends KeptBlob | undefined>(kept: Blob): Blob extends KeptBlob ? StoredBlob : undefined;
function factsOf(kept: KeptBlob | undefined): StoredBlob | undefined {
  if (kept === undefined) return undefined;
  const { digest, sizeBytes, storedAtMs } = kept;
  return { digest, sizeBytes, storedAtMs };
}

function readingOf(kept: KeptBlob | undefined): StoredReading | undefined {
  if (kept === undefined) return undefined;
  const { digest, sizeBytes, bytes } = kept;
  let isClosed = false;
  const close = async (): Promise<void> => {
    isClosed = true;
    await Promise.resolve();
  };
  async function* read({ start, end }: ByteRange, options: StorageOptions = {}): AsyncGenerator<Uint8Array> {
    if (start < 0 || start > end || end > sizeBytes) throw new RangeError('the range is not within the blob');
    for (let at = start; at < end; at += CHUNK_BYTES) {
      options.signal?.throwIfAborted();
      if (isClosed) throw storageError('ERR_STORAGE_CLOSED', `${digest} is read after it was closed`);
      yield await Promise.resolve(bytes.subarray(at, Math.min(end, at + CHUNK_BYTES)));
    }
  }
  return { digest, sizeBytes, read, close, [Symbol.asyncDispose]: close };
}
