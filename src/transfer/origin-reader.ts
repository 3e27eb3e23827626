/**
 * The origin as one more source of a journey: reads the runs of pieces that nobody has, signs their hashes in small batches,
 * and tells of each piece to one peer at a time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BufferPool } from '../content/buffer-pool.ts';
import { PIECE_HASH_BYTES, type PieceGeometry } from '../content/geometry.ts';
import { asError, isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import { transferError } from './errors.ts';
import { cutPieces, runRange, type OriginBlobs, type OriginPiece, type OriginReading } from './origin-feed.ts';

/** A run of pieces that nobody has. */
export interface MissingRun {
  readonly first: number;
  readonly count: number;
}

export interface OriginReaderDeps {
  readonly memory: BufferPool;
  readonly origin: OriginBlobs;
  readonly repository: Repository;
  readonly digest: Digest;
  readonly signal: AbortSignal;
  /** How the blob is cut, where its length is known before the origin is asked: then only what lacks is asked of it. */
  readonly knownGeometry: () => Promise<PieceGeometry | undefined>;
  /** The length as the origin gives it; answers how the blob is cut. */
  readonly onSize: (sizeBytes: number) => Promise<PieceGeometry>;
  /** The next run worth reading; undefined when nothing lacks. */
  readonly nextRun: () => MissingRun | undefined;
  /** Marks a piece as being read; false when it is not needed any more, or not yet. */
  readonly claim: (piece: number) => boolean;
  /** The same for a piece that another node has set aside for this one. */
  readonly claimLent: (piece: number) => boolean;
  /** A claimed piece did not come. */
  readonly release: (piece: number) => void;
  /** Keeps a piece. */
  readonly onPiece: (piece: OriginPiece) => Promise<void>;
  /** Consecutive pieces were kept: their hashes are this node's word. */
  readonly onBatch: (first: number, hashes: Buffer) => void;
  /** Reading has come to an end, or to a halt. */
  readonly onChange: () => void;
}

/** Pieces that may be on their way to disk while the next ones are read. */
const MAX_WRITES = 8;
/**
 * Hashes are signed together: of so many bytes, or what came within the batch time; the first ones soon. Each signature costs
 * every node a check; what is not signed yet is lost when this node dies.
 */
export const BATCH_BYTES = 1024 * 1024;
export const BATCH_MS = 40;
export const FIRST_BATCH_MS = 5;
/** An origin that failed is tried again after this time, for those who are still waiting for what they lack. */
const TRY_AGAIN_MS = 3_000;
/** A reading that broke after some bytes is begun again, after this pause; one that brought nothing, or ended in silence, is not. */
const RETRY_PAUSE_MS = 300;

export class OriginReader {
  readonly #deps: OriginReaderDeps;
  #state: 'idle' | 'reading' | 'absent' | 'failed' = 'idle';
  #isLending = false;
  #hasSigned = false;
  #error: Error | undefined;
  #geometry: PieceGeometry | undefined;
  #batchFirst = 0;
  #batch: Buffer[] = [];
  #batchTimer: NodeJS.Timeout | undefined;
  #cameBytes = 0;
  #fruitless = 0;

  constructor(deps: OriginReaderDeps) {
    this.#deps = deps;
  }

  get state(): 'idle' | 'reading' | 'absent' | 'failed' {
    return this.#state;
  }

  /** It is for another node that the origin is being read. */
  get isLending(): boolean {
    return this.#isLending;
  }

