/**
 * One upload to a bucket. A commit verifies the whole and then has the service copy it to its place: the service has to be
 * told the key of a multipart upload before anyone knows the digest. What this process has hashed as it came is not read again.
 */
import type { Logger } from 'pino';
import { digestAlgorithm, DigestHasher, digestOf, type Digest } from '../oci/digest.ts';
import { asError } from '../oci/error.ts';
import type { ConnectionSlots } from '../origin/connection-slots.ts';
import type { AppendOptions, StorageOptions, StoredBlob, Upload, UploadId } from './blob-storage.ts';
import { storageError } from './errors.ts';
import { PieceHasher } from '../content/piece-hasher.ts';
import type { S3Keys } from './s3-keys.ts';
import type { StoredPart } from './s3-multiparts.ts';
import type { ObjectFacts, S3Objects } from './s3-objects.ts';
import type { S3PieceNotes } from './s3-piece-notes.ts';
import { S3PartWriter, type WrittenParts } from './s3-part-writer.ts';
import { S3Reading } from './s3-reading.ts';
import { S3UploadBody, type AssembledUpload, type S3UploadState } from './s3-upload-body.ts';

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MAX_PARTS = 10_000;

export interface S3UploadDeps {
  readonly objects: S3Objects;
  readonly keys: S3Keys;
  readonly pieceNotes: S3PieceNotes;
  /** One for each part in memory, of all uploads together. */
  readonly slots: ConnectionSlots;
  readonly log: Logger;
  readonly stallTimeoutMs: number;
  readonly maxAttempts: number;
  /** Told once, when the upload was committed or cancelled. */
  readonly onEnd: (id: UploadId) => void;
}

/** Made by `S3BlobStorage`. */
export class S3Upload implements Upload {
  readonly id: UploadId;
  readonly #deps: S3UploadDeps;
  readonly #body: S3UploadBody;
  /** Of all bytes up to `#hashedBytes`, while this process has seen them all. */
  #hasher: DigestHasher | undefined;
  /** Likewise, of the pieces in which the swarm will have it. */
  #pieces: PieceHasher | undefined;
  #hashedBytes = 0;
  /** The call that is under way. */
  #work: Promise<unknown> | undefined;
  #ended = false;

  constructor(deps: S3UploadDeps, state: S3UploadState) {
    this.id = state.id;
    this.#deps = deps;
    this.#body = new S3UploadBody(deps, state);
    if (this.#body.offsetBytes > 0) return;
    this.#hasher = new DigestHasher('sha256');
    this.#pieces = new PieceHasher();
  }

  get offsetBytes(): number {
    return this.#body.offsetBytes;
  }

  /** Somebody is writing to it or commits it. */
  get isBusy(): boolean {
    return this.#work !== undefined;
  }

  async append(source: AsyncIterable<Uint8Array>, options: AppendOptions = {}): Promise<number> {
    return await this.#alone(async () => {
      options.signal?.throwIfAborted();
      await this.#body.settle();
      let tail: Buffer | undefined;
      const writer = new S3PartWriter(
        {
          slots: this.#deps.slots,
          // Without the signal of the client: what has come is to be kept when the client goes.
          putPart: async (number, body) => await this.#putPart(number, body, tail ?? Buffer.alloc(0)),
        },
        { firstNumber: this.#body.nextPartNumber, partSizeBytes: this.#body.partSizeBytes },
        options,
      );
      let sourceFailure: Error | undefined;
      try {
        for await (const chunk of source) {
          options.signal?.throwIfAborted();
          if (chunk.length === 0) continue;
          tail ??= await this.#beginWith(writer, options);
          this.#hash(chunk);
          await writer.write(chunk);
        }
      } catch (error) {
        sourceFailure = asError(error);
      }
      try {
        const written = await writer.finish();
        const failure = sourceFailure ?? written.failure;
        if (tail !== undefined)
          await this.#keep(written, { mayWait: options.isLast === true && failure === undefined });
        if (failure !== undefined) throw failure;
      } catch (error) {
        throw sourceFailure ?? error;
      } finally {
        writer.release();
        this.#forgetFalseHashes();
      }
      return this.offsetBytes;
    });
  }

  async commit(digest: Digest, options: StorageOptions = {}): Promise<StoredBlob> {
    return await this.#alone(async () => {
      options.signal?.throwIfAborted();
      let facts: ObjectFacts;
      try {
        facts = await this.#publish(digest, options);
      } catch (error) {
        if (!this.#ended) await this.#settle();
        throw error;
      }
      const { sizeBytes } = facts;
      const pieces = this.#pieces?.finish();
      const noted = pieces === undefined ? undefined : this.#deps.pieceNotes.put(digest, sizeBytes, pieces);
      await Promise.all([noted, this.#clear()]);
      return { digest, sizeBytes, storedAtMs: facts.changedAtMs };
    });
  }

  async cancel(): Promise<void> {
    if (this.#ended) return;
    await this.#alone(async () => {
      await this.#body.remove();
      this.#end();
    });
  }

