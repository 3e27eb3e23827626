/**
 * Blobs by digest, from wherever they can be had: the face of this layer towards the facade. A blob that is held is read
 * from disk; a small one is fetched in one answer; for all others there is one journey, which all who ask share.
 */
import type { Logger } from 'pino';
import type { BlobStore, HeldBlob } from '../content/blob-store.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import { transferError } from './errors.ts';
import { Journey, type JourneyDeps } from './journey.ts';
import type { OriginBlobs } from './origin-feed.ts';
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
  close(): Promise<void>;
}

export interface BlobTransferDeps {
  readonly store: BlobStore;
  readonly small: SmallBlobs;
  readonly origin: OriginBlobs;
  /** Sizes that manifests tell. */
  readonly sizes: { sizeHint(digest: Digest): number | undefined };
  readonly journeys: Omit<JourneyDeps, 'onEnd'>;
  readonly metrics: TransferMetrics;
  readonly log: Logger;
}

/** Reports that are kept for `status`. */
const KEPT_REPORTS = 200;

export class BlobTransfer implements AsyncDisposable {
  readonly #deps: BlobTransferDeps;
  readonly #config: TransferConfig;
  readonly #journeys = new Map<Digest, Journey>();
  readonly #reports: PullReport[] = [];
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
    if (held !== undefined) return heldReading(held, context.signal);
    const sizeBytes = this.#deps.sizes.sizeHint(digest);
    if (sizeBytes !== undefined && sizeBytes <= this.#config.inlineMaxBytes) {
      const { repository, signal } = context;
      const bytes = await this.#deps.small.fetch({ digest, repository, sizeBytes }, signal);
      return bytes === undefined ? undefined : memoryReading(digest, bytes);
    }
    const journey = await this.#join(digest, context.repository, sizeBytes);
    const proven = await journey.prove(context.signal);
    return proven === undefined ? undefined : journeyReading(journey, proven, context.signal);
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
  begin(digest: Digest, repository: Repository, sizeBytes: number | undefined): void {
    const running = this.#journeys.get(digest);
    if (this.#closed || (running !== undefined && !running.isOver) || this.#deps.store.stat(digest) !== undefined) return;
    if (running === undefined) this.#create(digest, repository, sizeBytes ?? this.#deps.sizes.sizeHint(digest));
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
    for (const journey of running) journey.stop(transferError('ERR_TRANSFER_UNAVAILABLE', 'this node is shutting down'));
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
    const deps = { ...this.#deps.journeys, onEnd: (ended: Journey) => this.#onEnd(ended) };
    const journey = new Journey(deps, this.#config, { digest, repository, sizeBytes });
    this.#journeys.set(digest, journey);
    journey.start();
    return journey;
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

function heldReading(held: HeldBlob, signal: AbortSignal): TransferReading {
  return {
    digest: held.digest,
    sizeBytes: held.geometry.sizeBytes,
    read: (range) => held.stream(range, { signal }),
    close: async () => await held.close(),
    [Symbol.asyncDispose]: async () => await held.close(),
  };
}

function memoryReading(digest: Digest, bytes: Buffer): TransferReading {
  return {
    digest,
    sizeBytes: bytes.length,
    read: (range) => slices(bytes.subarray(range.start, range.end)),
    close: async () => await Promise.resolve(),
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
}

async function* slices(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}

function journeyReading(journey: Journey, sizeBytes: number, signal: AbortSignal): TransferReading {
  const release = journey.hold();
  const close = async (): Promise<void> => await Promise.resolve(release());
  return {
    digest: journey.purpose.digest,
    sizeBytes,
    read: (range) => journey.read(range, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}
