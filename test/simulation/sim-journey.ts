/**
 * The journey of one blob to one simulated node. Piece choice, windows, stalls and late pieces are those of nodes: the real
 * PieceScheduler, HolderPool, HolderPace and planJourney are driven here. What stands in the place of `Journey`, `Gathering` and `Exchange`
 * is only what carries their decisions out.
 */
import { Bitfield } from '../../src/content/bitfield.ts';
import type { PieceGeometry } from '../../src/content/geometry.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { PeerId } from '../../src/swarm/member.ts';
import type { Channel } from '../../src/transfer/channel.ts';
import type { Exchange } from '../../src/transfer/exchange.ts';
import { HolderPool, type HolderPoolDeps } from '../../src/transfer/holder-pool.ts';
import { TICK_MS } from '../../src/transfer/journey.ts';
import { hopefulCount, silentChannels } from '../../src/transfer/journey-peers.ts';
import { planJourney } from '../../src/transfer/journey-plan.ts';
import type { MissingRun } from '../../src/transfer/origin-reader.ts';
import { ORIGIN_KEY } from '../../src/transfer/journey-types.ts';
import { MAX_QUIET_MS } from '../../src/transfer/origin-source.ts';
import { PieceBits } from '../../src/transfer/piece-bits.ts';
import { PieceShares } from '../../src/transfer/piece-shares.ts';
import { PieceScheduler } from '../../src/transfer/piece-scheduler.ts';
import type { SimChannel } from './sim-channel.ts';
import { SAME_HASH, SimExchange } from './sim-exchange.ts';
import { SimHunt } from './sim-hunt.ts';
import { SimNews } from './sim-news.ts';
import type { SimNode } from './sim-node.ts';
import { SimOriginReading } from './sim-origin-reading.ts';
import { serve } from './sim-serving.ts';
import { VirtualPromise } from './virtual-promise.ts';
import { EVENT, MESSAGE_BYTES, type World } from './world.ts';

const LIMITS = { stallTimeoutMs: 2000, askTimeoutMs: 1000 };
const NO_BYTES = Buffer.alloc(0);
const HASHED = VirtualPromise.resolved(SAME_HASH);
const NO_LIMIT = { isOpen: true, spend: () => undefined, whenAllowed: () => undefined };

export class SimJourney {
  readonly id: number;
  readonly node: SimNode;
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly scheduler: PieceScheduler;
  readonly held: Bitfield;
  /** Pieces whose hash is known here. */
  readonly known: PieceBits;
  readonly #world: World;
  readonly #exchange: SimExchange;
  readonly #shares: PieceShares;
  readonly #pool: HolderPool;
  readonly #hunt: SimHunt;
  readonly #reading: SimOriginReading;
  readonly #reader = Symbol('client');
  #startedAtMs: number | undefined;
  #progressAtMs = 0;
  readonly #news: SimNews;
  #hasClient = false;
  #nextToRead = 0;
  isComplete = false;
  #isCompleteTold = false;

  constructor(world: World, id: number, node: SimNode, digest: Digest) {
    this.#world = world;
    this.id = id;
    this.node = node;
    this.digest = digest;
    this.geometry = world.geometry;
    this.held = new Bitfield(this.geometry.pieceCount);
    this.known = new PieceBits(this.geometry.pieceCount);
    this.#shares = new PieceShares(node.member.peerId);
    this.scheduler = new PieceScheduler(this.geometry.pieceCount, world.random, (piece) => this.#shares.isOwn(piece));
    this.scheduler.addHolder(ORIGIN_KEY);
    this.#exchange = new SimExchange(world, this);
    this.#hunt = new SimHunt(world, this);
    this.#reading = new SimOriginReading(world, this);
    this.#news = new SimNews(world, this);
    this.#pool = new HolderPool(this.#poolDeps(), LIMITS);
  }

  #poolDeps(): HolderPoolDeps {
    return {
      exchange: this.#exchange as unknown as Exchange,
      scheduler: this.scheduler,
      geometry: this.geometry,
      downloadRate: NO_LIMIT as unknown as HolderPoolDeps['downloadRate'],
      hashPiece: () => HASHED,
      unkeptCount: () => 0,
      isFar: () => false,
      shares: this.#shares,
      nowMs: () => this.#world.nowMs(),
      maxAsked: () => this.#reading.maxAsked,
      onPiece: (piece) => this.#onPeerPiece(piece),
      onLie: () => undefined,
      onStall: (peerId) => this.#hunt.avoid(peerId),
    };
  }

  get channels(): readonly SimChannel[] {
    return this.#exchange.channels;
  }

