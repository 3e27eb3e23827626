/**
 * The journey of one blob to this node. It finds holders, keeps them busy, reads from the origin what nobody has, has every
 * piece checked and kept, and wakes the readers. There is one for a digest; all who want the blob share it.
 *
 *   search ──► channels ──► HolderPool ──┐
 *                                        ├──► PieceIntake ──► readers, peers
 *   origin ──► cutPieces ────────────────┘
 *
 * What to do next is decided by planJourney, which piece to ask of whom by PieceScheduler; this class only carries out.
 */
import type { Logger } from 'pino';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { BlobStore, PartialBlob } from '../content/blob-store.ts';
import { piecesCovering, type PieceGeometry } from '../content/geometry.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { asError, isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { LinkIdentity } from '../swarm/link/handshake.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import { transferError } from './errors.ts';
import type { Exchange, ExchangeListener } from './exchange.ts';
import type { ExchangeHub } from './exchange-hub.ts';
import { HolderPool } from './holder-pool.ts';
import { HolderHunt } from './holder-hunt.ts';
import type { FoundHolder, HolderSearch } from './holder-search.ts';
import { planJourney, type JourneyView } from './journey-plan.ts';
import { LocalPieces, type RecentPieces } from './local-pieces.ts';
import type { OriginBlobs, OriginPiece } from './origin-feed.ts';
import { OriginReader, type MissingRun } from './origin-reader.ts';
import { OriginSharing } from './origin-sharing.ts';
import type { Peers } from './peers.ts';
import { abortable, PieceIntake } from './piece-intake.ts';
import { PieceScheduler } from './piece-scheduler.ts';
import { PullRecorder } from './pull-report.ts';
import type { RateLimit } from './rate-limit.ts';
import { makeStatement } from './statement.ts';
import type { TransferConfig } from './transfer-config.ts';
import type { TransferMetrics } from './transfer-metrics.ts';
import type { LeaveReason } from './wire.ts';

export interface JourneyDeps {
  readonly memory: BufferPool;
  readonly hub: ExchangeHub;
  readonly store: BlobStore;
  readonly recent: RecentPieces;
  readonly peers: Peers;
  readonly search: HolderSearch;
  readonly origin: OriginBlobs;
  readonly identity: LinkIdentity;
  readonly downloadRate: RateLimit;
  readonly metrics: TransferMetrics;
  readonly clock: { nowMs(): number };
  readonly random: () => number;
  readonly log: Logger;
  /** The journey is over and this node holds the blob. */
  readonly onComplete: (digest: Digest) => void;
  /** The journey is over, however it ended. */
  readonly onEnd: (journey: Journey) => void;
}

/** What a journey is for. */
export interface JourneyPurpose {
  readonly digest: Digest;
  readonly repository: Repository;
  /** From a manifest; undefined when unknown. */
  readonly sizeBytes: number | undefined;
}

const TICK_MS = 100;
/** A read range that is only a part of the blob is read on by so many pieces. */
const READ_AHEAD_PIECES = 16;
/** The scheduler's name for the origin. */
const ORIGIN_KEY = 0;

/** How a journey ends. */
type JourneyEnd = 'complete' | 'absent' | 'failed' | 'stopped';

export class Journey implements ExchangeListener {
  readonly purpose: JourneyPurpose;
  readonly recorder: PullRecorder;
  readonly #deps: JourneyDeps;
  readonly #config: TransferConfig;
  readonly #exchange: Exchange;
  readonly #abort = new AbortController();
  readonly #opened = Promise.withResolvers<PieceIntake>();
  readonly #proven = Promise.withResolvers<boolean>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #origin: OriginReader;
  readonly #sharing: OriginSharing;
  readonly #hunt: HolderHunt;
  readonly #startedAtMs: number;
  #opening: Promise<PieceIntake> | undefined;
  #intake: PieceIntake | undefined;
  #scheduler: PieceScheduler | undefined;
  #pool: HolderPool | undefined;
  #tick: NodeJS.Timeout | undefined;
  #linger: NodeJS.Timeout | undefined;
  #readerCount = 0;
  #progressAtMs = 0;
  #isWhole = false;
  #isToBeProven = false;
  #isFinishing = false;
  #isComplete = false;
  #isOver = false;
  #generation = 0;

