/**
 * Blobs by digest, from wherever they can be had: the face of this layer towards the facade. A blob that is held is read
 * from disk; a small one is fetched in one answer; for all others there is one journey, which all who ask share.
 */
import type { Logger } from 'pino';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { BlobStore, HeldBlob, PartialBlob } from '../content/blob-store.ts';
import { MAX_PIECE_SIZE_BYTES } from '../content/geometry.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { isKeepingError } from '../content/errors.ts';
import { isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import { transferError } from './errors.ts';
import { Journey } from './journey.ts';
import type { JourneyDeps } from './journey-types.ts';
import type { LendQuestion } from './lend.ts';
import type { OriginBlobs } from './origin-feed.ts';
import { PassingBlob, type PassingBlobDeps } from './passing-blob.ts';
import type { PullReport } from './pull-report.ts';
import type { SmallBlobs } from './small-blobs.ts';
import type { TransferConfig } from './transfer-config.ts';
import type { TransferMetrics } from './transfer-metrics.ts';

/** For whom a blob is opened. */
export interface TransferContext {
  readonly repository: Repository;
  readonly signal: AbortSignal;
}

/** A blob that can be delivered. Whoever opens it closes it. */
export interface TransferReading extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;
  read(range: ByteRange): AsyncIterable<Uint8Array>;
  /** Tells that a chunk of `read` was used up and its memory may serve again. Chunks that are never told do no harm. */
  recycle(chunk: Uint8Array): void;
  close(): Promise<void>;
}

export interface BlobTransferDeps {
  readonly memory: BufferPool;
  readonly store: BlobStore;
  readonly small: SmallBlobs;
  readonly origin: OriginBlobs;
  /** Sizes that manifests tell. */
  readonly sizes: { sizeHint(digest: Digest): number | undefined };
  readonly journeys: JourneyDeps;
  readonly passing: PassingBlobDeps;
  readonly metrics: TransferMetrics;
  readonly log: Logger;
}

/** Beyond so many journeys none is begun for a peer, which then reads the origin itself. */
const MAX_JOURNEYS_FOR_PEERS = 256;
/** Reports that are kept for `status`. */
const KEPT_REPORTS = 200;

export class BlobTransfer implements AsyncDisposable {
  readonly #deps: BlobTransferDeps;
  readonly #config: TransferConfig;
  readonly #journeys = new Map<Digest, Journey>();
  readonly #reports: PullReport[] = [];
  readonly #recycle = (chunk: Uint8Array): void => this.#deps.memory.release(chunk);
  #closed = false;

