/**
 * Parts of a blob that other nodes read from the origin for the swarm, because one connection alone is too slow. The one who
 * reads the blob as its home leases runs from the far end of what lacks; a leased piece is nobody else's to read until its
 * reader shows it, gives up, leaves, or falls silent. So every byte still leaves the origin about once.
 *
 * The first further reader is this node itself, over a second connection: that tells as well whether it is connections that are
 * slow, and takes nothing from the swarm. A peer that reads takes a part of what this node would have read, and must give it to the
 * others beside all that it gives already; where one connection had all there is, fewer new pieces reach the swarm meanwhile.
 */
import type { PieceGeometry } from '../content/geometry.ts';
import type { Channel } from './channel.ts';
import type { HolderKey, PieceScheduler } from './piece-scheduler.ts';
import type { MissingRun } from './origin-reader.ts';
import { ReaderPlan } from './reader-plan.ts';

/** Leases are cut so that each reader gets about so many of what is left. */
const LEASES_OF_REST = 3;
const MIN_LEASE_BYTES = 1024 * 1024;
const MAX_LEASE_BYTES = 16 * 1024 * 1024;
/** While it is tried whether a further reader is worth while, not more: where it is not, this is read beside the home. */
const MAX_TRIAL_LEASE_BYTES = 2 * 1024 * 1024;
/** A reader that shows nothing new for so long loses its lease. */
const SILENCE_MS = 2000;
/** What was read spreads by itself; what nobody showed for so long after the lease is asked of the one who read it. */
const SPREADING_MS = 1500;
/** One that failed is not asked again for so long. */
const UNFIT_MS = 15_000;

export interface OriginLeasesDeps {
  readonly scheduler: PieceScheduler;
  readonly geometry: PieceGeometry;
  readonly nowMs: () => number;
  /** Peers that take part. */
  readonly channels: () => Iterable<Channel>;
  /** Whether somebody answers for the hash of a piece, so that it was read. */
  readonly isRead: (piece: number) => boolean;
  /** Pieces that a peer read can be asked of it, though it did not show them to this node. */
  readonly onUnshown: (channel: Channel, pieces: readonly number[]) => void;
  /** Asks a peer to read a run; resolves when it has, rejects when it cannot. */
  readonly ask: (channel: Channel, run: MissingRun) => Promise<void>;
  /** Reads a run over a second connection of this node; the same. Absent where it is to have one only. */
  readonly readBeside?: (run: MissingRun) => Promise<void>;
  readonly maxReaders: number;
}

interface Lease {
  readonly key: HolderKey;
  /** Undefined: this node itself. */
  readonly channel: Channel | undefined;
  /** Not shown by anyone yet. */
  readonly pieces: Set<number>;
  progressAtMs: number;
}

export class OriginLeases {
  readonly #deps: OriginLeasesDeps;
  readonly #plan: ReaderPlan;
  readonly #running = new Map<Channel | undefined, Lease>();
  /** Read, and on their way to those who will show them. */
  readonly #spreading = new Set<Lease>();
  readonly #byPiece = new Map<number, Lease>();
  readonly #unfitUntilMs = new WeakMap<Channel, number>();
  /** Below those of holders and of the origin itself. */
  #nextKey: HolderKey = -1;
  /** A second connection of this node: not tried yet, in use, or of no use. */
  #second: 'untried' | 'used' | 'useless' = 'untried';

  constructor(deps: OriginLeasesDeps) {
    this.#deps = deps;
    this.#plan = new ReaderPlan(deps.maxReaders);
  }

  /** Some peer reads for this node. */
  get isActive(): boolean {
    return this.#running.size + this.#spreading.size > 0;
  }

  /** Several readers have proved to be faster than one: the link of each has room for more than what it reads. */
  get areWorthwhile(): boolean {
    return this.#plan.isShared;
  }

  /** A piece is set aside for the second connection of this node, and did not come yet. */
  isBeside(piece: number): boolean {
    const lease = this.#byPiece.get(piece);
    return lease !== undefined && lease.channel === undefined;
  }

  /** This node read a piece from the origin itself. */
  onOwnPiece(piece: number, bytes: number): void {
    const nowMs = this.#deps.nowMs();
    this.#plan.onBytes(bytes, nowMs);
    const lease = this.#byPiece.get(piece);
    if (lease === undefined) return;
    lease.progressAtMs = nowMs;
    this.#free(lease, piece);
  }

  /** Hashes of pieces came: those of a lease were read. */
  onHashes(pieces: readonly number[]): void {
    const nowMs = this.#deps.nowMs();
    for (const piece of pieces) {
      const lease = this.#byPiece.get(piece);
      if (lease === undefined) continue;
      lease.progressAtMs = nowMs;
      this.#plan.onBytes(this.#deps.geometry.pieceSizeBytes, nowMs);
    }
  }

  /** Some peer shows pieces, which can be asked of it now. */
  onHave(pieces: readonly number[]): void {
    for (const piece of pieces) {
      const lease = this.#byPiece.get(piece);
      if (lease !== undefined) this.#free(lease, piece);
    }
  }