  /** Waits for the call that is under way, and keeps the bytes for a later process. */
  async leave(): Promise<void> {
    await this.#work?.catch(() => undefined);
    if (!this.#ended) await this.#settle();
  }

  async #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#ended) throw storageError('ERR_UPLOAD_ENDED', `upload ${this.id} has ended`);
    if (this.#work !== undefined) throw storageError('ERR_UPLOAD_BUSY', `upload ${this.id} is being written to`);
    const working = work();
    this.#work = working;
    try {
      return await working;
    } finally {
      this.#work = undefined;
    }
  }

  /** Gives the writer what is behind the last whole part: the next part begins with it. */
  async #beginWith(writer: S3PartWriter, options: StorageOptions): Promise<Buffer> {
    if (this.#body.isSealed)
      throw storageError('ERR_UPLOAD_ENDED', `upload ${this.id} was put together and waits for its commit`);
    const tail = await this.#body.readTail(options);
    await writer.write(tail);
    return tail;
  }

  async #putPart(number: number, body: Buffer, tail: Buffer): Promise<StoredPart> {
    if (number <= MAX_PARTS) return await this.#body.putPart(number, body, tail);
    throw storageError(
      'ERR_STORAGE_FULL',
      `a blob has at most ${MAX_PARTS} parts of ${this.#body.partSizeBytes} bytes; larger parts allow larger blobs`,
    );
  }

  async #keep({ parts, rest }: WrittenParts, { mayWait }: { mayWait: boolean }): Promise<void> {
    this.#body.addParts(parts);
    // After a gap, what is durable already is all that there is.
    if (rest === undefined) return;
    if (mayWait) this.#body.holdTail(rest);
    else await this.#body.keepTail(rest);
  }

  #hash(chunk: Uint8Array): void {
    this.#hasher?.update(chunk);
    this.#pieces?.update(chunk);
    this.#hashedBytes += chunk.length;
  }

  /** Verifies, and puts the bytes in their place unless they are there. Answers the facts of the blob. */
  async #publish(digest: Digest, options: StorageOptions): Promise<ObjectFacts> {
    const { objects, keys } = this.#deps;
    const key = keys.blob(digest);
    const isHashed = this.#hasher !== undefined && digestAlgorithm(digest) === 'sha256';
    if (this.#hasher !== undefined && isHashed) await this.#compare(digest, this.#hasher.digest());
    const existing = await objects.head(key, options);
    const isThere = existing?.sizeBytes === this.offsetBytes;
    if (existing !== undefined && isThere && isHashed) return existing;
    const whole = await this.#body.assemble(options);
    if (!isHashed) await this.#compare(digest, await this.#digestOf(whole, digest, options));
    if (existing !== undefined && isThere) return existing;
    if (whole.kind === 'memory') await objects.put(key, whole.bytes, options);
    else await objects.copy(whole.facts, key, options);
    const facts = await objects.head(key, options);
    if (facts?.sizeBytes === this.offsetBytes) return facts;
    throw storageError('ERR_STORAGE_IO', `${key} is not as it was stored`);
  }

  async #compare(digest: Digest, found: string): Promise<void> {
    if (found === digest) return;
    const sizeBytes = this.offsetBytes;
    await this.#clear();
    throw storageError('ERR_DIGEST_MISMATCH', `what was uploaded as ${digest} is ${found}`, {
      details: { uploadId: this.id, sizeBytes },
    });
  }

  async #digestOf(whole: AssembledUpload, digest: Digest, options: StorageOptions): Promise<string> {
    const algorithm = digestAlgorithm(digest);
    if (whole.kind === 'memory') return digestOf(whole.bytes, algorithm);
    const hasher = new DigestHasher(algorithm);
    const pieces = new PieceHasher();
    await using reading = new S3Reading(this.#deps, digest, whole.facts);
    for await (const chunk of reading.read({ start: 0, end: whole.facts.sizeBytes }, options)) {
      hasher.update(chunk);
      pieces.update(chunk);
    }
    // Also where they are known already: then these are the same.
    this.#pieces = pieces;
    return hasher.digest();
  }

  /** What is in memory alone is made durable, or is no longer counted. */
  async #settle(): Promise<void> {
    try {
      await this.#body.settle();
    } catch (error) {
      this.#deps.log.warn({ err: error, uploadId: this.id }, 'end of an upload not kept');
    }
    this.#forgetFalseHashes();
  }

  #forgetFalseHashes(): void {
    if (this.#hashedBytes === this.offsetBytes) return;
    this.#hasher = undefined;
    this.#pieces = undefined;
  }

  /** Removes what is no longer needed. What cannot be removed now is found by whoever clears old uploads. */
  async #clear(): Promise<void> {
    this.#end();
    try {
      await this.#body.remove();
    } catch (error) {
      this.#deps.log.warn({ err: error, uploadId: this.id }, 'remains of an upload not removed');
    }
  }

  #end(): void {
    this.#ended = true;
    this.#hasher = undefined;
    this.#pieces = undefined;
    this.#deps.onEnd(this.id);
  }
}
