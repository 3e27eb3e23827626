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
import { FreshPieces, type PieceStates } from './fresh-pieces.ts';
import { lowestPiece, PieceBits } from './piece-bits.ts';
import { RARITY_SAMPLE, RaritySample } from './rarity-sample.ts';

/** Names a holder within one scheduler. */
export type HolderKey = number;

/** So many places of the blob are looked at for a rare piece, before all of it is. */
const SAMPLED_PLACES = 12;
/** Compared at one place: neighbours are often equally rare. */
const SAMPLE_AT_PLACE = 4;
/** How far ahead of a reader pieces count as urgent while the swarm is gathering. */
const URGENT_PIECES_IN_SWARM = 24;

/** A piece that a near holder has is left to near holders for so long. */
const LEFT_TO_NEAR_MS = 2000;

interface Holder {
  /** It stands elsewhere: what near holders have is asked of it only when they do not bring it. */
  readonly isFar: boolean;
  readonly has: PieceBits;
  /** Pieces it was asked for. */
  readonly inFlight: number[];
}

export class PieceScheduler {
  readonly #pieceCount: number;
  readonly #random: () => number;
  /** Holders of each piece. */
  readonly #availability: Uint16Array;
  /** Pieces that some holder has. */
  readonly #available: PieceBits;
  readonly #missing: PieceBits;
  /** Missing pieces that nobody was asked for. */
  readonly #free: PieceBits;
  readonly #holders = new Map<HolderKey, Holder>();
  readonly #requests = new Map<number, HolderKey[]>();
  readonly #readers = new Map<symbol, { next: number; end: number }>();
  readonly #isOwn: (piece: number) => boolean;
  readonly #fresh = new FreshPieces();
  /** Holders that have every piece. */
  #completeCount = 0;
  /** Since when a near holder has a missing piece; kept only while there are far ones. */
  readonly #nearSinceMs = new Map<number, number>();
  #farCount = 0;

  /** @param isOwn whether a piece falls to this node, among all that lack pieces */
  constructor(pieceCount: number, random: () => number, isOwn: (piece: number) => boolean = () => true) {
    this.#pieceCount = pieceCount;
    this.#random = random;
    this.#isOwn = isOwn;
    this.#availability = new Uint16Array(pieceCount);
    this.#available = new PieceBits(pieceCount);
    this.#missing = new PieceBits(pieceCount);
    this.#free = new PieceBits(pieceCount);
  }

  /** Pieces still to be asked for or awaited. */
  get missingCount(): number {
    return this.#missing.count;
  }

