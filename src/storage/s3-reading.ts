/** A blob in a bucket, open for reading. What breaks off or stalls is asked for again from where it ended. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ByteRange } from '../oci/byte-range.ts';
import { PieceHasher } from '../content/piece-hasher.ts';
import { digestAlgorithm, DigestHasher, type Digest } from '../oci/digest.ts';
import type { StorageOptions, StoredReading } from './blob-storage.ts';
import { storageError } from './errors.ts';
import { isAbsentObject, isChangedObject, translated } from './s3-failure.ts';
import type { ObjectFacts, S3Objects } from './s3-objects.ts';
import type { S3PieceNotes } from './s3-piece-notes.ts';

const RETRY_BASE_MS = 100;

export interface S3ReadingDeps {
  readonly objects: S3Objects;
  readonly pieceNotes: S3PieceNotes;
  /** How long the service may give no byte. */
  readonly stallTimeoutMs: number;
  /** Answers that may break off or stall in a row, without a byte between them. */
  readonly maxAttempts: number;
}

export class S3Reading implements StoredReading {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly #deps: S3ReadingDeps;
  readonly #facts: ObjectFacts;
  readonly #ending = new AbortController();

  constructor(deps: S3ReadingDeps, digest: Digest, facts: ObjectFacts) {
    this.#deps = deps;
    this.digest = digest;
    this.sizeBytes = facts.sizeBytes;
    this.#facts = facts;
  }

  async *read(range: ByteRange, options: StorageOptions = {}): AsyncGenerator<Uint8Array> {
    if (range.start < 0 || range.end > this.sizeBytes || range.start > range.end)
      throw new RangeError(`bytes ${range.start} to ${range.end} of a blob with ${this.sizeBytes}`);
    const signal = AbortSignal.any([this.#ending.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    let { start } = range;
    for (let failures = 0; start < range.end;) {
      try {
        for await (const chunk of this.#attempt({ start, end: range.end }, signal)) {
          start += chunk.length;
          failures = 0;
          yield chunk;
        }
        if (start < range.end) throw new Error('the service ended its answer short');
      } catch (error) {
        this.#throwIfEnded(options);
        failures += 1;
        if (failures >= this.#deps.maxAttempts || isFinal(error)) throw this.#failure(error);
        await delay(RETRY_BASE_MS * 2 ** (failures - 1), undefined, { signal }).catch(() =>
          this.#throwIfEnded(options),
        );
      }
    }
  }

  async pieceHashes(options: StorageOptions = {}): Promise<Buffer> {
    const { pieceNotes } = this.#deps;
    const known = await pieceNotes.get(this.digest, this.sizeBytes, options);
    if (known !== undefined) return known;
    const [whole, pieces] = [new DigestHasher(digestAlgorithm(this.digest)), new PieceHasher()];
    for await (const chunk of this.read({ start: 0, end: this.sizeBytes }, options)) {
      whole.update(chunk);
      pieces.update(chunk);
    }
    const found = whole.digest();
    if (found !== this.digest) throw storageError('ERR_STORAGE_DAMAGED', `${this.digest} is ${found} in storage`);
    const hashes = pieces.finish();
    await pieceNotes.put(this.digest, this.sizeBytes, hashes);
    return hashes;
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** One answer of the service; the clock runs while it is awaited, not while the consumer has a chunk. */
  async *#attempt(range: ByteRange, callerSignal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { objects, stallTimeoutMs } = this.#deps;
    const stalled = new AbortController();
    const signal = AbortSignal.any([callerSignal, stalled.signal]);
    const body = await objects.get(this.#facts.key, range, { signal, etag: this.#facts.etag });
    const onAbort = (): void => void body.destroy(new Error('the service gave no byte for too long'));
    signal.addEventListener('abort', onAbort, { once: true });
    let isWaiting = true;
    const timer = setTimeout(() => {
      if (isWaiting) stalled.abort();
    }, stallTimeoutMs);
    try {
      const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      for (;;) {
        isWaiting = true;
        timer.refresh();
        const next = await chunks.next();
        isWaiting = false;
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      body.destroy();
    }
  }

  #throwIfEnded(options: StorageOptions): void {
    options.signal?.throwIfAborted();
    if (this.#ending.signal.aborted)
      throw storageError('ERR_STORAGE_CLOSED', `the reading of ${this.digest} was closed`);
  }

  #failure(error: unknown): Error {
    if (isAbsentObject(error)) return storageError('ERR_STORAGE_IO', `${this.digest} was deleted`, { cause: error });
    if (isChangedObject(error)) {
      return storageError('ERR_STORAGE_DAMAGED', `${this.digest} is not the object that was opened`, { cause: error });
    }
    return translated(this.digest, error);
  }
}

/** True for what no repetition cures: the SDK has repeated what it cures itself. */
function isFinal(error: unknown): boolean {
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  return error instanceof TypeError || (status !== undefined && status >= 400 && status < 500 && status !== 429);
}
