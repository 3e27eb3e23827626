/**
 * One upload on disk: a file that grows. A small one is hashed as it comes; the hash of a larger one follows on the hash
 * thread, so that a commit seldom has much left to read. After a restart it begins again at the front.
 */
import type { Adoption } from '../content/complete-blobs.ts';
import type { DiskFile } from '../content/disk.ts';
import { isAbsentError } from '../content/errors.ts';
import type { RunAhead } from '../content/hash-thread.ts';
import type { RecordShelf } from '../content/record-shelf.ts';
import { digestAlgorithm, DigestHasher, type Digest } from '../oci/digest.ts';
import { asError } from '../oci/error.ts';
import { AppendingWriter } from './appending-writer.ts';
import type { AppendOptions, StoredBlob, StorageOptions, Upload, UploadId } from './blob-storage.ts';
import { storageError } from './errors.ts';
import { storageFailure } from './storage-failure.ts';

export interface FsUploadDeps {
  readonly record: RecordShelf;
  /** Told once, when the upload was committed or cancelled. */
  readonly onEnd: (id: UploadId) => void;
}

export interface FsUploadState {
  readonly id: UploadId;
  readonly path: string;
  /** The length of its file. */
  readonly sizeBytes: number;
}

/** Up to here the hash is computed as bytes come: telling the hash thread would take longer. */
const HASH_AT_ONCE_BYTES = 1024 * 1024;

/** Made by `FsBlobStorage`. Its file is as long as the upload, but for what a failed write left behind the end. */
export class FsUpload implements Upload {
  readonly id: UploadId;
  readonly #deps: FsUploadDeps;
  readonly #path: string;
  #durableBytes: number;
  #writtenBytes: number;
  /** True until the name of the file is durable. */
  #isNew = true;
  /** The file may be longer than what was written to it: a write failed, or was taken back. */
  #hasTail = false;
  /** Left open by a last append for the commit that follows. */
  #file: DiskFile | undefined;
  #early: DigestHasher | undefined;
  #late: RunAhead | undefined;
  /** The call that is under way. */
  #work: Promise<unknown> | undefined;
  #ended = false;

  constructor(deps: FsUploadDeps, state: FsUploadState) {
    this.#deps = deps;
    this.id = state.id;
    this.#path = state.path;
    this.#durableBytes = state.sizeBytes;
    this.#writtenBytes = state.sizeBytes;
    if (state.sizeBytes === 0) this.#early = new DigestHasher('sha256');
  }

  get offsetBytes(): number {
    return this.#durableBytes;
  }

  /** Somebody is writing to it or commits it. */
  get isBusy(): boolean {
    return this.#work !== undefined;
  }

  async append(source: AsyncIterable<Uint8Array>, options: AppendOptions = {}): Promise<number> {
    return await this.#alone(async () => {
      options.signal?.throwIfAborted();
      // Left by a last append that no commit followed up: whoever goes on was told the offset before it.
      if (this.#writtenBytes !== this.#durableBytes) this.#forgetUnsynced();
      const file = await this.#takeFile();
      try {
        await this.#take(file, source, options);
        if (options.isLast === true) this.#file = file;
      } finally {
        if (this.#file !== file) await file.close();
      }
      return this.#durableBytes;
    });
  }

  async commit(digest: Digest, options: StorageOptions = {}): Promise<StoredBlob> {
    return await this.#alone(async () => {
      options.signal?.throwIfAborted();
      const sizeBytes = this.#writtenBytes;
      const [found, synced] = await Promise.allSettled([this.#digest(digest), this.#syncRest()]);
      if (found.status === 'rejected') throw found.reason;
      if (found.value !== digest) {
        await this.#end();
        throw storageError('ERR_DIGEST_MISMATCH', `what was uploaded as ${digest} is ${found.value}`, {
          details: { uploadId: this.id, sizeBytes },
        });
      }
      if (synced.status === 'rejected') throw synced.reason;
      const { facts, isTaken } = await this.#publish(digest, sizeBytes);
      await this.#end({ isFileGone: isTaken });
      return { digest, sizeBytes: facts.sizeBytes, storedAtMs: facts.addedAtMs };
    });
  }

  async cancel(): Promise<void> {
    if (this.#ended) return;
    await this.#alone(async () => await this.#end());
  }

  /** Waits for the call that is under way, and keeps the bytes for a later process. */
  async leave(): Promise<void> {
    await this.#work?.catch(() => undefined);
    await this.#closeFile();
    this.dropHash();
  }

  /** Gives up what was hashed so far; it is read again in time. */
  dropHash(): void {
    this.#early = undefined;
    this.#late?.cancel();
    this.#late = undefined;
  }

  async #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#ended) throw storageError('ERR_UPLOAD_ENDED', `upload ${this.id} has ended`);
    if (this.#work !== undefined) throw storageError('ERR_UPLOAD_BUSY', `upload ${this.id} is being written to`);
    const working = work();
    this.#work = working;
    try {
      return await working;
    } catch (error) {
      throw this.#afterFailure(error);
    } finally {
      this.#work = undefined;
    }
  }

  /** Where the file is gone, it became the blob before something failed, or was cleared away: nothing can go on from it. */
  #afterFailure(error: unknown): unknown {
    if (this.#ended || !isAbsentError(asError(error).cause)) return error;
    this.#ended = true;
    this.dropHash();
    this.#deps.onEnd(this.id);
    return storageError('ERR_UPLOAD_ENDED', `the file of upload ${this.id} is gone`, { cause: error });
  }

  async #take(file: DiskFile, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<void> {
    const failure = await this.#write(file, source, options);
    // Whoever commits at once waits for the disk then, once instead of twice.
    if (options.isLast === true && failure === undefined) return;
    try {
      await this.#sync(file);
    } catch (error) {
      throw failure ?? error;
    }
    if (failure !== undefined) throw failure;
  }

