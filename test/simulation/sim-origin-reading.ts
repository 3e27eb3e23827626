/**
 * One simulated journey as a reader of the origin: what stands in the place of `OriginSource`, `OriginReader` and
 * `OriginSharing`. Whom to tell of a piece, and who else reads, is decided by the real RevealPlan and OriginLeases.
 */
import type { Channel } from '../../src/transfer/channel.ts';
import { OriginClaims } from '../../src/transfer/origin-claims.ts';
import { OriginLeases } from '../../src/transfer/origin-leases.ts';
import { BATCH_BYTES, BATCH_MS, FIRST_BATCH_MS, type MissingRun } from '../../src/transfer/origin-reader.ts';
import { MAX_ASKED_BESIDE_ORIGIN } from '../../src/transfer/origin-source.ts';
import { RevealPlan } from '../../src/transfer/reveal-plan.ts';
import type { SimChannel } from './sim-channel.ts';
import type { SimJourney } from './sim-journey.ts';
import { VirtualPromise } from './virtual-promise.ts';
import { MESSAGE_BYTES, type World } from './world.ts';

/** From a request to the first byte, besides the way. */
const ANSWER_MS = 5;
/** Of one connection to the origin. */
const UNDER_WAY_PIECES = 2;
/** As nodes' configuration has it. */
const MAX_ORIGIN_READERS = 8;

interface Lending {
  readonly run: MissingRun;
  readonly answer: VirtualPromise<undefined>;
}

export class SimOriginReading {
  readonly #world: World;
  readonly #journey: SimJourney;
  readonly #plan = new RevealPlan<SimChannel>();
  readonly #leases: OriginLeases;
  readonly #claims: OriginClaims;
  /** Pieces whose hash others have told. */
  readonly #readByOthers = new Set<number>();
  #state: 'idle' | 'reading' = 'idle';
  #lending: Lending | undefined;
  #batch: number[] = [];
  #batchNumber = 0;

