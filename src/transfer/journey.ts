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
import type { ByteRange } from '../oci/byte-range.ts';
import { asError } from '../oci/error.ts';
import type { PeerId } from '../swarm/member.ts';
import { Assembly } from './assembly.ts';
import type { Channel } from './channel.ts';
import { transferError } from './errors.ts';
import type { Exchange, ExchangeListener } from './exchange.ts';
import type { Gathering } from './gathering.ts';
import { Holds } from './holds.ts';
import type { HolderHunt } from './holder-hunt.ts';
import { createHolderHunt, hopefulCount, isServing, silentChannels } from './journey-peers.ts';
import { givingUp, planJourney, type JourneyView } from './journey-plan.ts';
import type { JourneyDeps, JourneyEnd, JourneyPurpose } from './journey-types.ts';
import type { OriginPiece } from './origin-feed.ts';
import type { MissingRun } from './origin-reader.ts';
import { OriginSource } from './origin-source.ts';
import { PullRecorder } from './pull-report.ts';
import { makeStatements } from './statement.ts';
import { Suspects } from './suspects.ts';
import type { TransferConfig } from './transfer-config.ts';
import type { LeaveReason } from './wire.ts';

/** How often a journey looks at its peers and at what it lacks. */
export const TICK_MS = 100;

export class Journey implements ExchangeListener {
  readonly purpose: JourneyPurpose;
  readonly recorder: PullRecorder;
  /** What it failed with, or was stopped for. */
  failure: Error | undefined;
  readonly #deps: JourneyDeps;
  readonly #config: TransferConfig;
  readonly #onEnd: (journey: Journey) => void;
  readonly #exchange: Exchange;
  readonly #abort = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  readonly #assembly: Assembly;
  readonly #origin: OriginSource;
  readonly #hunt: HolderHunt;
  readonly #suspects: Suspects;
  readonly #holds: Holds;
  readonly #startedAtMs: number;
  #tick: NodeJS.Timeout | undefined;
  #isFinishing = false;
  #isComplete = false;
  #isOver = false;