  /** Writes what comes, and answers what ended it early: the client may go on from there. */
  async #write(
    file: DiskFile,
    source: AsyncIterable<Uint8Array>,
    { recycle, signal }: AppendOptions,
  ): Promise<Error | undefined> {
    const { record } = this.#deps;
    const writer = new AppendingWriter(
      {
        file,
        withRoom: (sizeBytes, write) => storageFailure(this.id, () => record.withRoom(sizeBytes, write)),
        onWritten: (chunks, endBytes) => {
          this.#wrote(chunks, endBytes);
          if (recycle !== undefined) for (const chunk of chunks) recycle(chunk);
        },
      },
      this.#writtenBytes,
    );
    let failure: Error | undefined;
    try {
      for await (const chunk of source) {
        signal?.throwIfAborted();
        await writer.write(chunk);
      }
    } catch (error) {
      failure = asError(error);
    }
    try {
      await writer.finish();
    } catch (error) {
      failure ??= asError(error);
    }
    // What of a failed write came to the file is not known.
    if (failure !== undefined) this.#hasTail = true;
    return failure;
  }

  #wrote(chunks: readonly Uint8Array[], endBytes: number): void {
    this.#writtenBytes = endBytes;
    if (this.#early !== undefined && endBytes <= HASH_AT_ONCE_BYTES) {
      for (const chunk of chunks) this.#early.update(chunk);
      return;
    }
    this.#early = undefined;
    this.#late ??= this.#deps.record.runAhead(this.#path, 'sha256');
    this.#late.advance(endBytes);
  }

  /** Makes all that was written durable. */
  async #sync(file: DiskFile): Promise<void> {
    await this.#syncBytes(file);
    await this.#syncName();
  }

  /** For a commit: the name in this folder need not be durable, since the blob will have another one. */
  async #syncRest(): Promise<void> {
    if (this.#writtenBytes === this.#durableBytes) {
      await this.#closeFile();
      return;
    }
    const file = await this.#takeFile();
    try {
      await this.#syncBytes(file);
    } finally {
      await file.close();
    }
  }

  async #syncBytes(file: DiskFile): Promise<void> {
    try {
      if (this.#hasTail) await storageFailure(this.id, () => file.truncate(this.#writtenBytes));
      this.#hasTail = false;
      await storageFailure(this.id, () => file.sync());
    } catch (error) {
      // What an fsync failed for may be lost, whatever a later one says; so it is as if it had never come.
      this.#forgetUnsynced();
      throw error;
    }
  }

  async #syncName(): Promise<void> {
    const { disk, uploadsFolder } = this.#deps.record;
    try {
      if (this.#isNew) await storageFailure(this.id, () => disk.syncFolder(uploadsFolder));
      this.#isNew = false;
      this.#durableBytes = this.#writtenBytes;
    } catch (error) {
      this.#forgetUnsynced();
      throw error;
    }
  }

  #forgetUnsynced(): void {
    this.dropHash();
    this.#hasTail = true;
    this.#writtenBytes = this.#durableBytes;
  }

  /** Makes the file the blob. Where that fails the upload goes on, for which its own name has to be durable. */
  async #publish(digest: Digest, sizeBytes: number): Promise<Adoption> {
    const { record } = this.#deps;
    try {
      return await storageFailure(digest, () => record.adopt(digest, sizeBytes, this.#path));
    } catch (error) {
      // The offset tells what became of it.
      await this.#syncName().catch(() => undefined);
      throw error;
    }
  }

  async #digest(expected: Digest): Promise<string> {
    const algorithm = digestAlgorithm(expected);
    if (algorithm === 'sha256' && this.#early !== undefined) return this.#early.digest();
    const late = this.#late;
    this.#late = undefined;
    if (algorithm === 'sha256' && late !== undefined) {
      return (await storageFailure(this.id, () => late.finish(this.#writtenBytes))).digest;
    }
    late?.cancel();
    return await storageFailure(this.id, () => this.#deps.record.digestOfFile(this.#path, algorithm));
  }

  /** The file, open, which the caller closes. */
  async #takeFile(): Promise<DiskFile> {
    const file = this.#file;
    this.#file = undefined;
    return file ?? (await storageFailure(this.id, () => this.#deps.record.disk.open(this.#path, 'r+')));
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #end({ isFileGone = false }: { readonly isFileGone?: boolean } = {}): Promise<void> {
    this.#ended = true;
    await this.#closeFile();
    this.dropHash();
    this.#deps.onEnd(this.id);
    if (isFileGone) return;
    try {
      await this.#deps.record.disk.unlink(this.#path);
    } catch (error) {
      // It became the blob, or was cleared away by hand.
      if (!isAbsentError(error)) throw storageError('ERR_STORAGE_IO', `upload ${this.id} stays`, { cause: error });
    }
  }
}