  /** All peers were told that this node has everything. */
  get isTold(): boolean {
    return this.#isCompleteTold;
  }

  /** Who reads the origin for all, where it is not this node. */
  get home(): PeerId | undefined {
    return this.#hunt.home;
  }

  get isReading(): boolean {
    return this.#reading.state === 'reading';
  }

  /** Sets out: for a client, or because others asked this node as home. */
  start(): void {
    if (this.#startedAtMs !== undefined) return;
    this.#startedAtMs = this.#world.nowMs();
    for (let piece = 0; piece < this.geometry.pieceCount; piece += 1) this.scheduler.desire(piece);
    this.#world.events.push(this.#startedAtMs + TICK_MS, EVENT.tick, this.id, 0);
    this.step();
  }

  /** A client reads the whole blob from here on. */
  serveClient(): void {
    this.#hasClient = true;
    this.#moveReader();
    this.start();
  }

  step(): void {
    if (this.isComplete || !this.node.isAlive || this.#startedAtMs === undefined) return;
    const steps = planJourney({
      nowMs: this.#world.nowMs(),
      startedAtMs: this.#startedAtMs,
      isSearching: this.#hunt.isSearching,
      searchedAtMs: this.#hunt.searchedAtMs,
      // DHT and trackers know nobody whom the home does not know.
      discovery: 'done',
      role: this.#hunt.role,
      holderCount: this.#hopefulCount(),
      lacksPieces: this.scheduler.firstUnavailableRun(0, 1) !== undefined,
      origin: this.#reading.state,
      progressAtMs: this.#progressAtMs,
    });
    if (steps.search) this.#hunt.askHomes();
    if (steps.readOrigin) this.#reading.start();
  }

  #hopefulCount(): number {
    const { diallingCount, home } = this.#hunt;
    return hopefulCount(this.#exchange as unknown as Exchange, home, this.#hunt.isHomeFar) + diallingCount;
  }

  tick(): void {
    if (!this.node.isAlive) return;
    if (this.isComplete) this.#tickComplete();
    else this.#tickGathering();
  }

  #tickGathering(): void {
    this.#pool.tick();
    if (this.#world.hasSilentNodes) this.#leaveSilent();
    this.#reading.tick();
    this.step();
    this.#world.events.push(this.#world.nowMs() + TICK_MS, EVENT.tick, this.id, 0);
  }

  /** Who read the origin goes on until what it told of has spread. */
  #tickComplete(): void {
    const isOver = !this.#reading.isSpreading || this.#world.nowMs() >= this.#progressAtMs + MAX_QUIET_MS;
    if (this.isTold || isOver) {
      this.#tellComplete();
      return;
    }
    this.#reading.tick();
    this.#world.events.push(this.#world.nowMs() + TICK_MS, EVENT.tick, this.id, 0);
  }

  #leaveSilent(): void {
    const nowMs = this.#world.nowMs();
    for (const silent of silentChannels(this.#exchange as unknown as Exchange, this.#hunt.home, nowMs, LIMITS)) {
      const channel = silent as unknown as SimChannel;
      this.#exchange.leave(channel, 'failed');
      this.onLeft(channel, 'closed');
    }
  }

  /** A channel is there, and the peer has told its state. */
  onOpened(channel: SimChannel, peer: SimJourney): void {
    this.countMessages(1);
    this.#exchange.channels.push(channel);
    for (let piece = 0; piece < this.geometry.pieceCount && peer.held.count > 0; piece += 1) {
      if (peer.shows(piece)) channel.setRemoteHas(piece);
    }
    if (!this.isComplete) this.#pool.onJoined(channel as unknown as Channel);
  }

  /** A newcomer is told of this piece. */
  shows(piece: number): boolean {
    return this.held.has(piece) && this.#news.showsToNewcomers(piece);
  }

  /** The peer has everything now. */
  onPeerComplete(channel: SimChannel): void {
    if (!channel.isOpen || !this.node.isAlive) return;
    const news: number[] = [];
    for (
      let piece = this.held.firstClear(0);
      piece < this.geometry.pieceCount;
      piece = this.held.firstClear(piece + 1)
    ) {
      if (!channel.remoteHas(piece)) news.push(piece);
    }
    channel.remoteComplete = true;
    this.#reading.onPeerComplete();
    if (!this.isComplete) this.#pool.onHave(channel as unknown as Channel, news);
  }

  onLeft(channel: SimChannel, reason: 'done' | 'failed' | 'closed'): void {
    if (!this.node.isAlive) return;
    const wasOpen = channel.isOpen;
    this.#exchange.close(channel);
    if (!wasOpen && reason !== 'closed') return;
    this.#pool.onLeft(channel as unknown as Channel);
    this.#reading.onLeft(channel);
    this.#hunt.onLeft(channel.peer.member.peerId, reason);
    this.step();
  }

  onHaves(channel: SimChannel, pieces: readonly number[]): void {
    this.onNews(channel, channel.newsOf(pieces));
  }

  /** The peer has told of pieces that it was not known to have. */
  onNews(channel: SimChannel, news: readonly number[]): void {
    if (news.length === 0 || !this.node.isAlive) return;
    if (this.#reading.isInvolved) this.#reading.onHas(channel, news);
    if (this.isComplete) return;
    this.#pool.onHave(channel as unknown as Channel, news);
  }

  /** The peer asks for pieces. */
  onWant(channel: SimChannel, pieces: readonly number[]): void {
    if (!channel.isOpen || !this.node.isAlive) return;
    this.#reading.onWanted(channel, pieces);
    serve(this.#world, channel, pieces);
  }

  onRefused(channel: SimChannel, reason: number, pieces: readonly number[]): void {
    if (!channel.isOpen || !this.node.isAlive || this.isComplete) return;
    for (const piece of pieces) channel.asked.delete(piece);
    this.#pool.onRefused(channel as unknown as Channel, reason, pieces);
  }

  /** A piece has come in whole. */
  onPiece(channel: SimChannel, piece: number): void {
    if (!this.node.isAlive) return;
    const bytes = this.#world.pieceBytes(piece);
    const { measurements } = this.#world;
    measurements.onPeerBytes(this.node.index, bytes);
    channel.pace.onBytes(bytes, this.#world.nowMs());
    if (channel.isOpen && channel.asked.delete(piece)) {
      this.#pool.onPiece(channel as unknown as Channel, piece, NO_BYTES);
    } else measurements.onWasted(this.node.index, bytes);
  }

  #onPeerPiece(piece: number): void {
    this.#keep(piece);
    this.#pool.onKept();
    if (this.#reading.readsForItself && this.scheduler.availability(piece) > 0) this.#news.hide(piece);
    else if (!this.isComplete) this.announce(piece);
  }

  /** Reads a run for a peer. */
  lend(run: MissingRun, answer: VirtualPromise<undefined>): void {
    this.#reading.lend(run, answer);
  }

  onHashes(pieces: readonly number[]): void {
    if (!this.isComplete) this.#reading.onHashes(pieces);
  }

  onOriginPiece(piece: number): void {
    this.#pool.settle(piece, ORIGIN_KEY);
    this.#news.hide(piece);
    this.#keep(piece);
  }

  /** Tells that this node has a piece: to one peer, or to all that lack it. */
  announce(piece: number, only?: SimChannel): void {
    this.#news.announce(piece, only);
  }

  /** Pieces that are held and were never told to all. */
  get hidden(): ReadonlySet<number> {
    return this.#news.hidden;
  }

  flushHaves(): void {
    if (this.node.isAlive) this.#news.flush();
  }

  /** What was told to all has come to them. */
  deliverHaves(pieces: readonly number[]): void {
    this.#news.deliver(pieces);
  }

  /** The node is gone: all peers notice that their channel closes. */
  vanish(): void {
    this.#reading.stop();
    this.#exchange.vanish();
  }

  countMessages(count: number, bytesEach: number = MESSAGE_BYTES): void {
    this.#world.measurements.onMessages(this.node.index, count);
    this.#world.links.spend(this.node.index, count * bytesEach);
  }

  #keep(piece: number): void {
    if (!this.held.add(piece)) return;
    const { measurements } = this.#world;
    this.#progressAtMs = this.#world.nowMs();
    measurements.onKept(this.node.index, this.#world.pieceBytes(piece));
    this.#moveReader();
    if (this.held.isFull) this.#complete();
    this.#world.onHeld(this);
  }

  #moveReader(): void {
    if (!this.#hasClient) return;
    this.#nextToRead = this.held.firstClear(this.#nextToRead);
    this.scheduler.setReader(this.#reader, this.#nextToRead, this.geometry.pieceCount);
  }

  #complete(): void {
    this.isComplete = true;
    // As Journey does: what is with this node alone spreads first.
    if (!this.#reading.isSpreading) this.#tellComplete();
  }

  #tellComplete(): void {
    if (this.#isCompleteTold) return;
    this.#isCompleteTold = true;
    const { digest, node } = this;
    this.#exchange.tellComplete();
    const [home] = this.#world.homes(digest, new Set());
    if (home === undefined) return;
    this.countMessages(1);
    this.#world.events.call(this.#exchange.arrivalMs, () => home.note(digest, node, true, this.#world.nowMs()));
  }
}