  /** Why reading failed. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Begins to read what lacks; ends by itself. */
  start(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'reading';
    void this.#readAll().then(
      (found) => this.#settle(found ? 'idle' : 'absent'),
      (thrown: unknown) => this.#onFailure(asError(thrown)),
    );
  }

  /**
   * Reads one run for another node, which has set it aside for this one; resolves when it was read, as far as it was needed.
   * @throws {DockyardError} ERR_TRANSFER_UNAVAILABLE while this node reads anyway, or the origin has no such blob; what the
   * origin answered
   */
  async lend(run: MissingRun): Promise<void> {
    if (this.#state !== 'idle')
      throw transferError('ERR_TRANSFER_UNAVAILABLE', 'this node cannot read for another now');
    this.#state = 'reading';
    this.#isLending = true;
    try {
      const geometry = await this.#deps.knownGeometry();
      const reading = geometry === undefined ? undefined : await this.#openRun(geometry, run);
      if (geometry === undefined || reading === undefined) {
        throw transferError('ERR_TRANSFER_UNAVAILABLE', `the origin gives this node no ${this.#deps.digest}`);
      }
      await this.#readRun(reading, geometry, run, this.#deps.claimLent);
    } finally {
      this.#isLending = false;
      this.#settle('idle');
    }
  }

  /** Lets a failed origin be tried again. */
  retry(): void {
    if (this.#state === 'failed' || this.#state === 'absent') this.#state = 'idle';
  }

  #settle(state: 'idle' | 'absent' | 'failed'): void {
    this.#flush();
    this.#state = state;
    this.#deps.onChange();
  }

  #onFailure(error: Error): void {
    this.#error = error;
    // One that says nothing has been asked again already, for the whole of what it may be silent each time.
    const isWorthAnother = this.#cameBytes > 0 && !isDockyardError(error, 'ERR_ORIGIN_STALLED');
    this.#fruitless = isWorthAnother ? 0 : this.#fruitless + 1;
    this.#cameBytes = 0;
    this.#settle(this.#fruitless === 0 ? 'idle' : 'failed');
    if (this.#state === 'failed') this.#tryAgainLater();
  }

  #tryAgainLater(): void {
    const { signal, onChange } = this.#deps;
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      if (this.#state !== 'failed') return;
      this.#state = 'idle';
      onChange();
    }, TRY_AGAIN_MS);
    timer.unref();
    const stop = (): void => clearTimeout(timer);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
  }

  async #readAll(): Promise<boolean> {
    let opened: OriginReading | undefined;
    this.#geometry ??= await this.#deps.knownGeometry();
    if (this.#geometry === undefined) {
      opened = await this.#open(undefined);
      if (opened === undefined) return false;
      this.#geometry = await this.#sizeOf(opened);
    }
    let run = this.#deps.nextRun();
    while (run !== undefined) {
      const reading = opened !== undefined && run.first === 0 ? opened : await this.#openRun(this.#geometry, run);
      if (opened !== reading) await opened?.close();
      opened = undefined;
      if (reading === undefined) return false;
      await this.#readRun(reading, this.#geometry, run, this.#deps.claim);
      run = this.#deps.nextRun();
    }
    await opened?.close();
    return true;
  }

  async #sizeOf(opened: OriginReading): Promise<PieceGeometry> {
    try {
      return await this.#deps.onSize(opened.sizeBytes);
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  async #open(range: { start: number; end: number } | undefined): Promise<OriginReading | undefined> {
    const { origin, repository, digest, signal } = this.#deps;
    if (this.#error !== undefined) await delay(RETRY_PAUSE_MS, undefined, { signal });
    return await origin.openBlob(repository, digest, { range, signal });
  }

  async #openRun(geometry: PieceGeometry, run: MissingRun): Promise<OriginReading | undefined> {
    const range = runRange(geometry, run.first, run.count);
    return await this.#open(range.start === 0 && range.end === geometry.sizeBytes ? undefined : range);
  }

  /** Reads piece by piece for as long as the next one is needed. */
  async #readRun(
    reading: OriginReading,
    geometry: PieceGeometry,
    run: MissingRun,
    claimPiece: (piece: number) => boolean,
  ): Promise<void> {
    const writes = new Set<Promise<void>>();
    let failure: unknown;
    let claimed: number | undefined;
    const claim = (piece: number): boolean => {
      claimed = piece < run.first + run.count && claimPiece(piece) ? piece : undefined;
      return claimed !== undefined;
    };
    try {
      if (!claim(run.first)) return;
      for await (const cut of cutPieces(reading.body, geometry, run.first, run.count, this.#deps.memory)) {
        this.#cameBytes += cut.bytes.length;
        claimed = undefined;
        const write = this.#deps.onPiece(cut).then(
          () => this.#addToBatch(cut),
          (thrown: unknown) => void (failure ??= thrown),
        );
        const tracked = write.finally(() => writes.delete(tracked));
        writes.add(tracked);
        if (writes.size >= MAX_WRITES) await Promise.race(writes);
        if (failure !== undefined) throw asError(failure);
        if (!claim(cut.piece + 1)) break;
      }
    } finally {
      if (claimed !== undefined) this.#deps.release(claimed);
      await Promise.allSettled(writes);
      await reading.close();
    }
    if (failure !== undefined) throw asError(failure);
  }

  #addToBatch(cut: OriginPiece): void {
    if (this.#batch.length > 0 && cut.piece !== this.#batchFirst + this.#batch.length) this.#flush();
    if (this.#batch.length === 0) this.#batchFirst = cut.piece;
    this.#batch.push(cut.hash);
    if (this.#batch.length * cut.bytes.length >= BATCH_BYTES) this.#flush();
    else this.#batchTimer ??= setTimeout(() => this.#flush(), this.#hasSigned ? BATCH_MS : FIRST_BATCH_MS);
  }

  #flush(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    if (this.#batch.length === 0) return;
    this.#hasSigned = true;
    const hashes = Buffer.concat(this.#batch, this.#batch.length * PIECE_HASH_BYTES);
    this.#batch = [];
    this.#deps.onBatch(this.#batchFirst, hashes);
  }
}
