/**
 * Which piece to ask of which holder. Pure: it is told what happens and answers what to do; it has no clock and no I/O,
 * and takes its randomness as a function, so the same code runs in nodes, in tests and in simulations.
 *
 * - One holder, or all holders complete: in order, from where readers stand, since order is what clients wait for.
 * - Complete holders, while others gather: what nobody else has, shared out among those who lack it.
 * - Holders that are still gathering: rarest first, so that different nodes carry different pieces to each other;
 *   what a reader waits for goes first only where more than one holder has it, since asking the one source of a piece
 *   for the same pieces as everyone else is what a swarm must not do.
 */
import { Bitfield } from '../content/bitfield.ts';
import { FreshPieces, type PieceStates } from './fresh-pieces.ts';

/** Names a holder within one scheduler. */
export type HolderKey = number;

/** How many missing pieces are compared to find a rare one: near to the rarest, at a bounded cost. */
const RARITY_SAMPLE = 32;
/** How far ahead of a reader pieces count as urgent while the swarm is gathering. */
const URGENT_PIECES_IN_SWARM = 24;

/** A piece that a near holder has is left to near holders for so long. */
const LEFT_TO_NEAR_MS = 2000;

interface Holder {
  /** It stands elsewhere: what near holders have is asked of it only when they do not bring it. */
  readonly isFar: boolean;
  readonly has: Bitfield;
  readonly inFlight: Set<number>;
  /** Pieces that may be asked of it, in no order; those that may not any more are dropped when they are met. */
  readonly candidates: number[];
}

export class PieceScheduler {
  readonly #pieceCount: number;
  readonly #random: () => number;
  readonly #availability: Uint32Array;
  /** Since when a near holder has a missing piece. */
  readonly #nearSinceMs = new Map<number, number>();
  readonly #holders = new Map<HolderKey, Holder>();
  readonly #requests: Map<number, Set<HolderKey>> = new Map();
  /** Missing and desired pieces, in no order; `#slot` finds a piece in it. */
  readonly #missing: number[] = [];
  readonly #slot: Int32Array;
  readonly #readers = new Map<symbol, { next: number; end: number }>();
  readonly #isOwn: (piece: number) => boolean;
  readonly #fresh = new FreshPieces();
  /** Holders that have every piece. */
  #completeCount = 0;

  /** @param isOwn whether a piece falls to this node, among all that lack pieces */
  constructor(pieceCount: number, random: () => number, isOwn: (piece: number) => boolean = () => true) {
    this.#pieceCount = pieceCount;
    this.#random = random;
    this.#isOwn = isOwn;
    this.#availability = new Uint32Array(pieceCount);
    this.#slot = new Int32Array(pieceCount).fill(-1);
  }

  /** Pieces still to be asked for or awaited. */
  get missingCount(): number {
    return this.#missing.length;
  }

