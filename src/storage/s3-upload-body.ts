/**
 * The bytes of one upload to a bucket. Whole parts are in a multipart upload of S3; what is behind the last of them, too
 * small to be a part, is the body of the upload's own object (s3-keys.ts). Knows at every moment what is durable.
 */
import { asError } from '../oci/error.ts';
import type { StorageOptions, UploadId } from './blob-storage.ts';
import { storageError } from './errors.ts';
import type { S3Keys } from './s3-keys.ts';
import type { Multipart, StoredPart } from './s3-multiparts.ts';
import type { ObjectFacts, S3Objects } from './s3-objects.ts';

export interface S3UploadBodyDeps {
  readonly objects: S3Objects;
  readonly keys: S3Keys;
}

/** What is durable of an upload. */
export interface S3UploadState {
  readonly id: UploadId;
  readonly partSizeBytes: number;
  readonly multipart: Multipart | undefined;
  /** Whole parts, without a gap. */
  readonly parts: readonly StoredPart[];
  /** The body of the upload's object, and where it begins. */
  readonly tail: { readonly startBytes: number; readonly sizeBytes: number };
  /** The object that the parts were put together to, once they were. */
  readonly sealed: ObjectFacts | undefined;
}

/** All bytes of an upload, to be verified and published. */
export type AssembledUpload =
  { readonly kind: 'memory'; readonly bytes: Buffer } | { readonly kind: 'object'; readonly facts: ObjectFacts };

/** Owned by one upload, which sees to it that one thing is done at a time. */
export class S3UploadBody {
  readonly id: UploadId;
  readonly partSizeBytes: number;
  readonly #deps: S3UploadBodyDeps;
  #multipart: Promise<Multipart> | undefined;
  #parts: readonly StoredPart[];
  #tail: S3UploadState['tail'];
  #sealed: ObjectFacts | undefined;
  /** The tail, while it is in memory and not durable, because the caller said that it would commit at once. */
  #unsaved: Buffer | undefined;

  constructor(deps: S3UploadBodyDeps, state: S3UploadState) {
    this.#deps = deps;
    this.id = state.id;
    this.partSizeBytes = state.partSizeBytes;
    this.#multipart = state.multipart === undefined ? undefined : Promise.resolve(state.multipart);
    this.#parts = state.parts;
    this.#tail = state.tail;
    this.#sealed = state.sealed;
  }

  get offsetBytes(): number {
    return this.#sealed?.sizeBytes ?? this.#partsBytes + (this.#unsaved?.length ?? this.#tailBytes);
  }

  /** Its parts were put together; nothing can be added any more. */
  get isSealed(): boolean {
    return this.#sealed !== undefined;
  }

  get nextPartNumber(): number {
    return this.#parts.length + 1;
  }

