/**
 * The holders of one journey: keeps each busy within its window, notices those that stall or lie, and asks the last pieces
 * twice. Which piece of whom is the scheduler's decision.
 */
import type { PieceGeometry } from '../content/geometry.ts';
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import type { Exchange } from './exchange.ts';
import type { HolderKey, PieceScheduler } from './piece-scheduler.ts';
import type { PieceShares } from './piece-shares.ts';
import type { RateLimit } from './rate-limit.ts';
import { REFUSAL } from './wire.ts';

/** While so much was received and is not kept yet, being hashed or written, nothing more is asked for: the disk sets the pace. */
const MAX_UNKEPT_BYTES = 8 * 1024 * 1024;
/**
 * A piece is asked of a second holder, if one has nothing else to send, when it takes so many times as long as its holder took
 * for others: where many share a link all are slow, and to ask twice makes all slower. Within bounds, as rates are guesses.
 */
const LATE_FACTOR = 4;
const MIN_LATE_MS = 400;
const MAX_LATE_MS = 2000;
/** After "busy" a holder is left alone for so long. */
const BUSY_PAUSE_MS = 500;
/** A holder that says "busy" and nothing else is given up after so many times the stall timeout. */
const BUSY_STALLS = 2;
/** One that sends, but so slowly that no piece gets whole in so many times the stall timeout, is given up too. */
const SLOW_STALLS = 10;

export interface HolderPoolDeps {
  readonly exchange: Exchange;
  readonly scheduler: PieceScheduler;
  readonly geometry: PieceGeometry;
  readonly downloadRate: RateLimit;
  /** The SHA-256 of bytes; never fails. */
  readonly hashPiece: (bytes: Buffer) => Promise<Buffer>;
  /** Verified pieces that are not kept yet. */
  readonly unkeptCount: () => number;
  readonly nowMs: () => number;
  /** How many pieces may be asked of all holders together. */
  readonly maxAsked: () => number;
  /** Told who lacks pieces beside this node. */
  readonly shares: PieceShares;
  /** Whether a peer stands in another place than this node, where operators told places. */
  readonly isFar: (peerId: PeerId) => boolean;
  /** A verified piece. */
  readonly onPiece: (piece: number, bytes: Buffer, hash: Buffer, from: PeerId) => void;
  /** A peer sent a piece that is not what the map says; `isProven` when it never said that it goes by another map. */
  readonly onLie: (peerId: PeerId, piece: number, isProven: boolean) => void;
  /** A holder was given up because nothing came for `waitedMs`. */
  readonly onStall: (peerId: PeerId, waitedMs: number) => void;
}

interface Held {
  readonly key: HolderKey;
  readonly channel: Channel;
  readonly askedAtMs: Map<number, number>;
  /** Since when a piece of it is awaited. */
  awaitedSinceMs: number;
  /** Since when it has said "busy" and sent no piece. */
  busySinceMs: number | undefined;
}

export class HolderPool {
  readonly #deps: HolderPoolDeps;
  readonly #stallTimeoutMs: number;
  readonly #holders = new Map<Channel, Held>();
  #nextKey: HolderKey = 1;
  #waitsForRate = false;
  #waitsForDisk = false;
  #hashingCount = 0;

  constructor(deps: HolderPoolDeps, config: { stallTimeoutMs: number }) {
    this.#deps = deps;
    this.#stallTimeoutMs = config.stallTimeoutMs;
  }

  /** Holders that have joined. */
  get count(): number {
    return this.#holders.size;
  }

