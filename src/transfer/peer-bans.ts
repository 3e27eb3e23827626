/** Which peers are left alone for a time, and who is on the way there. Bounded: the oldest entry goes when there are too many. */
import type { PeerId } from '../swarm/member.ts';

/** Peers remembered, of either kind. */
const MAX_PEERS = 4096;
/** A peer that breaks the protocol so often within the time of a ban is banned: once may be a bug, or another version. */
const MAX_STRIKES = 3;

export interface PeerBansDeps {
  readonly nowMs: () => number;
}

export class PeerBans {
  readonly #nowMs: () => number;
  readonly #banMs: number;
  readonly #untilMs = new Map<PeerId, number>();
  readonly #strikes = new Map<PeerId, { count: number; sinceMs: number }>();

  constructor(deps: PeerBansDeps, config: { banMs: number }) {
    this.#nowMs = deps.nowMs;
    this.#banMs = config.banMs;
  }

  /** Peers that are or were banned and are remembered. */
  get size(): number {
    return this.#untilMs.size;
  }

  /** The peer is left alone from now on for the time of a ban. */
  ban(peerId: PeerId): void {
    this.#untilMs.delete(peerId);
    this.#untilMs.set(peerId, this.#nowMs() + this.#banMs);
    this.#strikes.delete(peerId);
    dropOldest(this.#untilMs);
  }

  isBanned(peerId: PeerId): boolean {
    const untilMs = this.#untilMs.get(peerId);
    if (untilMs === undefined) return false;
    if (untilMs > this.#nowMs()) return true;
    this.#untilMs.delete(peerId);
    return false;
  }

  /** The peer broke the protocol; true when that was once too often, so that it is to be banned. */
  strike(peerId: PeerId): boolean {
    const nowMs = this.#nowMs();
    const known = this.#strikes.get(peerId);
    const isRecent = known !== undefined && nowMs - known.sinceMs < this.#banMs;
    const strikes = isRecent ? { count: known.count + 1, sinceMs: known.sinceMs } : { count: 1, sinceMs: nowMs };
    this.#strikes.set(peerId, strikes);
    dropOldest(this.#strikes);
    return strikes.count >= MAX_STRIKES;
  }
}

function dropOldest(entries: Map<PeerId, unknown>): void {
  if (entries.size <= MAX_PEERS) return;
  const oldest = entries.keys().next().value;
  if (oldest !== undefined) entries.delete(oldest);
}