  /** What is behind the last whole part, from where it is durable. @throws {DockyardError} ERR_STORAGE_IO */
  async readTail(options: StorageOptions): Promise<Buffer> {
    if (this.#tailBytes === 0) return Buffer.alloc(0);
    const { objects, keys } = this.#deps;
    const bytes = await objects.getWhole(keys.upload(this.id), options);
    // A write whose answer was lost may have left more there than anyone was told of; what was told of is its beginning.
    if (bytes !== undefined && bytes.length >= this.#tailBytes) return bytes.subarray(0, this.#tailBytes);
    throw storageError('ERR_STORAGE_IO', `upload ${this.id} was changed by another process`);
  }

  /**
   * Stores a whole part.
   * @param tail what `readTail` answered before the first part
   * @throws {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO
   */
  async putPart(number: number, body: Buffer, tail: Buffer): Promise<StoredPart> {
    this.#multipart ??= this.#createMultipart(tail);
    let multipart: Multipart;
    try {
      multipart = await this.#multipart;
    } catch (error) {
      this.#multipart = undefined;
      throw error;
    }
    return await this.#deps.objects.multiparts.putPart(multipart, number, body);
  }

  /** Parts were stored, in order and without a gap. */
  addParts(parts: readonly StoredPart[]): void {
    this.#parts = [...this.#parts, ...parts];
  }

  /** Makes what is behind the last whole part durable. @throws {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO */
  async keepTail(bytes: Buffer): Promise<void> {
    await this.#putTail(bytes, await this.#multipart);
    this.#unsaved = undefined;
  }

  /** Holds it in memory instead, for a commit that follows at once. */
  holdTail(bytes: Buffer): void {
    this.#unsaved = bytes;
  }

  /** Makes durable what is held in memory, since no commit came of it. @throws {DockyardError}; then it is dropped */
  async settle(): Promise<void> {
    const unsaved = this.#unsaved;
    this.#unsaved = undefined;
    if (unsaved !== undefined && !this.isSealed) await this.#putTail(unsaved, await this.#multipart);
  }

  /** All bytes in one place. @throws {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO; it may be called again */
  async assemble(options: StorageOptions): Promise<AssembledUpload> {
    if (this.#sealed !== undefined) return { kind: 'object', facts: this.#sealed };
    if (this.#multipart !== undefined && this.#parts.length > 0) {
      return { kind: 'object', facts: await this.#seal(await this.#multipart, options) };
    }
    if (this.#unsaved !== undefined) return { kind: 'memory', bytes: this.#unsaved };
    await this.#settleObject(options);
    return {
      kind: 'object',
      facts: await this.#requireObject(this.#deps.keys.upload(this.id), this.#tailBytes, options),
    };
  }

  /** Removes everything. @throws {DockyardError} ERR_STORAGE_IO; then the upload can still be found */
  async remove(): Promise<void> {
    const { objects, keys } = this.#deps;
    this.#unsaved = undefined;
    const multipart = await this.#multipart;
    if (this.#sealed !== undefined) await objects.delete(keys.staging(this.id));
    else if (multipart !== undefined) await objects.multiparts.abort(multipart);
    await objects.delete(keys.upload(this.id));
  }

  get #partsBytes(): number {
    return this.#parts.length * this.partSizeBytes;
  }

  /** A body that begins before the end of the parts is in them, and counts no more. */
  get #tailBytes(): number {
    return this.#tail.startBytes === this.#partsBytes ? this.#tail.sizeBytes : 0;
  }

  async #createMultipart(tail: Buffer): Promise<Multipart> {
    const multipart = await this.#deps.objects.multiparts.create(this.#deps.keys.staging(this.id));
    // Before the first part, so that a later process finds the parts.
    await this.#putTail(tail, multipart);
    return multipart;
  }

  async #putTail(bytes: Buffer, multipart: Multipart | undefined): Promise<void> {
    const startBytes = this.#partsBytes;
    const metadata = uploadMetadata({ partSizeBytes: this.partSizeBytes, startBytes, multipartId: multipart?.id });
    await this.#deps.objects.put(this.#deps.keys.upload(this.id), bytes, { metadata });
    this.#tail = { startBytes, sizeBytes: bytes.length };
  }

  /** Puts the parts together, the tail as the last one. */
  async #seal(multipart: Multipart, options: StorageOptions): Promise<ObjectFacts> {
    const sizeBytes = this.offsetBytes;
    try {
      const last = await this.#putLastPart(multipart, options);
      const parts = last === undefined ? this.#parts : [...this.#parts, last];
      await this.#deps.objects.multiparts.complete(multipart, parts, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      // Where the answer to an earlier try was lost, the multipart upload has ended, and the object is there.
      const found = await this.#deps.objects.head(multipart.key, options).catch(() => undefined);
      if (found?.sizeBytes !== sizeBytes) throw asError(error);
    }
    this.#sealed = await this.#requireObject(multipart.key, sizeBytes, options);
    this.#unsaved = undefined;
    return this.#sealed;
  }

  async #putLastPart(multipart: Multipart, options: StorageOptions): Promise<StoredPart | undefined> {
    const { objects, keys } = this.#deps;
    if (this.#unsaved !== undefined) {
      if (this.#unsaved.length === 0) return undefined;
      return await objects.multiparts.putPart(multipart, this.nextPartNumber, this.#unsaved, options);
    }
    if (this.#tailBytes === 0) return undefined;
    await this.#settleObject(options);
    return await objects.multiparts.copyPart(
      multipart,
      this.nextPartNumber,
      keys.upload(this.id),
      this.#tailBytes,
      options,
    );
  }

  /** Makes the upload's object as long as the tail: see `readTail`. */
  async #settleObject(options: StorageOptions): Promise<void> {
    const facts = await this.#deps.objects.head(this.#deps.keys.upload(this.id), options);
    if (facts?.sizeBytes !== this.#tailBytes) await this.#putTail(await this.readTail(options), await this.#multipart);
  }

  async #requireObject(key: string, sizeBytes: number, options: StorageOptions): Promise<ObjectFacts> {
    const facts = await this.#deps.objects.head(key, options);
    if (facts?.sizeBytes === sizeBytes) return facts;
    const found = facts === undefined ? 'is not there' : `has ${facts.sizeBytes} bytes`;
    throw storageError('ERR_STORAGE_IO', `upload ${this.id}: ${key} ${found} and should have ${sizeBytes}`);
  }
}

/** What stands in the metadata of an upload's object. */
export interface UploadMetadata {
  readonly partSizeBytes: number;
  readonly startBytes: number;
  readonly multipartId: string | undefined;
}

/** In the form of the service. */
export function uploadMetadata({ partSizeBytes, startBytes, multipartId }: UploadMetadata): Record<string, string> {
  return {
    'part-size': String(partSizeBytes),
    start: String(startBytes),
    ...(multipartId === undefined ? {} : { multipart: multipartId }),
  };
}

/** Reads it; `undefined` when it is not ours. */
export function parseUploadMetadata(metadata: ObjectFacts['metadata'] = {}): UploadMetadata | undefined {
  const [partSizeBytes, startBytes] = [Number(metadata['part-size']), Number(metadata['start'])];
  if (!Number.isSafeInteger(partSizeBytes) || partSizeBytes <= 0 || !Number.isSafeInteger(startBytes)) return undefined;
  return { partSizeBytes, startBytes, multipartId: metadata['multipart'] };
}