  /** True when some holder owes a piece. */
  get isAwaiting(): boolean {
    for (const held of this.#holders.values()) if (held.askedAtMs.size > 0) return true;
    return false;
  }

  onJoined(channel: Channel): void {
    let held = this.#holders.get(channel);
    if (held === undefined) {
      held = {
        key: this.#nextKey,
        channel,
        askedAtMs: new Map(),
        awaitedSinceMs: this.#deps.nowMs(),
        busySinceMs: undefined,
      };
      this.#nextKey += 1;
      this.#holders.set(channel, held);
      this.#deps.scheduler.addHolder(held.key, this.#deps.isFar(channel.link.peerId), this.#deps.nowMs());
    }
    if (channel.remoteHasAny) this.#learn(held, this.#allPieces());
    this.#shareOut();
    this.fill();
  }

  onHave(channel: Channel, pieces: Iterable<number>): void {
    const held = this.#holders.get(channel);
    if (held === undefined) return;
    this.#learn(held, pieces);
    this.#fill(held);
  }

  onHashes(pieces: readonly number[]): void {
    for (const held of this.#holders.values()) this.#learn(held, pieces);
    this.fill();
  }

  onRefused(channel: Channel, reason: number, pieces: readonly number[]): void {
    const held = this.#holders.get(channel);
    if (held === undefined) return;
    for (const piece of pieces) {
      held.askedAtMs.delete(piece);
      if (reason === REFUSAL.absent) this.#deps.scheduler.setHasNot(held.key, piece);
      else this.#deps.scheduler.release(held.key, piece);
    }
    if (reason === REFUSAL.busy) {
      const nowMs = this.#deps.nowMs();
      channel.pace.onBusy(nowMs, BUSY_PAUSE_MS);
      held.busySinceMs ??= nowMs;
    }
    this.fill();
  }

  onLeft(channel: Channel): void {
    const held = this.#holders.get(channel);
    if (held === undefined) return;
    this.#holders.delete(channel);
    this.#deps.scheduler.removeHolder(held.key);
    this.#shareOut();
    this.fill();
  }

  /** A piece came in whole: it is checked here. Until that is done it counts as asked for. */
  onPiece(channel: Channel, piece: number, bytes: Buffer): void {
    const held = this.#holders.get(channel);
    if (held === undefined) return;
    held.askedAtMs.delete(piece);
    held.awaitedSinceMs = this.#deps.nowMs();
    this.#hashingCount += 1;
    this.#fill(held);
    void this.#deps.hashPiece(bytes).then((actual) => {
      this.#hashingCount -= 1;
      this.#onHashed(held, piece, bytes, actual);
    });
  }

  /** A verified piece was kept. */
  onKept(): void {
    if (!this.#waitsForDisk || this.#isDiskBehind) return;
    this.#waitsForDisk = false;
    this.fill();
  }

  #onHashed(held: Held, piece: number, bytes: Buffer, actual: Buffer): void {
    const { exchange, scheduler } = this.#deps;
    const expected = exchange.map?.hash(piece);
    if (expected?.equals(actual) !== true) {
      scheduler.setHasNot(held.key, piece);
      if (expected !== undefined) this.#onWrong(held.channel, piece);
      return;
    }
    held.busySinceMs = undefined;
    this.settle(piece, held.key);
    this.#deps.onPiece(piece, bytes, actual, held.channel.link.peerId);
  }

  #onWrong(channel: Channel, piece: number): void {
    this.#deps.onLie(channel.link.peerId, piece, !channel.isDisputing);
    if (!this.#holders.has(channel)) return;
    this.#deps.exchange.leave(channel, 'failed');
    this.onLeft(channel);
  }

  /** A piece is here; whoever else was asked for it need not send it. */
  settle(piece: number, from?: HolderKey): void {
    for (const key of this.#deps.scheduler.settle(piece)) {
      if (key === from) continue;
      for (const held of this.#holders.values()) {
        if (held.key !== key) continue;
        held.askedAtMs.delete(piece);
        this.#deps.exchange.cancel(held.channel, [piece]);
      }
    }
  }

