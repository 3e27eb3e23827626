/**
 * What the peers of one blob are told of it: which pieces this node has, and what it answers for their hashes. News are gathered
 * for a moment, and nobody is told what it knows. What others answer for is passed on to those who ask.
 */
import type { PeerId } from '../swarm/member.ts';
import type { Link } from '../swarm/link/link.ts';
import { FRAME } from '../swarm/link/frame.ts';
import type { Channel } from './channel.ts';
import type { PieceMap } from './piece-map.ts';
import { encodeStatement, type Statement } from './statement.ts';
import { encodeRuns, toRuns } from './wire.ts';

/** News for all are gathered for so long: each frame costs a peer about as much as a piece. */
const BATCH_MS = 60;
/** The first ones go soon, and those that are for one peer: nobody else can fetch the piece before it has. */
const SOON_MS = 2;

/** How long news may wait for others, in milliseconds. */
export function newsDelayMs(isForOne: boolean, sinceFlushMs: number): number {
  return isForOne ? SOON_MS : Math.max(SOON_MS, BATCH_MS - sinceFlushMs);
}

export interface PeerNewsDeps {
  /** This node's own. */
  readonly peerId: PeerId;
  readonly channels: ReadonlyMap<Link, Channel>;
  /** Undefined while the length of the blob is unknown. */
  readonly map: () => PieceMap | undefined;
  readonly isAuthentic: (statement: Statement) => boolean;
  readonly nowMs: () => number;
}

/** What a peer knows already: it was told, or told it itself. */
interface Told {
  readonly statements: Set<Statement>;
  /** The list that was gone through, and how far. */
  list: readonly Statement[];
  count: number;
}

export class PeerNews {
  readonly #deps: PeerNewsDeps;
  readonly #pending = new Map<Channel, number[]>();
  readonly #told = new Map<Channel, Told>();
  /** Their authors said so over their own links; their signatures were not looked at. */
  readonly #unchecked = new WeakSet<Statement>();
  /** Pieces that are held, and of which at most one peer was told. */
  readonly #hidden = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #flushedAtMs = -Infinity;
  #dueAtMs = Infinity;

  constructor(deps: PeerNewsDeps) {
    this.#deps = deps;
  }

  /** A piece is held, and newcomers are not to see it before all are told. */
  hide(piece: number): void {
    this.#hidden.add(piece);
  }

  /** Pieces that were hidden and never told to all. */
  get hidden(): ReadonlySet<number> {
    return this.#hidden;
  }

  /** What a newcomer is told of the pieces that are held: bits, the first piece first; changed in place. */
  shown(bits: Uint8Array): Uint8Array {
    for (const piece of this.#hidden) bits[piece >> 3] = (bits[piece >> 3] ?? 0) & ~(0x80 >> (piece & 7));
    return bits;
  }

  /** Tells that this node has a piece: to one peer, or to all that lack it. */
  announce(piece: number, only?: Channel): void {
    if (only === undefined) this.#hidden.delete(piece);
    for (const channel of only === undefined ? this.#deps.channels.values() : [only]) {
      if (!channel.isJoined || channel.remoteHas(piece)) continue;
      const pending = this.#pending.get(channel);
      if (pending === undefined) this.#pending.set(channel, [piece]);
      else pending.push(piece);
    }
    if (this.#pending.size === 0) return;
    const nowMs = this.#deps.nowMs();
    const dueAtMs = nowMs + newsDelayMs(only !== undefined, nowMs - this.#flushedAtMs);
    if (dueAtMs >= this.#dueAtMs) return;
    this.#dueAtMs = dueAtMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), dueAtMs - nowMs);
  }

  /** Makes a statement known to all who can use it, at once. */
  publish(statement: Statement): void {
    for (const channel of this.#deps.channels.values()) this.#sendStatement(channel, statement);
  }

  /** Makes all that this node answers for itself known to a peer, at once. */
  sendOwnStatements(channel: Channel): void {
    const statements = this.#deps.map()?.statements ?? [];
    const told = this.#toldTo(channel);
    // Statements are only ever added to a list, or there is a new list.
    const from = told.list === statements ? told.count : 0;
    for (let at = from; at < statements.length; at += 1) {
      const statement = statements[at];
      if (statement !== undefined && statement.author === this.#deps.peerId) this.#sendStatement(channel, statement);
    }
    told.list = statements;
    told.count = statements.length;
  }

  /** Passes a statement on to a peer that asked for it, unless nobody else would believe it. */
  answer(channel: Channel, statement: Statement): void {
    if (channel.remoteId === undefined) return;
    if (this.#unchecked.has(statement)) {
      if (!this.#deps.isAuthentic(statement)) return;
      this.#unchecked.delete(statement);
    }
    this.#toldTo(channel).statements.add(statement);
    channel.link.send(FRAME.hashes, encodeStatement(channel.remoteId, statement));
  }

  /** A statement came from its author, and its signature was not looked at. */
  onUnchecked(statement: Statement): void {
    this.#unchecked.add(statement);
  }

  /** A peer made a statement known itself. */
  onTold(channel: Channel, statement: Statement): void {
    this.#toldTo(channel).statements.add(statement);
  }

  /** Sends what was gathered. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueAtMs = Infinity;
    this.#flushedAtMs = this.#deps.nowMs();
    for (const [channel, pieces] of this.#pending) {
      if (channel.remoteId === undefined || !this.#deps.channels.has(channel.link)) continue;
      const lacking = pieces.filter((piece) => !channel.remoteHas(piece)).sort((a, b) => a - b);
      if (lacking.length > 0) channel.link.send(FRAME.have, encodeRuns(channel.remoteId, toRuns(lacking)));
    }
    this.#pending.clear();
  }

  /** A peer takes part no more. */
  forget(channel: Channel): void {
    this.#pending.delete(channel);
    this.#told.delete(channel);
  }

  /** Nothing more is told. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #toldTo(channel: Channel): Told {
    let told = this.#told.get(channel);
    if (told === undefined) {
      told = { statements: new Set(), list: [], count: 0 };
      this.#told.set(channel, told);
    }
    return told;
  }

  #sendStatement(channel: Channel, statement: Statement): void {
    if (channel.remoteId === undefined || channel.remoteComplete || channel.link.peerId === statement.author) return;
    const { statements } = this.#toldTo(channel);
    if (statements.has(statement)) return;
    statements.add(statement);
    channel.link.send(FRAME.hashes, encodeStatement(channel.remoteId, statement));
  }
}
