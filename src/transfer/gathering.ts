/** The part of a journey that begins when the length of the blob is known: its pieces, who has them, who is asked. */
import type { PartialBlob } from '../content/blob-store.ts';
import { piecesCovering, type PieceGeometry } from '../content/geometry.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { transferError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { HolderPool, type HolderPoolDeps } from './holder-pool.ts';
import { ORIGIN_KEY, type JourneyDeps } from './journey-types.ts';
import { LocalPieces } from './local-pieces.ts';
import { OriginClaims } from './origin-claims.ts';
import type { MissingRun } from './origin-reader.ts';
import { PieceIntake } from './piece-intake.ts';
import { PieceScheduler } from './piece-scheduler.ts';
import { PieceShares } from './piece-shares.ts';
import { makeStatement } from './statement.ts';

/** A range that is only a part of the blob is read on by so many pieces. */
export const READ_AHEAD_PIECES = 16;

/** What the journey does with the pieces of peers, and how many it wants at once. */
export type GatheringEvents = Pick<HolderPoolDeps, 'onPiece' | 'onLie' | 'onStall' | 'maxAsked'>;

export class Gathering {
  readonly intake: PieceIntake;
  readonly scheduler: PieceScheduler;
  readonly pool: HolderPool;
  /** What is read from the origin. */
  readonly claims: OriginClaims;
  readonly local: LocalPieces;
  readonly partial: PartialBlob;
  #wantsWhole = false;
  #resetCount = 0;

  private constructor(
    partial: PartialBlob,
    local: LocalPieces,
    intake: PieceIntake,
    scheduler: PieceScheduler,
    pool: HolderPool,
  ) {
    this.partial = partial;
    this.local = local;
    this.intake = intake;
    this.scheduler = scheduler;
    this.pool = pool;
    this.claims = new OriginClaims(scheduler);
  }

  /** Opens what is held of the blob. @throws {DockyardError} ERR_STORE_FULL, ERR_PARTIAL_BUSY */
  static async open(
    deps: JourneyDeps,
    exchange: Exchange,
    sizeBytes: number,
    events: GatheringEvents,
    config: { stallTimeoutMs: number },
  ): Promise<Gathering> {
    const { store, memory, recent, random, downloadRate, clock, peers } = deps;
    const { digest } = exchange;
    const partial = await store.openPartial(digest, sizeBytes);
    const local = new LocalPieces(partial, recent);
    const intake = new PieceIntake({ memory, partial, local, openHeld: async () => await store.open(digest) });
    const { geometry } = partial;
    const shares = new PieceShares(peers.self.peerId);
    const scheduler = new PieceScheduler(geometry.pieceCount, random, (piece) => shares.isOwn(piece));
    scheduler.addHolder(ORIGIN_KEY);
    const nowMs = (): number => clock.nowMs();
    const hashPiece = partial.hashPiece.bind(partial);
    const unkeptCount = (): number => intake.unkeptCount;
    const isFar = peers.isFar.bind(peers);
    const poolDeps = {
      isFar,
      shares,
      exchange,
      scheduler,
      geometry,
      downloadRate,
      hashPiece,
      unkeptCount,
      nowMs,
      ...events,
    };
    const pool = new HolderPool(poolDeps, config);
    const gathering = new Gathering(partial, local, intake, scheduler, pool);
    gathering.#vouchForHeld(deps, exchange);
    return gathering;
  }

  get geometry(): PieceGeometry {
    return this.intake.geometry;
  }

  /** Bytes of the pieces that are held. */
  get heldBytes(): number {
    return Math.min(this.partial.held.count * this.geometry.pieceSizeBytes, this.geometry.sizeBytes);
  }

  /** Pieces are missing that no holder has and that nobody was asked for. */
  get lacksPieces(): boolean {
    return this.scheduler.firstUnavailableRun(0, 1) !== undefined;
  }

  /**
   * Verified bytes of a range, in order, as they come; the consumer owns them. The end of the blob is held back until the
   * whole was found right, except for a range within the last of several pieces, as lazy readers ask for it.
   * @throws {DockyardError} ERR_TRANSFER_BROKEN when what was given turned out to be false; what the journey failed with
   */
  async *read(range: ByteRange, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
    const reader = Symbol('reader');
    const { first, end } = piecesCovering(this.geometry, range);
    const holdsBack = range.end === this.geometry.sizeBytes && (first === 0 || end - first > 1);
    let resetCount = this.#resetCount;
    try {
      for (let piece = first; piece < end; piece += 1) {
        this.scheduler.setReader(reader, piece, end);
        let bytes = await this.intake.wait(piece, signal);
        if (holdsBack && piece === end - 1) await this.intake.waitFinished(signal);
        while (this.#resetCount !== resetCount) {
          if (piece > first) {
            throw transferError(
              'ERR_TRANSFER_BROKEN',
              `what was given of ${this.partial.digest} turned out to be false`,
            );
          }
          // Nothing was given yet: what came before all was forgotten may be false, and is waited for again.
          resetCount = this.#resetCount;
          bytes = await this.intake.wait(piece, signal);
        }
        const at = piece * this.geometry.pieceSizeBytes;
        yield bytes.subarray(Math.max(0, range.start - at), Math.min(bytes.length, range.end - at));
      }
    } finally {
      this.scheduler.removeReader(reader);
    }
  }

  /** Forgets all pieces, because some hash was false. Readers that were given some of them end. */
  async reset(): Promise<void> {
    this.#resetCount += 1;
    await this.intake.reset();
  }

  /** The first pieces, as many as are read ahead, are to be fetched. */
  desireBeginning(): void {
    this.#desire(0, READ_AHEAD_PIECES);
  }

  /** A range is to be fetched: with what follows it, or, when it is most of the blob, with all the rest. */
  desireRange(range: ByteRange): void {
    const { pieceCount, sizeBytes } = this.geometry;
    const { first, end } = piecesCovering(this.geometry, range);
    const isMost = range.end === sizeBytes ? end - first > 1 : (end - first) * 2 > pieceCount;
    if (isMost || pieceCount <= READ_AHEAD_PIECES) this.desireWhole();
    else this.#desire(first, end + READ_AHEAD_PIECES);
  }

  desireWhole(): void {
    this.#wantsWhole = true;
    this.#desire(0, this.geometry.pieceCount);
  }

  /**
   * What is worth reading from the origin next. While only a part is wanted the run goes on to the end: more will be wanted,
   * and each piece is claimed before it is read.
   */
  nextOriginRun(): MissingRun | undefined {
    const run = this.claims.nextRun();
    if (run === undefined || this.#wantsWhole) return run;
    return { first: run.first, count: this.geometry.pieceCount - run.first };
  }

  #desire(first: number, end: number): void {
    const last = Math.min(end, this.geometry.pieceCount);
    for (let piece = first; piece < last; piece += 1) if (!this.intake.has(piece)) this.scheduler.desire(piece);
    this.pool.fill();
  }

  /** Pieces kept by an earlier journey: whoever said their hashes then, this node answers for them now. */
  #vouchForHeld(deps: JourneyDeps, exchange: Exchange): void {
    const blob = { digest: exchange.digest, sizeBytes: this.geometry.sizeBytes };
    let run: Buffer[] = [];
    for (let piece = 0; piece <= this.geometry.pieceCount; piece += 1) {
      const hash = this.partial.held.has(piece) ? this.partial.pieceHash(piece) : undefined;
      if (hash !== undefined) run.push(hash);
      else if (run.length > 0) {
        exchange.map?.add(makeStatement(deps.identity, blob, piece - run.length, Buffer.concat(run)));
        run = [];
      }
    }
  }
}