  constructor(deps: BlobTransferDeps, config: TransferConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * Opens a blob; resolves when its first bytes are verified, so that an answer may begin. Undefined when nobody has it.
   * @throws {DockyardError} ERR_TRANSFER_UNAVAILABLE, or what the origin answered
   */
  async open(digest: Digest, context: TransferContext): Promise<TransferReading | undefined> {
    context.signal.throwIfAborted();
    const held = await this.#deps.store.open(digest);
    if (held !== undefined) return this.#heldReading(held, context);
    const sizeBytes = this.#deps.sizes.sizeHint(digest);
    if (sizeBytes !== undefined && sizeBytes <= this.#config.inlineMaxBytes) {
      const { repository, signal } = context;
      const bytes = await this.#deps.small.fetch({ digest, repository, sizeBytes }, signal);
      return bytes === undefined ? undefined : memoryReading(digest, bytes);
    }
    const journey = await this.#join(digest, context.repository, sizeBytes);
    try {
      const proven = await journey.prove(context.signal);
      return proven === undefined ? undefined : this.#journeyReading(journey, proven, context);
    } catch (error) {
      if (!isKeepingError(error)) throw error;
      return await this.#passingReading(journey, error, context, sizeBytes);
    }
  }

  /** The size of a blob, without fetching it. Undefined when nobody has it. */
  async stat(digest: Digest, context: TransferContext): Promise<{ sizeBytes: number } | undefined> {
    const held = this.#deps.store.stat(digest);
    if (held !== undefined) return { sizeBytes: held.sizeBytes };
    const sizeBytes = this.#deps.sizes.sizeHint(digest);
    if (sizeBytes !== undefined) return { sizeBytes };
    try {
      return await this.#deps.origin.statBlob(context.repository, digest, { signal: context.signal });
    } catch (error) {
      if (!isDockyardError(error)) throw error;
      const reading = await this.open(digest, context);
      await reading?.close();
      return reading === undefined ? undefined : { sizeBytes: reading.sizeBytes };
    }
  }

  /** Begins a journey on behalf of a peer. */
  begin(digest: Digest, repository: Repository): void {
    const isFull = this.#journeys.size >= MAX_JOURNEYS_FOR_PEERS;
    if (this.#closed || isFull || this.#journeys.has(digest) || this.#deps.store.stat(digest) !== undefined) return;
    // The size that the peer names is not taken: the origin will tell, and others may be misled by it.
    this.#create(digest, repository, this.#deps.sizes.sizeHint(digest));
  }

  /**
   * Reads a part of a blob that is being fetched from the origin, for a peer that asks.
   * @throws {DockyardError} ERR_TRANSFER_UNAVAILABLE when it is not being fetched; what the origin answered
   */
  async lend({ digest, run }: LendQuestion): Promise<void> {
    const journey = this.#journeys.get(digest);
    if (journey === undefined || journey.isOver) {
      throw transferError('ERR_TRANSFER_UNAVAILABLE', `${digest} is not being fetched here`);
    }
    await journey.lend(run);
  }

  /** How far the journey of a blob is; `undefined` when there is none. */
  progress(digest: Digest): { readonly heldPieces: number; readonly pieceCount: number } | undefined {
    const progress = this.#journeys.get(digest)?.progress;
    return progress === undefined ? undefined : { heldPieces: progress.held, pieceCount: progress.count };
  }

  /** Resolves when a blob has no journey any more. */
  async settled(digest: Digest): Promise<void> {
    await this.#journeys.get(digest)?.ended;
  }

  /** Journeys under way, and those that ended lately, newest last. */
  reports(): { running: (PullReport & { heldPieces: number; pieceCount: number })[]; ended: readonly PullReport[] } {
    const running = [...this.#journeys.values()].map((journey) => ({
      ...journey.recorder.report(),
      heldPieces: journey.progress.held,
      pieceCount: journey.progress.count,
    }));
    return { running, ended: this.#reports };
  }

  /** Stops all journeys; what they have is kept. */
  async close(): Promise<void> {
    this.#closed = true;
    const running = [...this.#journeys.values()];
    for (const journey of running)
      journey.stop(transferError('ERR_TRANSFER_UNAVAILABLE', 'this node is shutting down'));
    await Promise.all(running.map(async (journey) => await journey.ended));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #join(digest: Digest, repository: Repository, sizeBytes: number | undefined): Promise<Journey> {
    let journey = this.#journeys.get(digest);
    while (journey?.isOver === true) {
      await journey.ended;
      journey = this.#journeys.get(digest);
    }
    if (this.#closed) throw transferError('ERR_TRANSFER_UNAVAILABLE', 'this node is shutting down');
    return journey ?? this.#create(digest, repository, sizeBytes);
  }

  #create(digest: Digest, repository: Repository, sizeBytes: number | undefined): Journey {
    const purpose = { digest, repository, sizeBytes };
    const journey = new Journey(this.#deps.journeys, this.#config, purpose, (ended) => this.#onEnd(ended));
    this.#journeys.set(digest, journey);
    journey.start();
    return journey;
  }

  #heldReading(held: HeldBlob, context: TransferContext): TransferReading {
    const close = async (): Promise<void> => await held.close();
    const { digest, geometry } = held;
    const read = (range: ByteRange): AsyncIterable<Buffer> => this.#readHeld(held, range, context);
    return {
      digest,
      sizeBytes: geometry.sizeBytes,
      read,
      recycle: this.#recycle,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  /** Reads from disk; where the disk does not give back what it was given, the blob is fetched again meanwhile. */
  async *#readHeld(held: HeldBlob, range: ByteRange, context: TransferContext): AsyncGenerator<Buffer> {
    let at = range.start;
    try {
      for await (const bytes of held.stream(range, context)) {
        at += bytes.length;
        yield bytes;
      }
    } catch (error) {
      if (!isDockyardError(error, 'ERR_BLOB_DAMAGED')) throw error;
      context.signal.throwIfAborted();
      const { digest, geometry } = held;
      this.#deps.log.warn({ err: error, digest, at }, 'a damaged blob is fetched again while it is read');
      const journey = await this.#join(digest, context.repository, geometry.sizeBytes);
      const release = journey.hold();
      try {
        yield* this.#readAgain(journey, range, at, { sizeBytes: geometry.sizeBytes, ...context });
      } finally {
        release();
      }
    }
  }

  /** The bytes of a range from a place in it on. The piece before is read too: so the end is held back until the whole is right. */
  async *#readAgain(
    journey: Journey,
    range: ByteRange,
    from: number,
    context: TransferContext & { sizeBytes: number },
  ): AsyncGenerator<Buffer> {
    const start = Math.max(range.start, from - MAX_PIECE_SIZE_BYTES);
    let skippedBytes = from - start;
    for await (const bytes of this.#readOrPass(journey, { start, end: range.end }, context)) {
      const fresh = bytes.subarray(skippedBytes);
      skippedBytes -= bytes.length - fresh.length;
      if (fresh.length > 0) yield fresh;
    }
  }

  /** Reads from the journey; where the disk takes no more on the way, the rest is passed on without being kept. */
  #journeyReading(journey: Journey, sizeBytes: number, context: TransferContext): TransferReading {
    const release = journey.hold();
    const close = async (): Promise<void> => await Promise.resolve(release());
    const { digest } = journey.purpose;
    const read = (range: ByteRange): AsyncIterable<Buffer> =>
      this.#readOrPass(journey, range, { sizeBytes, ...context });
    return { digest, sizeBytes, read, recycle: this.#recycle, close, [Symbol.asyncDispose]: close };
  }

  async *#readOrPass(
    journey: Journey,
    range: ByteRange,
    context: TransferContext & { sizeBytes: number },
  ): AsyncGenerator<Buffer> {
    // It outlives the journey: what a client got before the disk was full is known by it.
    let partial = this.#partialOf(journey);
    let at = range.start;
    try {
      for await (const bytes of journey.read(range, context.signal)) {
        partial ??= this.#partialOf(journey);
        at += bytes.length;
        yield bytes;
      }
    } catch (error) {
      // One who was just reading what is held sees that it was closed; why, the journey knows.
      if (![error, journey.failure].some(isKeepingError)) throw error;
      context.signal.throwIfAborted();
      await journey.ended;
      this.#deps.log.warn(
        { err: journey.failure ?? error, digest: journey.purpose.digest, at },
        'a blob is passed on without being kept: the store takes nothing',
      );
      const { digest } = journey.purpose;
      const passing = new PassingBlob(this.#deps.passing, { digest, ...context }, context.signal);
      yield* passing.read(range, { end: at, hashOf: (piece) => partial?.pieceHash(piece) });
    }
  }

  #partialOf(journey: Journey): PartialBlob | undefined {
    return journey.isOver ? undefined : this.#deps.journeys.hub.get(journey.purpose.digest)?.local?.partial;
  }