  constructor(world: World, journey: SimJourney) {
    this.#world = world;
    this.#journey = journey;
    this.#claims = new OriginClaims(journey.scheduler);
    this.#leases = new OriginLeases({
      scheduler: journey.scheduler,
      geometry: journey.geometry,
      nowMs: () => world.nowMs(),
      channels: () => journey.channels as unknown as Channel[],
      isRead: (piece) => this.#readByOthers.has(piece),
      onUnshown: (channel, pieces) => journey.onHaves(channel as unknown as SimChannel, pieces),
      ask: (channel, run) => this.#askToLend(channel as unknown as SimChannel, run),
      readBeside: (run) => this.#readBeside(run),
      maxReaders: MAX_ORIGIN_READERS,
    });
  }

  get state(): 'idle' | 'reading' {
    return this.#state;
  }

  /** It matters here who has which piece. */
  get isInvolved(): boolean {
    return this.#plan.awaitedCount > 0 || this.#leases.isActive;
  }

  /** Pieces that were read here were not seen at others yet. */
  get isSpreading(): boolean {
    return this.#plan.awaitedCount > 0 || this.#batch.length > 0;
  }

  /** It reads what the home reads, not a run for another. */
  get readsForItself(): boolean {
    return this.#state === 'reading' && this.#lending === undefined;
  }

  /** As `OriginSource.maxAsked`. */
  get maxAsked(): number {
    return this.readsForItself && !this.#leases.areWorthwhile ? MAX_ASKED_BESIDE_ORIGIN : Infinity;
  }

  start(): void {
    if (this.#state === 'reading') return;
    this.#begin();
    this.#requestRun();
  }

  /** Reads a run for a peer. */
  lend(run: MissingRun, answer: VirtualPromise<undefined>): void {
    if (this.#state === 'reading' || this.#journey.isComplete) {
      answer.reject(new Error('this node cannot read for another now'));
      return;
    }
    this.#begin();
    this.#lending = { run, answer };
    this.#request(run);
  }

  /** The node is gone. */
  stop(): void {
    if (this.#state === 'reading') this.#world.origin.close();
    this.#state = 'idle';
  }

  onHas(channel: SimChannel, pieces: readonly number[]): void {
    for (const piece of pieces) this.#plan.onHas(channel, piece);
    this.#leases.onHave(pieces);
  }

  /** A peer shows that it has everything. */
  onPeerComplete(): void {
    this.#plan.onComplete();
  }

  onWanted(channel: SimChannel, pieces: readonly number[]): void {
    this.#plan.onWanted(channel, pieces);
  }

  /** A peer has read pieces. */
  onHashes(pieces: readonly number[]): void {
    if (!this.#leases.isActive) return;
    for (const piece of pieces) this.#readByOthers.add(piece);
    this.#leases.onHashes(pieces);
  }

  onLeft(channel: SimChannel): void {
    for (const piece of this.#plan.remove(channel)) this.#reveal(piece);
    this.#showHidden((piece) => this.#journey.scheduler.availability(piece) === 0);
    this.#leases.onLeft(channel as unknown as Channel);
  }

  tick(): void {
    for (const piece of this.#plan.overdue(this.#world.nowMs())) this.#journey.announce(piece);
    if (this.#state !== 'reading' && !this.isSpreading) this.#showHidden(() => true);
    if (this.readsForItself || this.#leases.isActive) this.#leases.tick();
  }

  /** As `OriginSharing.showHidden`. */
  #showHidden(isLost: (piece: number) => boolean): void {
    for (const piece of [...this.#journey.hidden]) {
      if (!this.#plan.isAwaited(piece) && isLost(piece)) this.#journey.announce(piece);
    }
  }

  #askToLend(channel: SimChannel, run: MissingRun): Promise<void> {
    const { events, scenario } = this.#world;
    const answer = new VirtualPromise<undefined>();
    const reply = new VirtualPromise<undefined>();
    const later = (action: () => void): void => events.call(this.#world.nowMs() + scenario.latencyMs, action);
    answer.then(
      () => later(() => reply.resolve(undefined)),
      (error: unknown) => later(() => reply.reject(error)),
    );
    this.#journey.countMessages(1);
    later(() => {
      if (channel.twin?.isOpen === true && channel.peer.isAlive) channel.twin.owner.lend(run, answer);
    });
    return reply.asPromise();
  }

  #begin(): void {
    this.#state = 'reading';
    this.#world.origin.open();
  }

  #end(): void {
    this.#flush();
    this.stop();
    this.#lending?.answer.resolve(undefined);
    this.#lending = undefined;
    this.#journey.step();
  }

  #requestRun(): void {
    const run = this.#lending === undefined ? this.#claims.nextRun() : undefined;
    if (run === undefined) this.#end();
    else this.#request(run);
  }

  #request(run: MissingRun): void {
    this.#world.measurements.originRequests += 1;
    const atMs = this.#world.nowMs() + 2 * this.#world.scenario.latencyMs + ANSWER_MS;
    this.#world.events.call(atMs, () => this.#read(run.first, run.first + run.count));
  }

  #read(piece: number, end: number): void {
    if (this.#state !== 'reading' || !this.#journey.node.isAlive) return;
    if (piece >= end || !this.#claim(piece)) {
      this.#requestRun();
      return;
    }
    this.#come(
      piece,
      piece + 1 === end,
      () => this.#onPiece(piece),
      () => this.#read(piece + 1, end),
    );
  }

  /**
   * A piece comes from the origin: at the pace of one connection, and then over the link of this node. `onNext` is when the next
   * may leave the origin: a connection that is slower than the link takes only its part of it, and waits for no more than the
   * pieces that are under way on it. After the last of a run it is when that is there.
   */
  #come(piece: number, isLast: boolean, onArrived: () => void, onNext: () => void): void {
    const { events, links, origin, scenario } = this.#world;
    const bytes = this.#world.pieceBytes(piece);
    const { index } = this.#journey.node;
    const onLinkMs = (bytes / scenario.rateBytesPerSecond) * 1000;
    const beginMs = this.#world.nowMs() + Math.max(0, origin.durationMs(bytes) - onLinkMs);
    events.call(beginMs, () => {
      const arrivedMs = links.receive(index, bytes, beginMs + onLinkMs);
      events.call(arrivedMs, onArrived);
      const aheadMs = isLast ? 0 : UNDER_WAY_PIECES * onLinkMs;
      events.call(Math.max(beginMs + onLinkMs, arrivedMs - aheadMs), onNext);
    });
  }

  #claim(piece: number): boolean {
    return this.#lending === undefined ? this.#claims.claim(piece) : this.#claims.claimLent(piece);
  }

  /** It is kept even if reading has ended meanwhile. */
  #onPiece(piece: number): void {
    if (!this.#journey.node.isAlive) return;
    const bytes = this.#world.pieceBytes(piece);
    this.#world.measurements.originBytes += bytes;
    this.#keep(piece, bytes);
  }

  #keep(piece: number, bytes: number): void {
    this.#journey.onOriginPiece(piece);
    this.#leases.onOwnPiece(piece, bytes);
    this.#addToBatch(piece);
  }

  /** Reads a run over a second connection. */
  #readBeside(run: MissingRun): Promise<undefined> {
    const { events, origin, scenario } = this.#world;
    const { node } = this.#journey;
    const answer = new VirtualPromise<undefined>();
    const end = run.first + run.count;
    this.#world.measurements.originRequests += 1;
    const readFrom = (piece: number): void => {
      if (!node.isAlive || piece >= end || !this.#leases.isBeside(piece)) {
        origin.close();
        this.#flush();
        answer.resolve(undefined);
        return;
      }
      this.#come(
        piece,
        piece + 1 === end,
        () => this.#onPiece(piece),
        () => readFrom(piece + 1),
      );
    };
    origin.open();
    events.call(this.#world.nowMs() + 2 * scenario.latencyMs + ANSWER_MS, () => readFrom(run.first));
    return answer.asPromise();
  }

  #addToBatch(piece: number): void {
    this.#batch.push(piece);
    if (this.#batch.length * this.#journey.geometry.pieceSizeBytes >= BATCH_BYTES) {
      this.#flush();
      return;
    }
    if (this.#batch.length > 1) return;
    const number = this.#batchNumber;
    const waitMs = this.#batchNumber === 0 ? FIRST_BATCH_MS : BATCH_MS;
    this.#world.events.call(this.#world.nowMs() + waitMs, () => {
      if (number === this.#batchNumber) this.#flush();
    });
  }

  /** Hashes go to all, and each piece is told to one. */
  #flush(): void {
    const pieces = this.#batch;
    this.#batch = [];
    if (pieces.length > 0) this.#batchNumber += 1;
    const journey = this.#journey;
    if (pieces.length === 0 || !journey.node.isAlive || journey.isTold) return;
    journey.countMessages(journey.channels.length, MESSAGE_BYTES + pieces.length * this.#world.hashBytesPerPiece);
    const channels = [...journey.channels];
    this.#world.events.call(this.#world.nowMs() + this.#world.scenario.latencyMs, () => {
      for (const { twin } of channels) if (twin?.isOpen === true) twin.owner.onHashes(pieces);
    });
    for (const { twin } of channels) for (const piece of pieces) twin?.owner.known.add(piece);
    for (const piece of pieces) journey.known.add(piece);
    for (const piece of pieces) this.#reveal(piece);
  }

  #reveal(piece: number): void {
    const { home } = this.#journey;
    const lacking = this.#journey.channels.filter(
      (channel) => !channel.remoteHas(piece) && channel.link.peerId !== home,
    );
    const chosen = this.#plan.choose(piece, lacking, this.#world.nowMs());
    this.#journey.announce(piece, chosen);
  }
}