  constructor(deps: JourneyDeps, config: TransferConfig, purpose: JourneyPurpose) {
    this.#deps = deps;
    this.#config = config;
    this.purpose = purpose;
    this.#startedAtMs = deps.clock.nowMs();
    this.recorder = new PullRecorder(purpose.digest, purpose.repository, this.#startedAtMs);
    this.#exchange = deps.hub.obtain(purpose.digest);
    this.#exchange.listener = this;
    this.#origin = this.#createOriginReader();
    this.#hunt = this.#createHunt();
    this.#sharing = new OriginSharing({ ...deps, exchange: this.#exchange, nowMs: () => deps.clock.nowMs() });
    for (const settled of [this.#opened.promise, this.#proven.promise]) settled.catch(() => undefined);
  }

  /** Sets out. */
  start(): void {
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
    if (this.purpose.sizeBytes !== undefined) this.#learnSize(this.purpose.sizeBytes);
    this.#lingerIfUnused();
    this.#step();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves when the journey has ended and let go of all it held. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Pieces held now, of how many. */
  get progress(): { held: number; count: number } {
    const geometry = this.#intake?.geometry;
    const partial = this.#exchange.local?.partial;
    return { held: partial?.held.count ?? (this.#isComplete ? (geometry?.pieceCount ?? 0) : 0), count: geometry?.pieceCount ?? 0 };
  }

  /**
   * Waits until a first verified piece proves that the blob can be delivered; answers its size, or undefined when neither
   * peers nor the origin have it.
   * @throws {DockyardError} ERR_TRANSFER_UNAVAILABLE, ERR_STORE_FULL, or what the origin answered
   */
  async prove(signal: AbortSignal | undefined): Promise<number | undefined> {
    const release = this.hold();
    this.#isToBeProven = true;
    if (this.#intake?.has(0) === false) this.#desire(0, Math.min(READ_AHEAD_PIECES, this.#intake.geometry.pieceCount));
    try {
      if (!(await abortable(this.#proven.promise, signal))) return undefined;
      return (await abortable(this.#opened.promise, signal)).geometry.sizeBytes;
    } finally {
      release();
    }
  }

  /** Keeps the journey going, and what it has open, until the function that is answered is called. */
  hold(): () => void {
    this.#readerCount += 1;
    clearTimeout(this.#linger);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#readerCount -= 1;
      this.#lingerIfUnused();
    };
  }

  /**
   * Verified bytes of a range, in order, as they come; the consumer owns them and may release them. The end of the blob is held back until the whole was found right,
   * except for a range within the last piece alone, as lazy readers ask for it.
   * @throws {DockyardError} ERR_TRANSFER_BROKEN, ERR_TRANSFER_CORRUPT, ERR_STORE_FULL
   */
  async *read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const release = this.hold();
    const reader = Symbol('reader');
    try {
      const intake = await abortable(this.#opened.promise, signal);
      const { geometry } = intake;
      const { first, end } = piecesCovering(geometry, range);
      this.#desireFor(range, geometry);
      const holdsBack = range.end === geometry.sizeBytes && end - first > 1;
      const generation = this.#generation;
      for (let piece = first; piece < end; piece += 1) {
        this.#scheduler?.setReader(reader, piece, end);
        const bytes = await intake.wait(piece, signal);
        if (this.#generation !== generation && piece > first) {
          throw transferError('ERR_TRANSFER_BROKEN', `what was given of ${this.purpose.digest} turned out to be false`);
        }
        if (holdsBack && piece === end - 1) await intake.waitFinished(signal);
        const at = piece * geometry.pieceSizeBytes;
        yield bytes.subarray(Math.max(0, range.start - at), Math.min(bytes.length, range.end - at));
      }
    } finally {
      this.#scheduler?.removeReader(reader);
      release();
    }
  }

  /** Ends the journey; what it has is kept. */
  stop(reason: Error): void {
    this.#end('stopped', reason);
  }

  // From the exchange.

  onJoined(channel: Channel): void {
    if (channel.remoteSizeBytes !== undefined && this.#exchange.geometry === undefined) {
      this.#learnSize(channel.remoteSizeBytes);
    }
    if (!channel.remoteComplete) this.#desireWhole();
    this.#pool?.onJoined(channel);
    clearTimeout(this.#linger);
    this.#lingerIfUnused();
  }

  onHave(channel: Channel, pieces: readonly number[]): void {
    this.#sharing.onHave(channel, pieces);
    this.#pool?.onHave(channel, pieces);
  }

  onHashes(pieces: readonly number[]): void {
    this.#pool?.onHashes(pieces);
  }

  onPiece(channel: Channel, piece: number, bytes: Buffer): void {
    this.#pool?.onPiece(channel, piece, bytes);
  }

  onRefused(channel: Channel, reason: number, pieces: readonly number[]): void {
    this.#pool?.onRefused(channel, reason, pieces);
  }

  onNeed(): void {
    this.#desireWhole();
  }

  onLeft(channel: Channel, reason: LeaveReason | 'closed'): void {
    this.#pool?.onLeft(channel);
    this.#sharing.onLeft(channel);
    this.#hunt.onLeft(channel.link.peerId, reason);
    this.#lingerIfUnused();
    this.#step();
  }

  // Finding holders.

  #step(): void {
    if (this.#isOver || this.#isComplete) return;
    const steps = planJourney(this.#view());
    if (steps.search) void this.#hunt.askHomes();
    if (steps.discover) void this.#hunt.discover();
    if (steps.readOrigin) this.#origin.start();
    if (steps.giveUp) this.#giveUp();
  }

  #view(): JourneyView {
    return {
      nowMs: this.#deps.clock.nowMs(),
      startedAtMs: this.#startedAtMs,
      isSearching: this.#hunt.isSearching,
      searchedAtMs: this.#hunt.searchedAtMs,
      discovery: this.#hunt.discovery,
      role: this.#hunt.role,
      holderCount: this.#hopefulCount() + this.#hunt.diallingCount,
      lacksPieces: this.#scheduler === undefined || this.#scheduler.firstUnavailableRun(0, 1) !== undefined,
      origin: this.#origin.state,
      progressAtMs: this.#progressAtMs,
    };
  }

  /** Peers from whom something may come: they have pieces, or read the origin, or have not said yet. */
  #hopefulCount(): number {
    const { home } = this.#hunt;
    const channels = [...this.#exchange.channels.values()];
    return channels.filter((channel) => channel.remoteHasAny || !channel.isJoined || channel.link.peerId === home).length;
  }

  /** Leaves peers that do not answer: those that never joined, and a home that has fallen silent. */
  #leaveSilent(): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const channel of [...this.#exchange.channels.values()]) {
      const isHome = channel.link.peerId === this.#hunt.home && !this.#isComplete;
      const silentMs = nowMs - Math.max(channel.link.lastHeardAtMs, channel.openedAtMs);
      if (isHome && silentMs > this.#config.stallTimeoutMs / 4) channel.link.ping();
      const isMute = !channel.isJoined && nowMs - channel.openedAtMs > this.#config.askTimeoutMs;
      if (!isMute && !(isHome && silentMs > this.#config.stallTimeoutMs)) continue;
      this.#exchange.leave(channel, 'failed');
      this.onLeft(channel, 'closed');
    }
  }

  #createHunt(): HolderHunt {
    const { peers, search, clock, log } = this.#deps;
    const { digest, repository } = this.purpose;
    return new HolderHunt({
      peers,
      search,
      log,
      nowMs: () => clock.nowMs(),
      signal: this.#abort.signal,
      question: () => {
        const sizeBytes = this.#exchange.geometry?.sizeBytes;
        return { digest, repository, sizeBytes, isReading: this.#origin.state === 'reading' };
      },
      wants: (holder, diallingCount) => this.#wants(holder, diallingCount),
      onLink: (link) => this.#exchange.join(link),
      onSize: (sizeBytes) => this.#learnSize(sizeBytes),
      onChange: () => this.#step(),
    });
  }

  #wants(holder: FoundHolder, diallingCount: number): boolean {
    const links = [...this.#exchange.channels.keys()];
    const hasRoom = links.length + diallingCount < this.#config.maxHolders;
    return hasRoom && !links.some((link) => link.peerId === holder.peerId);
  }

  // Bytes.

  #learnSize(sizeBytes: number): void {
    if (this.#exchange.geometry !== undefined || this.#isOver) return;
    this.#exchange.setSize(sizeBytes);
    this.recorder.sizeBytes = sizeBytes;
    this.#openIntake(sizeBytes).catch((thrown: unknown) => this.#fail(asError(thrown)));
  }

  #openIntake(sizeBytes: number): Promise<PieceIntake> {
    this.#opening ??= this.#createIntake(sizeBytes);
    return this.#opening;
  }

  async #createIntake(sizeBytes: number): Promise<PieceIntake> {
    const { store, recent, random, downloadRate, clock } = this.#deps;
    const { digest } = this.purpose;
    const partial = await store.openPartial(digest, sizeBytes);
    const local = new LocalPieces(partial, recent);
    const intake = new PieceIntake({ memory: this.#deps.memory, partial, local, openHeld: async () => await store.open(digest) });
    this.#intake = intake;
    this.#scheduler = new PieceScheduler(intake.geometry.pieceCount, random);
    this.#scheduler.addHolder(ORIGIN_KEY);
    this.#pool = new HolderPool(
      {
        exchange: this.#exchange,
        scheduler: this.#scheduler,
        geometry: intake.geometry,
        downloadRate,
        nowMs: () => clock.nowMs(),
        onPiece: (piece, bytes, hash, from) => this.#onPeerPiece(piece, bytes, hash, from),
        onLie: (peerId, piece) => this.#onLie(peerId, piece),
        onStall: (peerId, waitedMs) => this.#onStall(peerId, waitedMs),
      },
      { stallTimeoutMs: this.#config.stallTimeoutMs },
    );
    this.recorder.localBytes = sumHeld(intake, partial.held.count);
    this.#vouchForHeld(partial);
    this.#exchange.setLocal(local);
    this.#opened.resolve(intake);
    if (partial.held.count > 0) this.#proven.resolve(true);
    else if (this.#isToBeProven) this.#desire(0, Math.min(READ_AHEAD_PIECES, intake.geometry.pieceCount));
    if (this.#isWhole || [...this.#exchange.channels.values()].some((channel) => !channel.remoteComplete)) this.#desireWhole(true);
    for (const channel of this.#exchange.channels.values()) if (channel.isJoined) this.#pool.onJoined(channel);
    this.#finishIfWhole();
    this.#step();
    return intake;
  }

  /** Pieces kept by an earlier journey: whoever said their hashes then, this node answers for them now. */
  #vouchForHeld(partial: PartialBlob): void {
    const { map } = this.#exchange;
    const blob = { digest: this.purpose.digest, sizeBytes: partial.geometry.sizeBytes };
    let run: Buffer[] = [];
    for (let piece = 0; piece <= partial.geometry.pieceCount; piece += 1) {
      const hash = partial.held.has(piece) ? partial.pieceHash(piece) : undefined;
      if (hash !== undefined) run.push(hash);
      else if (run.length > 0) {
        map?.add(makeStatement(this.#deps.identity, blob, piece - run.length, Buffer.concat(run)));
        run = [];
      }
    }
  }

  #desireFor(range: ByteRange, geometry: PieceGeometry): void {
    const { first, end } = piecesCovering(geometry, range);
    const isMost = range.end === geometry.sizeBytes ? end - first > 1 : (end - first) * 2 > geometry.pieceCount;
    if (isMost || geometry.pieceCount <= READ_AHEAD_PIECES) this.#desireWhole();
    else this.#desire(first, Math.min(end + READ_AHEAD_PIECES, geometry.pieceCount));
  }

  #desireWhole(force = false): void {
    if (this.#isWhole && !force) return;
    this.#isWhole = true;
    if (this.#intake !== undefined) this.#desire(0, this.#intake.geometry.pieceCount);
  }

  #desire(first: number, end: number): void {
    const intake = this.#intake;
    if (intake === undefined || this.#isComplete) return;
    for (let piece = first; piece < end; piece += 1) if (!intake.has(piece)) this.#scheduler?.desire(piece);
    this.#pool?.fill();
    this.#step();
  }

  #onPeerPiece(piece: number, bytes: Buffer, hash: Buffer, from: PeerId): void {
    this.recorder.onPeerBytes(bytes.length, from);
    this.#deps.metrics.received('peer', bytes.length);
    this.#keep(piece, bytes, hash).then(
      () => this.#exchange.announce(piece),
      (thrown: unknown) => this.#fail(asError(thrown)),
    );
  }

  async #keep(piece: number, bytes: Buffer, hash: Buffer): Promise<void> {
    this.#progressAtMs = this.#deps.clock.nowMs();
    const kept = this.#intake?.keep(piece, bytes, hash);
    this.#proven.resolve(true);
    await kept;
    this.#finishIfWhole();
  }

  #createOriginReader(): OriginReader {
    const { origin, downloadRate } = this.#deps;
    return new OriginReader({
      memory: this.#deps.memory,
      origin,
      repository: this.purpose.repository,
      digest: this.purpose.digest,
      signal: this.#abort.signal,
      onSize: async (sizeBytes) => {
        this.#learnSize(sizeBytes);
        return (await this.#openIntake(this.#exchange.geometry?.sizeBytes ?? sizeBytes)).geometry;
      },
      nextRun: () => this.#nextRun(),
      claim: (piece) => this.#claim(piece),
      release: (piece) => this.#scheduler?.release(ORIGIN_KEY, piece),
      onPiece: async (cut) => {
        await downloadRate.acquire(cut.bytes.length, { signal: this.#abort.signal });
        await this.#onOriginPiece(cut);
      },
      onBatch: (first, hashes) => this.#sharing.onBatch(first, hashes),
      onChange: () => this.#step(),
    });
  }

  /** While only a part is wanted the run goes on to the end: more will be wanted, and each piece is claimed anyway. */
  #nextRun(): MissingRun | undefined {
    const scheduler = this.#scheduler;
    if (scheduler === undefined || this.#isOver) return undefined;
    const from = scheduler.mostUrgent() ?? 0;
    const run = scheduler.firstUnavailableRun(from, Infinity) ?? scheduler.firstUnavailableRun(0, Infinity);
    const pieceCount = this.#exchange.geometry?.pieceCount ?? 0;
    return run === undefined || this.#isWhole ? run : { first: run.first, count: pieceCount - run.first };
  }

  #claim(piece: number): boolean {
    const scheduler = this.#scheduler;
    if (scheduler === undefined || this.#isOver) return false;
    if (!scheduler.isMissing(piece) || scheduler.isRequested(piece) || scheduler.availability(piece) > 0) return false;
    scheduler.reserve(ORIGIN_KEY, piece);
    return true;
  }

  async #onOriginPiece(cut: OriginPiece): Promise<void> {
    this.recorder.originBytes += cut.bytes.length;
    this.#deps.metrics.received('origin', cut.bytes.length);
    this.#pool?.settle(cut.piece, ORIGIN_KEY);
    await this.#keep(cut.piece, cut.bytes, cut.hash);
  }

  #onLie(peerId: PeerId, piece: number): void {
    this.#deps.log.warn({ peer: peerId, digest: this.purpose.digest, piece }, 'a peer sent a wrong piece');
    const link = [...this.#exchange.channels.keys()].find((candidate) => candidate.peerId === peerId);
    if (link !== undefined) this.#deps.hub.ban(link, 'wrong-piece');
  }

  #onStall(peerId: PeerId, waitedMs: number): void {
    this.recorder.lostMs += waitedMs;
    this.#deps.metrics.onStall();
    this.#hunt.avoid(peerId);
    this.#deps.log.info({ peer: peerId, digest: this.purpose.digest, waitedMs }, 'a holder stalled and was replaced');
  }

  #onTick(): void {
    this.#pool?.tick();
    this.#leaveSilent();
    this.#sharing.tick();
    this.#step();
  }

  // The end.

  #finishIfWhole(): void {
    if (this.#isFinishing || this.#isOver || this.#intake?.isAllHeld !== true) return;
    this.#isFinishing = true;
    void this.#finish(this.#intake).catch((thrown: unknown) => this.#fail(asError(thrown)));
  }

  async #finish(intake: PieceIntake): Promise<void> {
    const { digest } = this.purpose;
    const end = await intake.finish();
    if (end === 'mismatch') {
      await this.#startAgain(intake);
      return;
    }
    this.#isComplete = true;
    clearInterval(this.#tick);
    const hashes = await this.#exchange.local?.allHashes();
    const { sizeBytes } = intake.geometry;
    if (hashes !== undefined) {
      this.#exchange.becomeComplete(makeStatement(this.#deps.identity, { digest, sizeBytes }, 0, hashes));
    }
    this.recorder.end('complete', this.#deps.clock.nowMs());
    this.#deps.onComplete(digest);
    this.#lingerIfUnused();
  }

  /** Some hash was false: all is forgotten, who answered for it is not listened to, and the origin is read. */
  async #startAgain(intake: PieceIntake): Promise<void> {
    const authors = [...(this.#exchange.map?.authors ?? [])];
    const self = this.#deps.identity.peerId;
    const foreign = authors.filter((author) => author !== self);
    this.#deps.log.warn({ digest: this.purpose.digest, authors }, 'the whole does not have its digest: its piece map was false');
    this.#deps.metrics.onFalseMap();
    await intake.reset();
    this.#generation += 1;
    if (foreign.length === 0 && this.recorder.localBytes === 0) {
      throw transferError('ERR_TRANSFER_CORRUPT', `what the origin gives for ${this.purpose.digest} does not have this digest`);
    }
    this.recorder.localBytes = 0;
    this.#exchange.map?.clear();
    for (const author of foreign) this.#exchange.map?.distrust(author);
    for (const channel of [...this.#exchange.channels.values()]) {
      this.#hunt.avoid(channel.link.peerId);
      this.#pool?.onLeft(channel);
      this.#exchange.leave(channel, 'failed');
    }
    this.#isFinishing = false;
    this.#hunt.becomeReader();
    this.#origin.retry();
    this.#desireWhole(true);
  }

  #giveUp(): void {
    const { digest } = this.purpose;
    if (this.#origin.state === 'absent' && this.#intake?.isAllHeld !== true && this.#progressAtMs === 0) {
      this.#proven.resolve(false);
      this.#end('absent', transferError('ERR_TRANSFER_UNAVAILABLE', `nobody has ${digest}`));
      return;
    }
    const cause = this.#origin.error;
    if (isDockyardError(cause) && this.#progressAtMs === 0) this.#fail(cause);
    else this.#fail(transferError(this.#progressAtMs === 0 ? 'ERR_TRANSFER_UNAVAILABLE' : 'ERR_TRANSFER_BROKEN', `no peer and no origin can go on with ${digest}`, { cause }));
  }

  #fail(error: Error): void {
    this.#end('failed', error);
  }

  #lingerIfUnused(): void {
    if (this.#isOver || this.#readerCount > 0) return;
    const isServing = [...this.#exchange.channels.values()].some((channel) => channel.isJoined && !channel.remoteComplete);
    if (isServing && !this.#isComplete) return;
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => this.#endIfUnused(), this.#isComplete ? 0 : this.#config.lingerMs);
  }

  #endIfUnused(): void {
    if (this.#readerCount > 0 || this.#isOver || this.#isFinishing !== this.#isComplete) return;
    this.#end(this.#isComplete ? 'complete' : 'stopped', transferError('ERR_TRANSFER_BROKEN', 'nobody waits for the blob any more'));
  }

  #end(outcome: JourneyEnd, error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#tick);
    clearTimeout(this.#linger);
    this.#abort.abort();
    this.recorder.end(outcome, this.#deps.clock.nowMs(), outcome === 'complete' ? undefined : error);
    if (outcome !== 'complete') {
      this.#intake?.fail(error);
      this.#opened.reject(error);
      this.#proven.reject(error);
    }
    this.#exchange.listener = undefined;
    void this.#release(outcome).finally(() => {
      this.#ended.resolve();
      this.#deps.onEnd(this);
    });
  }

  async #release(outcome: JourneyEnd): Promise<void> {
    if (outcome === 'complete') {
      this.#deps.hub.releaseIfIdle(this.#exchange);
      return;
    }
    await this.#opening?.catch(() => undefined);
    await this.#deps.hub.discard(this.#exchange, outcome === 'absent' ? 'absent' : 'failed');
  }
}

function sumHeld(intake: PieceIntake, heldCount: number): number {
  return Math.min(heldCount * intake.geometry.pieceSizeBytes, intake.geometry.sizeBytes);
}