  /** Keeps all holders busy. */
  fill(): void {
    for (const held of this.#holders.values()) this.#fill(held);
  }

  /** To be called a few times a second: gives up who stalls, asks twice for what is late. */
  tick(): void {
    const nowMs = this.#deps.nowMs();
    for (const held of [...this.#holders.values()]) {
      const waitedMs = this.#waitedInVainMs(held, nowMs);
      if (waitedMs === 0) continue;
      this.#deps.onStall(held.channel.link.peerId, waitedMs);
      this.#deps.exchange.leave(held.channel, 'failed');
      this.onLeft(held.channel);
    }
    this.#askLateTwice(nowMs);
    this.fill();
  }

  /** For how long a holder kept this node waiting, when that is too long; else 0. */
  #waitedInVainMs(held: Held, nowMs: number): number {
    const stallMs = this.#stallTimeoutMs;
    if (held.channel.pace.isStalled(nowMs, held.askedAtMs.size, stallMs)) return stallMs;
    const busyMs = held.channel.pace.isBusy(nowMs) ? nowMs - (held.busySinceMs ?? nowMs) : 0;
    if (busyMs > stallMs * BUSY_STALLS) return busyMs;
    const slowMs = held.askedAtMs.size > 0 ? nowMs - held.awaitedSinceMs : 0;
    return slowMs > stallMs * SLOW_STALLS ? slowMs : 0;
  }

  /** Pieces that this holder claims and whose hash is known can be asked of it. */
  #learn(held: Held, pieces: Iterable<number>): void {
    const { exchange, scheduler } = this.#deps;
    const { map } = exchange;
    if (map === undefined) return;
    const { channel } = held;
    const isAskable = (piece: number): boolean => channel.remoteHas(piece) && map.hash(piece) !== undefined;
    scheduler.setHasSome(held.key, pieces, isAskable, this.#deps.nowMs());
  }

  #shareOut(): void {
    const lacking = [...this.#holders.keys()].filter((channel) => !channel.remoteComplete);
    this.#deps.shares.setOthers(lacking.map(({ link }) => link.peerId));
  }

  #allPieces(): Iterable<number> {
    return Array.from({ length: this.#deps.geometry.pieceCount }, (_, piece) => piece);
  }

  /** Whether all who take part have everything: then order counts more than spreading. */
  get #inOrder(): boolean {
    for (const held of this.#holders.values()) if (!held.channel.remoteComplete) return false;
    return true;
  }

  /** How many more pieces may be asked of all holders together. */
  get #room(): number {
    const most = this.#deps.maxAsked();
    if (most === Infinity) return Infinity;
    let count = 0;
    for (const held of this.#holders.values()) count += held.askedAtMs.size;
    return Math.max(0, most - count);
  }

  get #isDiskBehind(): boolean {
    const unkeptCount = this.#hashingCount + this.#deps.unkeptCount();
    return unkeptCount * this.#deps.geometry.pieceSizeBytes >= MAX_UNKEPT_BYTES;
  }

  #fill(held: Held): void {
    const { scheduler, geometry, downloadRate } = this.#deps;
    const nowMs = this.#deps.nowMs();
    const { pace } = held.channel;
    if (pace.isBusy(nowMs) || this.#waitsForRate) return;
    if (this.#isDiskBehind) {
      this.#waitsForDisk = true;
      return;
    }
    const paceWindow = pace.windowPieces(geometry.pieceSizeBytes, this.#holders.size);
    // Mostly it has enough to send: nothing else is looked at then.
    if (held.askedAtMs.size >= paceWindow) return;
    const wasIdle = held.askedAtMs.size === 0;
    const inOrder = this.#inOrder;
    const asked: number[] = [];
    const room = this.#room;
    const window = Math.min(paceWindow, held.askedAtMs.size + room);
    while (held.askedAtMs.size < window) {
      if (!downloadRate.isOpen) {
        this.#pauseForRate();
        break;
      }
      const piece = scheduler.next(held.key, inOrder, nowMs);
      if (piece === undefined) break;
      downloadRate.spend(geometry.pieceSizeBytes);
      held.askedAtMs.set(piece, nowMs);
      asked.push(piece);
    }
    if (asked.length === 0) return;
    if (wasIdle) held.awaitedSinceMs = nowMs;
    pace.onAsked(nowMs, wasIdle);
    this.#deps.exchange.ask(held.channel, asked);
  }

  #pauseForRate(): void {
    this.#waitsForRate = true;
    this.#deps.downloadRate.whenAllowed(() => {
      this.#waitsForRate = false;
      this.fill();
    });
  }

  #askLateTwice(nowMs: number): void {
    const { scheduler, geometry } = this.#deps;
    const late: number[] = [];
    for (const held of this.#holders.values()) {
      const { pace } = held.channel;
      const expectedMs = pace.expectedMs(held.askedAtMs.size, geometry.pieceSizeBytes);
      const lateMs = Math.min(MAX_LATE_MS, Math.max(MIN_LATE_MS, LATE_FACTOR * expectedMs));
      for (const [piece, askedAtMs] of held.askedAtMs) if (nowMs - askedAtMs > lateMs) late.push(piece);
    }
    if (late.length === 0) return;
    late.sort((a, b) => a - b);
    for (const held of this.#holders.values()) {
      const room = held.channel.pace.windowPieces(geometry.pieceSizeBytes, this.#holders.size) - held.askedAtMs.size;
      if (room <= 0 || held.channel.pace.isBusy(nowMs)) continue;
      const asked: number[] = [];
      for (const piece of late) {
        if (asked.length >= room) break;
        if (scheduler.duplicate(held.key, piece)) asked.push(piece);
      }
      if (asked.length > 0 && held.askedAtMs.size === 0) {
        held.awaitedSinceMs = nowMs;
        held.channel.pace.onAsked(nowMs, true);
      }
      for (const piece of asked) held.askedAtMs.set(piece, nowMs);
      this.#deps.exchange.ask(held.channel, asked);
    }
  }
}
