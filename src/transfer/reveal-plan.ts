/**
 * To whom the reader of an origin tells of a new piece first. If it told all, all would ask it for the same pieces and its
 * link would carry each many times; so each piece is told to one peer, who passes it on, and to the others only when it
 * did not spread by itself (the idea of BEP 16, "superseeding"). Pure.
 *
 * One that did not come out in time is told to one other before it is told to all: told to all, it leaves this link as often
 * as there are peers, and thirty pieces that wait for it are late then.
 */

/** A peer that has shown none of what it was told of for so long does not fetch. */
const IDLE_PEER_MS = 500;
/**
 * So long a piece may wait behind others that the same peer fetches. Much longer than the queue of a link that is merely
 * full: telling all of what waits there makes the queue longer, and so more pieces wait.
 */
const WAITING_PIECE_MS = 5000;
/**
 * A peer that asked, and of which nothing was seen for so long while others came this often to their turn, has stopped. Turns and
 * not time alone, since on slow links a turn takes long.
 */
const STOPPED_PEER_MS = 1200;
const STOPPED_PEER_TURNS = 5;

/** As if a peer that is suspect had been told of so many more. */
const SUSPECT_DEBT = 1e6;
/** So many peers are told of a piece one after the other. */
const MAX_SINGLE_TELLINGS = 2;

/** A piece that a peer was told of and that did not come out in time. */
export interface OverduePiece<Peer> {
  readonly piece: number;
  readonly peer: Peer;
  /** Who is to be told now. */
  readonly next: 'one other' | 'all';
}

interface Debt {
  /** When a piece was told of, oldest first. */
  readonly toldAtMs: Map<number, number>;
  /** Those of them that the peer has asked for. */
  readonly wanted: Set<number>;
  /** When one of them was last seen to have come, or when the peer was told of the first. */
  progressAtMs: number;
  /** How many pieces had been seen at peers then. */
  progressCount: number;
  /** It kept pieces from the others, and has asked for none since. */
  isSuspect: boolean;
}

export class RevealPlan<Peer> {
  readonly #debts = new Map<Peer, Debt>();
  /** To whom a piece was told, while it is not seen at anybody. */
  readonly #chosen = new Map<number, Peer>();
  /** How many were told of a piece that is awaited, where that is more than one. */
  readonly #tellings = new Map<number, number>();
  #nowMs = 0;
  /** Pieces that were seen at peers, and when the last one was. */
  #seenCount = 0;
  #seenAtMs = 0;

  /** Pieces that were told to one peer and not yet seen at anybody. */
  get awaitedCount(): number {
    return this.#chosen.size;
  }

  /** Whether a piece was told to one peer and not yet seen at anybody. */
  isAwaited(piece: number): boolean {
    return this.#chosen.has(piece);
  }