  /** A piece is to be fetched. */
  desire(piece: number): void {
    if (!this.#missing.add(piece)) return;
    this.#fresh.rewind(piece);
    if (!this.#requests.has(piece)) this.#free.add(piece);
  }

  /** A piece came, or is not wanted any more. Answers the holders that were asked for it and need not send it. */
  settle(piece: number): readonly HolderKey[] {
    this.#missing.delete(piece);
    this.#free.delete(piece);
    if (this.#farCount > 0) this.#nearSinceMs.delete(piece);
    const asked = this.#requests.get(piece);
    if (asked === undefined) return NOBODY;
    this.#requests.delete(piece);
    for (const key of asked) drop(this.#holders.get(key)?.inFlight, piece);
    return asked;
  }

  addHolder(key: HolderKey, isFar = false, nowMs = 0): void {
    if (this.#holders.has(key)) return;
    if (isFar && this.#farCount === 0) this.#noteNear(nowMs);
    if (isFar) this.#farCount += 1;
    this.#holders.set(key, { isFar, has: new PieceBits(this.#pieceCount), inFlight: [] });
  }

  /** A holder has a piece. */
  setHas(key: HolderKey, piece: number, nowMs = 0): void {
    const holder = this.#holders.get(key);
    if (holder !== undefined) this.#note(holder, piece, nowMs);
  }

  /** A holder has those of some pieces that `isOf` says. */
  setHasSome(key: HolderKey, pieces: Iterable<number>, isOf: (piece: number) => boolean, nowMs: number): void {
    const holder = this.#holders.get(key);
    if (holder === undefined) return;
    for (const piece of pieces) if (isOf(piece)) this.#note(holder, piece, nowMs);
  }

  #note(holder: Holder, piece: number, nowMs: number): void {
    if (!holder.has.add(piece)) return;
    if (this.#farCount > 0 && !holder.isFar && !this.#nearSinceMs.has(piece)) this.#nearSinceMs.set(piece, nowMs);
    const count = this.#availability[piece] ?? 0;
    this.#availability[piece] = count + 1;
    if (count === 0) this.#available.add(piece);
    if (this.#isComplete(holder)) this.#completeCount += 1;
  }

  /** A holder has no such piece after all; a request for it is over. */
  setHasNot(key: HolderKey, piece: number): void {
    const holder = this.#holders.get(key);
    const wasComplete = holder !== undefined && this.#isComplete(holder);
    if (holder?.has.delete(piece) === true) {
      if (wasComplete) this.#completeCount -= 1;
      this.#lose(piece);
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
    else this.#farCount -= 1;
    for (const piece of [...holder.inFlight]) this.release(key, piece);
    if (this.#isComplete(holder)) this.#completeCount -= 1;
    this.#fresh.rewind(0);
    for (const [place, word] of holder.has.words.entries()) {
      for (let rest = word; rest !== 0; rest &= rest - 1) this.#lose(lowestPiece(rest, place));
    }
    this.#holders.delete(key);
  }

  /** A request will not be answered. */
  release(key: HolderKey, piece: number): void {
    drop(this.#holders.get(key)?.inFlight, piece);
    const asked = this.#requests.get(piece);
    if (asked === undefined) return;
    drop(asked, key);
    if (asked.length > 0) return;
    this.#requests.delete(piece);
    if (this.isMissing(piece)) this.#free.add(piece);
  }

  /** How many holders have a piece. */
  availability(piece: number): number {
    return this.#availability[piece] ?? 0;
  }

  isRequested(piece: number): boolean {
    return this.#requests.has(piece);
  }

  isMissing(piece: number): boolean {
    return this.#missing.has(piece);
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
    if (holder === undefined || this.#missing.count === 0) return undefined;
    const isLeft = holder.isFar ? (piece: number): boolean => this.#isLeftToNear(piece, nowMs) : NEVER_LEFT;
    const piece = this.#choose(holder, inOrder, isLeft);
    if (piece !== undefined) this.#markAsked(holder, key, piece);
    return piece;
  }

  /** Asks a second holder for a piece that is late (the endgame, or a slow holder). False when it cannot. */
  duplicate(key: HolderKey, piece: number): boolean {
    const holder = this.#holders.get(key);
    if (holder === undefined || !holder.has.has(piece) || !this.isMissing(piece)) return false;
    if (holder.inFlight.includes(piece)) return false;
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
    const first = this.#firstUnavailable(from);
    if (first === undefined) return undefined;
    let end = first;
    while (end < this.#pieceCount && end - first < maxCount && this.#isUnavailable(end)) end += 1;
    return { first, count: end - first };
  }

  /** The last run of at least so many missing pieces that no holder has and nobody was asked for. */
  lastUnavailableRun(leastCount: number): { first: number; count: number } | undefined {
    let first = this.#pieceCount;
    while (first > 0) {
      const end = first;
      while (first > 0 && this.#isUnavailable(first - 1)) first -= 1;
      if (end - first >= Math.max(1, leastCount)) return { first, count: end - first };
      if (end === first) first -= 1;
    }
    return undefined;
  }

  #firstUnavailable(from: number): number | undefined {
    const free = this.#free.words;
    const available = this.#available.words;
    let mask = -1 << (from & 31);
    for (let place = from >>> 5; place < free.length; place += 1) {
      const word = (free[place] ?? 0) & ~(available[place] ?? 0) & mask;
      if (word !== 0) return lowestPiece(word, place);
      mask = -1;
    }
    return undefined;
  }

  #isUnavailable(piece: number): boolean {
    return this.#free.has(piece) && !this.#available.has(piece);
  }

  /** One holder less has a piece. */
  #lose(piece: number): void {
    const count = (this.#availability[piece] ?? 1) - 1;
    this.#availability[piece] = count;
    if (count === 0) this.#available.delete(piece);
  }

  /** The first far holder comes: what near ones have is left to them from now on. */
  #noteNear(nowMs: number): void {
    this.#nearSinceMs.clear();
    for (const { has } of this.#holders.values()) {
      for (const [place, word] of has.words.entries()) {
        for (let rest = word; rest !== 0; rest &= rest - 1) this.#nearSinceMs.set(lowestPiece(rest, place), nowMs);
      }
    }
  }

  #markAsked(holder: Holder, key: HolderKey, piece: number): void {
    holder.inFlight.push(piece);
    this.#free.delete(piece);
    const asked = this.#requests.get(piece);
    if (asked === undefined) this.#requests.set(piece, [key]);
    else if (!asked.includes(key)) asked.push(key);
  }

  #isFree(holder: Holder, piece: number): boolean {
    return this.#free.has(piece) && holder.has.has(piece);
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
    if (inOrder) return this.#urgent(holder, inOrder, isLeft) ?? this.#first(holder, isLeft, 0, this.#pieceCount);
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
      if (inOrder) {
        const piece = this.#first(holder, isLeft, reader.next, reader.end);
        if (piece !== undefined) return piece;
        continue;
      }
      const end = Math.min(reader.end, reader.next + URGENT_PIECES_IN_SWARM);
      for (let piece = reader.next; piece < end; piece += 1) {
        if (this.#isFree(holder, piece) && this.availability(piece) > 1 && !isLeft(piece)) return piece;
      }
    }
    return undefined;
  }

  /** The first piece to ask of a holder at or after `from`, and before `end`. */
  #first(holder: Holder, isLeft: (piece: number) => boolean, from: number, end: number): number | undefined {
    const has = holder.has.words;
    const free = this.#free.words;
    let mask = -1 << (from & 31);
    for (let place = from >>> 5; place < free.length && place * 32 < end; place += 1) {
      for (let rest = (free[place] ?? 0) & (has[place] ?? 0) & mask; rest !== 0; rest &= rest - 1) {
        const piece = lowestPiece(rest, place);
        if (piece >= end) return undefined;
        if (!isLeft(piece)) return piece;
      }
      mask = -1;
    }
    return undefined;
  }

  /** The rarest of some: at random places, or of all places where there are few to choose from. */
  #rare(holder: Holder, isLeft: (piece: number) => boolean): number | undefined {
    const has = holder.has.words;
    const free = this.#free.words;
    const sample = new RaritySample(this.#availability, isLeft);
    const placeCount = free.length;
    for (let looked = 0; looked < SAMPLED_PLACES && sample.room > 0 && placeCount > 1; looked += 1) {
      const at = this.#random() * placeCount;
      const place = Math.floor(at);
      const word = (free[place] ?? 0) & (has[place] ?? 0);
      if (word !== 0) sample.compare(word, place, Math.floor((at - place) * 32), SAMPLE_AT_PLACE);
    }
    if (sample.room <= RARITY_SAMPLE / 2) return sample.rarest;
    const start = Math.floor(this.#random() * this.#pieceCount);
    for (let passed = 0; passed < placeCount && sample.room > 0; passed += 1) {
      const place = ((start >>> 5) + passed) % placeCount;
      const word = (free[place] ?? 0) & (has[place] ?? 0);
      if (word !== 0) sample.compare(word, place, start & 31, sample.room);
    }
    return sample.rarest;
  }
}

const NOBODY: readonly HolderKey[] = [];
const NEVER_LEFT = (): boolean => false;

/** Removes a number from a short list, if it is there, without keeping the order. */
function drop(list: number[] | undefined, value: number): void {
  if (list === undefined) return;
  const at = list.indexOf(value);
  const last = at === -1 ? undefined : list.pop();
  if (last !== undefined && at < list.length) list[at] = last;
}