  /** A piece is to be fetched. */
  desire(piece: number): void {
    if (this.#slot[piece] !== -1) return;
    this.#slot[piece] = this.#missing.length;
    this.#missing.push(piece);
    this.#fresh.rewind(piece);
    this.#offer(piece);
  }

  /** A piece came, or is not wanted any more. Answers the holders that were asked for it and need not send it. */
  settle(piece: number): HolderKey[] {
    this.#removeMissing(piece);
    this.#nearSinceMs.delete(piece);
    const asked = [...(this.#requests.get(piece) ?? [])];
    this.#requests.delete(piece);
    for (const key of asked) this.#holders.get(key)?.inFlight.delete(piece);
    return asked;
  }

  addHolder(key: HolderKey, isFar = false): void {
    if (this.#holders.has(key)) return;
    this.#holders.set(key, { isFar, has: new Bitfield(this.#pieceCount), inFlight: new Set(), candidates: [] });
  }

  /** A holder has a piece. */
  setHas(key: HolderKey, piece: number, nowMs = 0): void {
    const holder = this.#holders.get(key);
    if (holder?.has.add(piece) !== true) return;
    if (!holder.isFar && !this.#nearSinceMs.has(piece)) this.#nearSinceMs.set(piece, nowMs);
    this.#availability[piece] = (this.#availability[piece] ?? 0) + 1;
    if (this.#isComplete(holder)) this.#completeCount += 1;
    if (this.isMissing(piece)) holder.candidates.push(piece);
  }

  /** A holder has no such piece after all; a request for it is over. */
  setHasNot(key: HolderKey, piece: number): void {
    const holder = this.#holders.get(key);
    const wasComplete = holder !== undefined && this.#isComplete(holder);
    if (holder?.has.delete(piece) === true) {
      if (wasComplete) this.#completeCount -= 1;
      this.#availability[piece] = (this.#availability[piece] ?? 1) - 1;
      this.#fresh.rewind(0);
    }
    this.release(key, piece);
  }

  /** A holder is gone; what it was asked for is free again. */
  removeHolder(key: HolderKey): void {
    const holder = this.#holders.get(key);
    if (holder === undefined) return;
    // Who else is near is not known by piece; those who are show it again, and until then nothing is left to anybody.
    if (!holder.isFar) this.#nearSinceMs.clear();
    for (const piece of [...holder.inFlight]) this.release(key, piece);
    if (this.#isComplete(holder)) this.#completeCount -= 1;
    this.#fresh.rewind(0);
    for (let piece = 0; piece < this.#pieceCount; piece += 1) {
      if (holder.has.has(piece)) this.#availability[piece] = (this.#availability[piece] ?? 1) - 1;
    }
    this.#holders.delete(key);
  }

  /** A request will not be answered. */
  release(key: HolderKey, piece: number): void {
    this.#holders.get(key)?.inFlight.delete(piece);
    const asked = this.#requests.get(piece);
    asked?.delete(key);
    if (asked?.size !== 0) return;
    this.#requests.delete(piece);
    if (this.isMissing(piece)) this.#offer(piece);
  }

  /** Pieces that a holder was asked for and has not sent. */
  inFlight(key: HolderKey): readonly number[] {
    return [...(this.#holders.get(key)?.inFlight ?? [])];
  }

  inFlightCount(key: HolderKey): number {
    return this.#holders.get(key)?.inFlight.size ?? 0;
  }

  holderHas(key: HolderKey, piece: number): boolean {
    return this.#holders.get(key)?.has.has(piece) ?? false;
  }

  availability(piece: number): number {
    return this.#availability[piece] ?? 0;
  }

  isRequested(piece: number): boolean {
    return this.#requests.has(piece);
  }

  isMissing(piece: number): boolean {
    return (this.#slot[piece] ?? -1) !== -1;
  }

  /** Where a reader stands: it waits for `next` and will go on to `end`. */
  setReader(reader: symbol, next: number, end: number): void {
    this.#readers.set(reader, { next, end });
  }

  removeReader(reader: symbol): void {
    this.#readers.delete(reader);
  }

  /** The first missing piece that some reader waits for, or undefined. */
  mostUrgent(): number | undefined {
    for (const reader of this.#readers.values()) {
      if (reader.next < reader.end && this.isMissing(reader.next)) return reader.next;
    }
    return undefined;
  }

  /**
   * The next piece to ask of a holder, marked as asked; undefined when it has nothing that is needed.
   * `inOrder` is the mode for holders that are all complete.
   */
  next(key: HolderKey, inOrder: boolean, nowMs = 0): number | undefined {
    const holder = this.#holders.get(key);
    if (holder === undefined || this.#missing.length === 0) return undefined;
    const isLeft = (piece: number): boolean => holder.isFar && this.#isLeftToNear(piece, nowMs);
    const piece = this.#choose(holder, inOrder, isLeft);
    if (piece !== undefined) this.#markAsked(holder, key, piece);
    return piece;
  }

  /** Asks a second holder for a piece that is late (the endgame, or a slow holder). False when it cannot. */
  duplicate(key: HolderKey, piece: number): boolean {
    const holder = this.#holders.get(key);
    if (holder === undefined || !holder.has.has(piece) || holder.inFlight.has(piece) || !this.isMissing(piece))
      return false;
    this.#markAsked(holder, key, piece);
    return true;
  }

  /** Marks a piece as asked of a holder that is not known to have it: the origin. */
  reserve(key: HolderKey, piece: number): void {
    const holder = this.#holders.get(key);
    if (holder !== undefined && this.isMissing(piece)) this.#markAsked(holder, key, piece);
  }

  /** The first run of missing pieces that no holder has and nobody was asked for, at or after `from`. */
  firstUnavailableRun(from: number, maxCount: number): { first: number; count: number } | undefined {
    let first = from;
    while (first < this.#pieceCount && !this.#isUnavailable(first)) first += 1;
    if (first === this.#pieceCount) return undefined;
    let end = first;
    while (end < this.#pieceCount && end - first < maxCount && this.#isUnavailable(end)) end += 1;
    return { first, count: end - first };
  }

  /** The last run of missing pieces that no holder has and nobody was asked for. */
  lastUnavailableRun(): { first: number; count: number } | undefined {
    let end = this.#pieceCount;
    while (end > 0 && !this.#isUnavailable(end - 1)) end -= 1;
    if (end === 0) return undefined;
    let first = end;
    while (first > 0 && this.#isUnavailable(first - 1)) first -= 1;
    return { first, count: end - first };
  }

  #isUnavailable(piece: number): boolean {
    return this.isMissing(piece) && !this.isRequested(piece) && this.availability(piece) === 0;
  }

  #markAsked(holder: Holder, key: HolderKey, piece: number): void {
    holder.inFlight.add(piece);
    const asked = this.#requests.get(piece);
    if (asked === undefined) this.#requests.set(piece, new Set([key]));
    else asked.add(key);
  }

  #isFree(holder: Holder, piece: number): boolean {
    return this.isMissing(piece) && !this.#requests.has(piece) && holder.has.has(piece);
  }

  /** A near holder has it, and not for so long that near holders must be thought too slow. */
  #isLeftToNear(piece: number, nowMs: number): boolean {
    const sinceMs = this.#nearSinceMs.get(piece);
    return sinceMs !== undefined && nowMs - sinceMs < LEFT_TO_NEAR_MS;
  }

  #isComplete(holder: Holder): boolean {
    return holder.has.count === this.#pieceCount;
  }

  #choose(holder: Holder, inOrder: boolean, isLeft: (piece: number) => boolean): number | undefined {
    if (inOrder) return this.#urgent(holder, inOrder, isLeft) ?? this.#first(holder, isLeft);
    const fresh = this.#isComplete(holder) ? this.#fresh.next(this.#states(holder, isLeft), this.#random) : undefined;
    return fresh ?? this.#urgent(holder, inOrder, isLeft) ?? this.#rare(holder, isLeft);
  }

  #states(holder: Holder, isLeft: (piece: number) => boolean): PieceStates {
    return {
      pieceCount: this.#pieceCount,
      isFresh: (piece) => this.isMissing(piece) && this.availability(piece) === this.#completeCount,
      isFree: (piece) => this.#isFree(holder, piece) && !isLeft(piece),
      isOwn: this.#isOwn,
    };
  }

  #urgent(holder: Holder, inOrder: boolean, isLeft: (piece: number) => boolean): number | undefined {
    for (const reader of this.#readers.values()) {
      const reach = inOrder ? this.#pieceCount : URGENT_PIECES_IN_SWARM;
      const end = Math.min(reader.end, reader.next + reach);
      for (let piece = reader.next; piece < end; piece += 1) {
        if (this.#isFree(holder, piece) && (inOrder || this.availability(piece) > 1) && !isLeft(piece)) return piece;
      }
    }
    return undefined;
  }

  #first(holder: Holder, isLeft: (piece: number) => boolean): number | undefined {
    let first: number | undefined;
    for (const piece of this.#missing) {
      if ((first === undefined || piece < first) && this.#isFree(holder, piece) && !isLeft(piece)) first = piece;
    }
    return first;
  }

  #rare(holder: Holder, isLeft: (piece: number) => boolean): number | undefined {
    const { candidates } = holder;
    let best: number | undefined;
    for (let compared = 0; compared < RARITY_SAMPLE && candidates.length > 0;) {
      const at = Math.floor(this.#random() * candidates.length);
      const piece = candidates[at];
      if (piece === undefined || !this.#isFree(holder, piece)) {
        dropAt(candidates, at);
        continue;
      }
      compared += 1;
      if (isLeft(piece)) continue;
      if (best === undefined || this.availability(piece) < this.availability(best)) best = piece;
      if (compared >= candidates.length) break;
    }
    return best;
  }

  /** A piece may be asked for again: of all who have it. */
  #offer(piece: number): void {
    for (const holder of this.#holders.values()) if (holder.has.has(piece)) holder.candidates.push(piece);
  }

  #removeMissing(piece: number): void {
    const slot = this.#slot[piece] ?? -1;
    if (slot === -1) return;
    const last = this.#missing.pop();
    if (last !== undefined && last !== piece) {
      this.#missing[slot] = last;
      this.#slot[last] = slot;
    }
    this.#slot[piece] = -1;
  }
}

/** Removes an element without keeping the order. */
function dropAt(list: number[], at: number): void {
  const last = list.pop();
  if (last !== undefined && at < list.length) list[at] = last;
}
