/**
 * The hashes that this node lacks of pieces that peers have. Authors tell their statements to all their peers; whoever is not
 * among these asks a peer that has the piece, which must know its hash. To have everybody pass everything on instead costs
 * each node as many messages for a statement as it has peers, of which all but one bring nothing.
 */
import type { Channel } from './channel.ts';
import type { PieceMap } from './piece-map.ts';
import { toRuns, type PieceRun } from './wire.ts';

/** The author's own word may be on its way. */
const PATIENCE_MS = 5;
/** Whoever was asked has so long to answer; doubled with every time, since nobody may know. */
const ANSWER_MS = 500;
const MAX_DOUBLINGS = 6;

export interface HashNeedsDeps {
  /** Undefined while the length of the blob is unknown. */
  readonly map: () => PieceMap | undefined;
  readonly nowMs: () => number;
  /** Asks a peer for statements about these pieces. */
  readonly ask: (channel: Channel, runs: readonly PieceRun[]) => void;
}

interface Asked {
  readonly channel: Channel;
  readonly untilMs: number;
  readonly times: number;
}

export class HashNeeds {
  readonly #deps: HashNeedsDeps;
  /** Peers, and their pieces whose hash is unknown here; who was asked last is last. */
  readonly #lacking = new Map<Channel, Set<number>>();
  readonly #asked = new Map<number, Asked>();
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = Infinity;

  constructor(deps: HashNeedsDeps) {
    this.#deps = deps;
  }

  /** A peer has these pieces. */
  onHas(channel: Channel, pieces: Iterable<number>): void {
    const map = this.#deps.map();
    if (map === undefined) return;
    let lacking = this.#lacking.get(channel);
    for (const piece of pieces) {
      if (map.hash(piece) !== undefined) continue;
      if (lacking === undefined) this.#lacking.set(channel, (lacking = new Set()));
      lacking.add(piece);
    }
    if (lacking !== undefined) this.#wakeAt(this.#deps.nowMs() + PATIENCE_MS);
  }

  /** A peer takes part no more: what it was asked for is asked of others. */
  forget(channel: Channel): void {
    this.#lacking.delete(channel);
    for (const [piece, asked] of this.#asked) if (asked.channel === channel) this.#asked.delete(piece);
    if (this.#lacking.size > 0) this.#wakeAt(this.#deps.nowMs() + PATIENCE_MS);
  }

  /** Nothing more is asked for. */
  close(): void {
    clearTimeout(this.#timer);
    this.#lacking.clear();
    this.#asked.clear();
  }

  #wakeAt(atMs: number): void {
    if (atMs >= this.#dueAtMs) return;
    this.#dueAtMs = atMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#askAll(), atMs - this.#deps.nowMs());
  }

  #askAll(): void {
    this.#dueAtMs = Infinity;
    const nowMs = this.#deps.nowMs();
    for (const [channel, lacking] of [...this.#lacking]) {
      this.#dropKnown(channel, lacking);
      const due = [...lacking].filter((piece) => (this.#asked.get(piece)?.untilMs ?? -Infinity) <= nowMs);
      if (due.length > 0) this.#askOne(channel, lacking, due, nowMs);
    }
    if (this.#lacking.size === 0) {
      this.#asked.clear();
      return;
    }
    let nextMs = Infinity;
    for (const { untilMs } of this.#asked.values()) nextMs = Math.min(nextMs, untilMs);
    this.#wakeAt(Math.max(nextMs, nowMs + PATIENCE_MS));
  }

  #dropKnown(channel: Channel, lacking: Set<number>): void {
    const map = this.#deps.map();
    for (const piece of lacking) {
      if (map?.hash(piece) === undefined) continue;
      lacking.delete(piece);
      this.#asked.delete(piece);
    }
    if (lacking.size === 0) this.#lacking.delete(channel);
  }

  #askOne(channel: Channel, lacking: Set<number>, due: number[], nowMs: number): void {
    for (const piece of due) {
      const times = Math.min((this.#asked.get(piece)?.times ?? 0) + 1, MAX_DOUBLINGS);
      this.#asked.set(piece, { channel, untilMs: nowMs + ANSWER_MS * 2 ** (times - 1), times });
    }
    this.#lacking.delete(channel);
    this.#lacking.set(channel, lacking);
    this.#deps.ask(channel, toRuns(due.sort((a, b) => a - b)));
  }
}