  /** A peer is gone, with its lease. */
  onLeft(channel: Channel): void {
    const lease = this.#running.get(channel);
    if (lease !== undefined) this.#fail(lease);
  }

  /** To be called a few times a second while this node reads the origin, or a lease is active. */
  tick(): void {
    const nowMs = this.#deps.nowMs();
    for (const lease of [...this.#running.values()]) {
      if (nowMs - lease.progressAtMs > SILENCE_MS) this.#fail(lease);
    }
    for (const lease of [...this.#spreading]) {
      if (nowMs - lease.progressAtMs > SPREADING_MS) this.#askReader(lease);
    }
    this.#fill();
  }

  #fill(): void {
    const nowMs = this.#deps.nowMs();
    let lacking = this.#plan.target(nowMs) - 1 - this.#running.size;
    if (this.#second === 'used' && !this.#plan.isTrial && !this.#plan.isShared) this.#second = 'useless';
    const mayReadBeside = this.#deps.readBeside !== undefined && this.#second !== 'useless';
    if (lacking > 0 && mayReadBeside && !this.#running.has(undefined)) {
      const run = this.#cut();
      if (run === undefined) return;
      this.#second = 'used';
      this.#begin(undefined, run);
      lacking -= 1;
    }
    for (const channel of this.#deps.channels()) {
      if (lacking <= 0) return;
      const isFit = channel.isJoined && !channel.remoteComplete && (this.#unfitUntilMs.get(channel) ?? 0) <= nowMs;
      if (!isFit || this.#running.has(channel)) continue;
      const run = this.#cut();
      if (run === undefined) return;
      this.#begin(channel, run);
      lacking -= 1;
    }
  }

  /** The far end of the last run that nobody has or was asked for, and that is worth sharing: fragments are left to this node. */
  #cut(): MissingRun | undefined {
    const { scheduler, geometry } = this.#deps;
    const rest = scheduler.lastUnavailableRun(2 * Math.ceil(MIN_LEASE_BYTES / geometry.pieceSizeBytes));
    if (rest === undefined) return undefined;
    const restBytes = rest.count * geometry.pieceSizeBytes;
    const share = restBytes / (LEASES_OF_REST * (this.#running.size + 2));
    const mostBytes = this.#plan.isTrial ? MAX_TRIAL_LEASE_BYTES : MAX_LEASE_BYTES;
    const bytes = Math.min(mostBytes, Math.max(MIN_LEASE_BYTES, share));
    const count = Math.ceil(bytes / geometry.pieceSizeBytes);
    // The one who reads in order is to find something as well.
    return count * 2 > rest.count ? undefined : { first: rest.first + rest.count - count, count };
  }

  #begin(channel: Channel | undefined, run: MissingRun): void {
    const { scheduler, ask, readBeside, nowMs } = this.#deps;
    const lease: Lease = { key: this.#nextKey, channel, pieces: new Set(), progressAtMs: nowMs() };
    this.#nextKey -= 1;
    this.#running.set(channel, lease);
    scheduler.addHolder(lease.key);
    for (let piece = run.first; piece < run.first + run.count; piece += 1) {
      scheduler.reserve(lease.key, piece);
      lease.pieces.add(piece);
      this.#byPiece.set(piece, lease);
    }
    const answer = channel === undefined ? readBeside?.(run) : ask(channel, run);
    answer?.then(
      () => this.#onRead(lease),
      () => this.#fail(lease),
    );
  }

  #onRead(lease: Lease): void {
    if (this.#running.get(lease.channel) !== lease) return;
    this.#running.delete(lease.channel);
    lease.progressAtMs = this.#deps.nowMs();
    this.#spreading.add(lease);
    for (const piece of [...lease.pieces]) if (!this.#deps.isRead(piece)) this.#free(lease, piece);
    if (lease.pieces.size === 0) this.#revoke(lease);
    this.#fill();
  }

  #free(lease: Lease, piece: number): void {
    lease.pieces.delete(piece);
    this.#byPiece.delete(piece);
    this.#deps.scheduler.release(lease.key, piece);
    if (lease.pieces.size === 0 && this.#spreading.has(lease)) this.#revoke(lease);
  }

  #askReader(lease: Lease): void {
    const unshown = [...lease.pieces];
    this.#revoke(lease);
    if (lease.channel !== undefined) this.#deps.onUnshown(lease.channel, unshown);
  }

  #fail(lease: Lease): void {
    if (this.#running.get(lease.channel) !== lease) return;
    const nowMs = this.#deps.nowMs();
    if (lease.channel === undefined) this.#second = 'useless';
    else this.#unfitUntilMs.set(lease.channel, nowMs + UNFIT_MS);
    this.#plan.onLost(nowMs);
    this.#revoke(lease);
  }

  /** What was not shown is free again. */
  #revoke(lease: Lease): void {
    if (this.#running.get(lease.channel) === lease) this.#running.delete(lease.channel);
    this.#spreading.delete(lease);
    for (const piece of lease.pieces) this.#byPiece.delete(piece);
    this.#deps.scheduler.removeHolder(lease.key);
  }
}