  /**
   * The peer with the fewest pieces that it was told of and has not fetched: the fast ones get more. Those that kept pieces
   * from the others come last.
   */
  choose(piece: number, peers: Iterable<Peer>, nowMs: number): Peer | undefined {
    this.#nowMs = nowMs;
    let best: Peer | undefined;
    let bestOwed = Infinity;
    for (const peer of peers) {
      const debt = this.#debts.get(peer);
      const owed = (debt?.toldAtMs.size ?? 0) + (debt?.isSuspect === true ? SUSPECT_DEBT : 0);
      if (owed >= bestOwed) continue;
      best = peer;
      bestOwed = owed;
    }
    if (best === undefined) return undefined;
    this.#settle(piece);
    this.#chosen.set(piece, best);
    const debt = this.#debts.get(best) ?? {
      toldAtMs: new Map<number, number>(),
      wanted: new Set<number>(),
      progressAtMs: nowMs,
      progressCount: this.#seenCount,
      isSuspect: false,
    };
    if (debt.toldAtMs.size === 0) this.#noteProgress(debt);
    debt.toldAtMs.set(piece, nowMs);
    // Set anew, so that among equals the one chosen last comes last.
    this.#debts.delete(best);
    this.#debts.set(best, debt);
    return best;
  }

  /**
   * A peer has a piece now. Whoever it is: the one that was told has passed it on then, and does not itself tell of a piece
   * to the one that it has it from.
   */
  onHas(_peer: Peer, piece: number): void {
    this.#tellings.delete(piece);
    const debt = this.#settle(piece);
    if (debt === undefined) return;
    this.#seenCount += 1;
    this.#seenAtMs = this.#nowMs;
    this.#noteProgress(debt);
  }

  /** A peer has everything now: nothing is with this node alone any more. */
  onComplete(): void {
    this.#chosen.clear();
    this.#tellings.clear();
    for (const { toldAtMs, wanted } of this.#debts.values()) {
      toldAtMs.clear();
      wanted.clear();
    }
  }

  /** A peer asks for pieces: those that it was told of wait here for their turn from now on, it is not the one that is slow. */
  onWanted(peer: Peer, pieces: readonly number[]): void {
    const debt = this.#debts.get(peer);
    if (debt === undefined) return;
    debt.isSuspect = false;
    for (const piece of pieces) if (debt.toldAtMs.has(piece)) debt.wanted.add(piece);
  }

  /** A peer is gone: what only it was told of must be told to others. */
  remove(peer: Peer): number[] {
    const pieces = [...(this.#debts.get(peer)?.toldAtMs.keys() ?? [])];
    this.#debts.delete(peer);
    for (const piece of pieces) this.#chosen.delete(piece);
    return pieces;
  }

  /** Pieces that did not spread in time, each once for each telling. They are awaited no more until they are told again. */
  overdue(nowMs: number): OverduePiece<Peer>[] {
    this.#nowMs = nowMs;
    const due: OverduePiece<Peer>[] = [];
    for (const [peer, debt] of this.#debts) {
      const isIdle = debt.wanted.size === 0 && nowMs - debt.progressAtMs >= IDLE_PEER_MS;
      const hasStopped = this.#hasStopped(debt, nowMs);
      const patienceMs = isIdle ? IDLE_PEER_MS : hasStopped ? 0 : WAITING_PIECE_MS;
      for (const [piece, atMs] of debt.toldAtMs) {
        if (nowMs - atMs < patienceMs) break;
        debt.isSuspect ||= isIdle || hasStopped;
        due.push({ piece, peer, next: this.#nextTelling(piece) });
      }
    }
    for (const { piece } of due) this.#settle(piece);
    return due;
  }

  #nextTelling(piece: number): OverduePiece<Peer>['next'] {
    const tellings = this.#tellings.get(piece) ?? 1;
    if (tellings < MAX_SINGLE_TELLINGS) {
      this.#tellings.set(piece, tellings + 1);
      return 'one other';
    }
    this.#tellings.delete(piece);
    return 'all';
  }

  #hasStopped(debt: Debt, nowMs: number): boolean {
    if (nowMs - debt.progressAtMs < STOPPED_PEER_MS) return false;
    const turnsOfOthers = (this.#seenCount - debt.progressCount) / Math.max(1, this.#debts.size);
    // Where nothing comes to anybody any more, all may be waiting for this one.
    return turnsOfOthers >= STOPPED_PEER_TURNS || nowMs - this.#seenAtMs >= STOPPED_PEER_MS;
  }

  #noteProgress(debt: Debt): void {
    debt.progressAtMs = this.#nowMs;
    debt.progressCount = this.#seenCount;
  }

  /** A piece is not awaited any more; answers the account of the peer that was told. */
  #settle(piece: number): Debt | undefined {
    const peer = this.#chosen.get(piece);
    if (peer === undefined) return undefined;
    this.#chosen.delete(piece);
    const debt = this.#debts.get(peer);
    debt?.toldAtMs.delete(piece);
    debt?.wanted.delete(piece);
    return debt;
  }
}
