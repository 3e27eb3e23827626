/** Keeps the number of connections bounded in a large swarm: those not used for longest are closed. */
import type { Clock } from './clock.ts';
import type { PeerId } from './member.ts';

/** What it needs of a libp2p host. */
export interface TrimmableHost {
  connectedPeers(): PeerId[];
  /** Closes connections to a peer unless something is using them. */
  release(peerId: PeerId, options: { signal: AbortSignal }): Promise<void>;
}

/** Closing takes no longer than this; then the connection is dropped. */
const RELEASE_TIMEOUT_MS = 1_000;

export class ConnectionTrimmer {
  readonly #host: TrimmableHost;
  readonly #clock: Clock;
  readonly #maxConnections: number;
  readonly #usedAtMs = new Map<PeerId, number>();

  constructor(host: TrimmableHost, clock: Clock, maxConnections: number) {
    this.#host = host;
    this.#clock = clock;
    this.#maxConnections = maxConnections;
  }

  /** Notes that a connection to the peer was opened or used. */
  used(peerId: PeerId): void {
    this.#usedAtMs.set(peerId, this.#clock.nowMs());
  }

  /** Closes what is beyond the bound. */
  async trim(options: { signal: AbortSignal }): Promise<void> {
    const connected = this.#host.connectedPeers();
    const known = new Set(connected);
    for (const peerId of this.#usedAtMs.keys()) if (!known.has(peerId)) this.#usedAtMs.delete(peerId);
    const excess = connected.length - this.#maxConnections;
    if (excess <= 0) return;
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(RELEASE_TIMEOUT_MS)]);
    const oldestFirst = connected.toSorted((a, b) => (this.#usedAtMs.get(a) ?? 0) - (this.#usedAtMs.get(b) ?? 0));
    await Promise.all(oldestFirst.slice(0, excess).map((peerId) => this.#host.release(peerId, { signal })));
  }
}
