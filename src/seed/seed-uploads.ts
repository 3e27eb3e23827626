/** Uploads into a seed's repositories. An upload belongs to the repository that it was begun in; to others it does not exist. */
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { RepositoryName } from '../oci/name.ts';
import { isUploadId, type BlobStorage, type StoredBlob, type Upload } from '../storage/blob-storage.ts';
import { seedError } from './errors.ts';
import type { PushGate } from './push-gate.ts';
import type { SeedContext } from './seed-blobs.ts';
import type { SeedPolicy } from './seed-policy.ts';

export interface SeedUploadsDeps {
  readonly catalog: Pick<Catalog, 'blobs' | 'sessions'>;
  readonly storage: Pick<BlobStorage, 'blobs' | 'uploads'>;
  readonly policy: SeedPolicy;
  readonly gate: Pick<PushGate, 'addLink' | 'useBlob'>;
  readonly clock: { nowMs(): number };
  /** Told of each blob that this node holds from now on. */
  readonly onStored: (blob: StoredBlob) => void;
}

/** Where an upload stands. */
export interface UploadStatus {
  readonly id: string;
  readonly offsetBytes: number;
}

/** Bytes that a client sends. */
export interface UploadChunk {
  readonly body: AsyncIterable<Uint8Array>;
  /** Where the client says that they begin; absent where it says nothing. */
  readonly start?: number | undefined;
  /** Told of each chunk of the body that will not be read again. Not told of every one. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
}

export class SeedUploads {
  readonly #deps: SeedUploadsDeps;

  constructor(deps: SeedUploadsDeps) {
    this.#deps = deps;
  }

  /** Begins an upload. @throws {DockyardError} ERR_NAME_NOT_ALLOWED, ERR_STORAGE_FULL, ERR_STORAGE_IO */
  async begin({ repository, signal }: SeedContext): Promise<UploadStatus> {
    const { catalog, clock, policy, storage } = this.#deps;
    policy.requirePush(repository.name);
    const { id } = await storage.uploads.create({ signal });
    await catalog.sessions.put(id, { repository: repository.name, startedAtMs: clock.nowMs() });
    return { id, offsetBytes: 0 };
  }

  /** Where an upload stands. @throws {DockyardError} ERR_UPLOAD_UNKNOWN */
  async status(id: string, context: SeedContext): Promise<UploadStatus> {
    return statusOf(await this.#open(id, context));
  }

  /**
   * Adds a chunk; what had come is kept when it ends early.
   * @throws {DockyardError} ERR_UPLOAD_UNKNOWN, ERR_UPLOAD_OFFSET, ERR_UPLOAD_BUSY, and those of storage
   */
  async append(id: string, chunk: UploadChunk, context: SeedContext): Promise<UploadStatus> {
    const upload = await this.#open(id, context);
    requireOffset(upload, chunk);
    await upload.append(chunk.body, { signal: context.signal, recycle: chunk.recycle });
    return statusOf(upload);
  }

  /**
   * Adds the last chunk, if there is one, and makes the upload a blob of the repository.
   * @throws {DockyardError} as `append`, and ERR_DIGEST_MISMATCH, which ends the upload
   */
  async finish(id: string, digest: Digest, chunk: UploadChunk | undefined, context: SeedContext): Promise<StoredBlob> {
    const { repository, signal } = context;
    this.#deps.policy.requirePush(repository.name);
    const upload = await this.#open(id, context);
    if (chunk !== undefined) {
      requireOffset(upload, chunk);
      await upload.append(chunk.body, { signal, isLast: true, recycle: chunk.recycle });
    }
    try {
      const stored = await this.#deps.gate.useBlob(digest, async () => {
        const committed = await upload.commit(digest);
        await this.#link(repository.name, committed);
        return committed;
      });
      await this.#deps.catalog.sessions.delete(id);
      return stored;
    } catch (error) {
      if (isDockyardError(error, 'ERR_DIGEST_MISMATCH')) await this.#deps.catalog.sessions.delete(id);
      throw error;
    }
  }

  /** Takes a blob in one go; nothing of it stays when that fails. @throws {DockyardError} as `begin` and `finish` */
  async put(digest: Digest, chunk: UploadChunk, context: SeedContext): Promise<StoredBlob> {
    const { id } = await this.begin(context);
    try {
      return await this.finish(id, digest, chunk, context);
    } catch (error) {
      await this.#drop(id);
      throw error;
    }
  }

  /** Ends an upload without a blob. @throws {DockyardError} ERR_UPLOAD_UNKNOWN, ERR_UPLOAD_BUSY */
  async cancel(id: string, context: SeedContext): Promise<void> {
    const upload = await this.#open(id, context);
    await upload.cancel();
    await this.#deps.catalog.sessions.delete(id);
  }

  /**
   * Lets a blob of another repository be seen in this one. Undefined when it is not seen there, or no repository is named:
   * whoever names none would learn what others hold.
   * @throws {DockyardError} ERR_NAME_NOT_ALLOWED
   */
  async mount(digest: Digest, from: RepositoryName | undefined, context: SeedContext): Promise<StoredBlob | undefined> {
    const { catalog, gate, policy, storage } = this.#deps;
    policy.requirePush(context.repository.name);
    if (from === undefined) return undefined;
    return await gate.useBlob(digest, async () => {
      if ((await catalog.blobs.get(from, digest)) === undefined) return undefined;
      const stored = await storage.blobs.stat(digest, context);
      if (stored !== undefined) await this.#link(context.repository.name, stored);
      return stored;
    });
  }

  async #link(repository: RepositoryName, stored: StoredBlob): Promise<void> {
    const { digest, sizeBytes } = stored;
    const { catalog, clock, gate, onStored } = this.#deps;
    await gate.addLink(
      repository,
      async () => await catalog.blobs.put(repository, { digest, sizeBytes, linkedAtMs: clock.nowMs() }),
    );
    onStored(stored);
  }

  async #open(id: string, { repository, signal }: SeedContext): Promise<Upload> {
    const session = isUploadId(id) ? await this.#deps.catalog.sessions.get(id) : undefined;
    if (session?.repository === repository.name) {
      const upload = await this.#deps.storage.uploads.open(id, { signal });
      if (upload !== undefined) return upload;
    }
    throw seedError('ERR_UPLOAD_UNKNOWN', `there is no such upload in ${repository.name}`);
  }

  async #drop(id: string): Promise<void> {
    const upload = await this.#deps.storage.uploads.open(id);
    await upload?.cancel();
    await this.#deps.catalog.sessions.delete(id);
  }
}

function statusOf({ id, offsetBytes }: Upload): UploadStatus {
  return { id, offsetBytes };
}

function requireOffset(upload: Upload, { start }: UploadChunk): void {
  if (start === undefined || start === upload.offsetBytes) return;
  throw seedError('ERR_UPLOAD_OFFSET', `the chunk begins at ${start}, the upload stands at ${upload.offsetBytes}`);
}