  async #passingReading(
    { purpose: { digest }, recorder }: Journey,
    failure: unknown,
    context: TransferContext,
    manifestBytes: number | undefined,
  ): Promise<TransferReading | undefined> {
    const sizeBytes = manifestBytes ?? (await this.#sizeOf(digest, context, recorder.sizeBytes));
    if (sizeBytes === undefined) return undefined;
    this.#deps.log.warn({ err: failure, digest }, 'a blob is passed on without being kept: the store takes nothing');
    const passing = new PassingBlob(this.#deps.passing, { digest, sizeBytes, ...context }, context.signal);
    const close = async (): Promise<void> => await Promise.resolve();
    return {
      digest,
      sizeBytes,
      read: (range) => passing.read(range, { end: range.start, hashOf: () => undefined }),
      recycle: this.#recycle,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  /** The origin's word; a peer's, which may be false, only when the origin cannot be asked. */
  async #sizeOf(digest: Digest, context: TransferContext, peerBytes: number | undefined): Promise<number | undefined> {
    try {
      return (await this.#deps.origin.statBlob(context.repository, digest, context))?.sizeBytes ?? peerBytes;
    } catch (error) {
      context.signal.throwIfAborted();
      if (peerBytes === undefined) throw error;
      return peerBytes;
    }
  }

  #onEnd(journey: Journey): void {
    this.#journeys.delete(journey.purpose.digest);
    const report = journey.recorder.report();
    this.#reports.push(report);
    if (this.#reports.length > KEPT_REPORTS) this.#reports.shift();
    this.#deps.metrics.onJourneyEnd(report.outcome);
    this.#deps.log.info(report, 'blob journey ended');
  }
}

function memoryReading(digest: Digest, bytes: Buffer): TransferReading {
  return {
    digest,
    sizeBytes: bytes.length,
    read: (range) => slices(bytes.subarray(range.start, range.end)),
    recycle: () => undefined,
    close: async () => await Promise.resolve(),
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
}

async function* slices(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}