  /** @param onEnd called when the journey is over and has let go of all it held */
  constructor(deps: JourneyDeps, config: TransferConfig, purpose: JourneyPurpose, onEnd: (journey: Journey) => void) {
    this.#deps = deps;
    this.#onEnd = onEnd;
    this.#config = config;
    this.purpose = purpose;
    this.#startedAtMs = deps.clock.nowMs();
    this.recorder = new PullRecorder(purpose.digest, purpose.repository, this.#startedAtMs);
    this.#exchange = deps.hub.renew(purpose.digest);
    this.#exchange.listener = this;
    const originHooks = {
      signal: this.#abort.signal,
      onSize: async (sizeBytes: number) => await this.#assembly.geometryFor(sizeBytes),
      onPiece: async (cut: OriginPiece) => await this.#assembly.onOriginPiece(cut),
      onChange: () => this.#step(),
      home: () => this.#hunt.home,
    };
    this.#origin = new OriginSource(deps, purpose, this.#exchange, originHooks, config);
    this.#hunt = createHolderHunt(deps, purpose, config, {
      signal: this.#abort.signal,
      exchange: this.#exchange,
      isReading: () => this.#origin.state === 'reading',
      onSize: (sizeBytes) => this.#assembly.learnSize(sizeBytes),
      onChange: () => this.#step(),
    });
    this.#suspects = new Suspects({
      ...deps,
      exchange: this.#exchange,
      hunt: this.#hunt,
      recorder: this.recorder,
      onLeave: (channel) => this.#gathering?.pool.onLeft(channel),
    });
    this.#assembly = this.#makeAssembly(this.#suspects);
    this.#holds = new Holds({ delayMs: () => this.#lingerMs(), onUnused: () => this.#endIfUnused() });
  }

  /** Sets out. */
  start(): void {
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
    if (this.purpose.sizeBytes !== undefined) this.#assembly.learnSize(this.purpose.sizeBytes);
    this.#holds.check();
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
    const count = this.#gathering?.geometry.pieceCount ?? 0;
    return { held: this.#isComplete ? count : (this.#gathering?.partial.held.count ?? 0), count };
  }

  /**
   * Waits until a first verified piece proves that the blob can be delivered; answers its size, or undefined when neither
   * peers nor the origin have it.
   * @throws {DockyardError} ERR_TRANSFER_UNAVAILABLE, ERR_STORE_FULL, or what the origin answered
   */
  async prove(signal: AbortSignal | undefined): Promise<number | undefined> {
    const release = this.hold();
    this.#assembly.desireProof();
    this.#step();
    try {
      return await this.#assembly.provenSize(signal);
    } finally {
      release();
    }
  }

  /** Keeps the journey going, and what it has open, until the function that is answered is called. */
  hold(): () => void {
    return this.#holds.take();
  }

  /**
   * Verified bytes of a range, in order, as they come; the consumer owns them and may release them. The end of the blob is
   * held back until the whole was found right, except for a range within the last piece alone, as lazy readers ask for it.
   * @throws {DockyardError} ERR_TRANSFER_BROKEN, ERR_TRANSFER_CORRUPT, ERR_STORE_FULL
   */
  async *read(range: ByteRange, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const release = this.hold();
    try {
      const gathering = await this.#assembly.whenOpened(signal);
      if (!this.#isComplete) gathering.desireRange(range);
      this.#step();
      yield* gathering.read(range, signal);
    } finally {
      release();
    }
  }

  /** Reads a run of pieces from the origin for a peer that has set it aside. @throws {DockyardError} as `OriginReader.lend` */
  async lend(run: MissingRun): Promise<void> {
    const release = this.hold();
    try {
      await this.#origin.lend(run);
    } finally {
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
      this.#assembly.learnSize(channel.remoteSizeBytes);
    }
    // Without readers of its own this journey is for the sake of others, who will want all of it.
    if (!channel.remoteComplete && this.#holds.isEmpty) this.#desireWhole();
    if (channel.remoteComplete) this.#origin.onPeerComplete();
    this.#gathering?.pool.onJoined(channel);
    this.#holds.check();
  }

  onHave(channel: Channel, pieces: readonly number[]): void {
    this.#origin.onHave(channel, pieces);
    this.#gathering?.pool.onHave(channel, pieces);
  }

  onHashes(pieces: readonly number[]): void {
    this.#origin.onHashes(pieces);
    this.#gathering?.pool.onHashes(pieces);
  }

  onPiece(channel: Channel, piece: number, bytes: Buffer): void {
    this.#gathering?.pool.onPiece(channel, piece, bytes);
  }

  onRefused(channel: Channel, reason: number, pieces: readonly number[]): void {
    this.#gathering?.pool.onRefused(channel, reason, pieces);
  }

  onWanted(channel: Channel, pieces: readonly number[]): void {
    this.#origin.onWanted(channel, pieces);
  }

  onOthers(peerIds: readonly PeerId[]): void {
    if (!this.#isComplete) this.#hunt.meet(peerIds);
  }

  onLeft(channel: Channel, reason: LeaveReason | 'closed'): void {
    this.#gathering?.pool.onLeft(channel);
    this.#origin.onLeft(channel);
    this.#hunt.onLeft(channel.link.peerId, reason);
    this.#holds.check();
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
      holderCount: hopefulCount(this.#exchange, this.#hunt.home, this.#hunt.isHomeFar) + this.#hunt.diallingCount,
      lacksPieces: this.#gathering?.lacksPieces ?? true,
      origin: this.#origin.state,
      progressAtMs: this.#assembly.progressAtMs,
    };
  }

  #leaveSilent(): void {
    if (this.#isComplete) return;
    for (const channel of silentChannels(this.#exchange, this.#hunt.home, this.#deps.clock.nowMs(), this.#config)) {
      this.#exchange.leave(channel, 'failed');
      this.onLeft(channel, 'closed');
    }
  }

  // Bytes.

  get #gathering(): Gathering | undefined {
    return this.#assembly.gathering;
  }

  #makeAssembly(suspects: Suspects): Assembly {
    const hooks = {
      onLie: suspects.onLie.bind(suspects),
      onStall: suspects.onStall.bind(suspects),
      maxAsked: (): number => this.#origin.maxAsked,
      isLeftToOthers: (piece: number) => this.#origin.isLeftToOthers(piece),
      onGathering: (gathering: Gathering) => this.#origin.onGathering(gathering),
      onOffered: () => this.#onOffered(),
      onKept: () => this.#finishIfWhole(),
      onFail: (error: Error) => this.#fail(error),
    };
    return new Assembly(this.#deps, this.#exchange, this.recorder, hooks, this.#config);
  }

  #onOffered(): void {
    for (const channel of this.#exchange.channels.values()) if (channel.isJoined) this.onJoined(channel);
    this.#finishIfWhole();
    this.#step();
  }

  #desireWhole(): void {
    if (!this.#isComplete) this.#assembly.desireWhole();
    this.#step();
  }

  #onTick(): void {
    this.#gathering?.pool.tick();
    this.#leaveSilent();
    this.#origin.tick();
    this.#step();
  }

  // The end.

  #finishIfWhole(): void {
    if (this.#isFinishing || this.#isOver || this.#gathering?.intake.isAllHeld !== true) return;
    this.#isFinishing = true;
    void this.#finish(this.#gathering).catch((thrown: unknown) => this.#fail(asError(thrown)));
  }

  async #finish(gathering: Gathering): Promise<void> {
    const { digest } = this.purpose;
    const end = await gathering.intake.finish();
    if (end === 'mismatch') {
      await this.#startAgain(gathering);
      return;
    }
    this.#isComplete = true;
    this.#assembly.onWhole();
    this.recorder.end('complete', this.#deps.clock.nowMs());
    this.#deps.onComplete(digest);
    const release = this.hold();
    try {
      await this.#origin.spread(this.#abort.signal);
      clearInterval(this.#tick);
      const hashes = await this.#exchange.local?.allHashes();
      const { sizeBytes } = gathering.geometry;
      if (hashes !== undefined) {
        this.#exchange.becomeComplete(makeStatements(this.#deps.identity, { digest, sizeBytes }, hashes));
      }
    } finally {
      release();
    }
  }

  /** Some hash was false: all is forgotten, and the origin is read. */
  async #startAgain(gathering: Gathering): Promise<void> {
    await gathering.reset();
    this.#suspects.onFalseMap();
    this.#isFinishing = false;
    this.#hunt.becomeReader();
    this.#origin.retry();
    this.#desireWhole();
  }

  #giveUp(): void {
    const { state, error } = this.#origin;
    const ending = givingUp(this.purpose.digest, state, error, this.#assembly.progressAtMs > 0);
    if (ending.outcome === 'absent') this.#assembly.onAbsent();
    this.#end(ending.outcome, ending.error);
  }

  #fail(error: Error): void {
    this.#end('failed', error);
  }

  #lingerMs(): number | undefined {
    if (this.#isOver) return undefined;
    if (this.#isComplete) return 0;
    return isServing(this.#exchange) ? undefined : this.#config.lingerMs;
  }

  #endIfUnused(): void {
    if (this.#isOver || this.#isFinishing !== this.#isComplete) return;
    this.#end(
      this.#isComplete ? 'complete' : 'stopped',
      transferError('ERR_TRANSFER_BROKEN', 'nobody waits for the blob any more'),
    );
  }

  #end(outcome: JourneyEnd, error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (outcome !== 'complete') this.failure = error;
    clearInterval(this.#tick);
    this.#holds.stop();
    this.#abort.abort();
    this.recorder.end(outcome, this.#deps.clock.nowMs(), outcome === 'complete' ? undefined : error);
    this.#assembly.close();
    if (outcome !== 'complete') this.#assembly.fail(error);
    this.#exchange.listener = undefined;
    void this.#release(outcome).finally(() => {
      this.#ended.resolve();
      this.#onEnd(this);
    });
  }

  async #release(outcome: JourneyEnd): Promise<void> {
    if (outcome === 'complete') {
      this.#deps.hub.releaseIfIdle(this.#exchange);
      return;
    }
    await this.#assembly.settled();
    await this.#deps.hub.discard(this.#exchange, outcome === 'absent' ? 'absent' : 'failed');
  }
}
