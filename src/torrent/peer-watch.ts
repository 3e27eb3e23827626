/**
 * Peers that hold a connection and do nothing with it are left: they would keep others from it, of which there are but so many.
 */

/** How a connection stands. */
export interface WatchedPeer {
  /** What the peer has said. */
  readonly receivedBytes: number;
  /** What the connection has taken of what is meant for the peer. */
  readonly takenBytes: number;
  /** What it has not taken. */
  readonly unsentBytes: number;
}

interface Watching {
  readonly look: () => WatchedPeer;
  readonly leave: () => void;
  receivedBytes: number;
  heardAtMs: number;
  takenBytes: number;
  tookAtMs: number;
}

/** Watches peers until they are forgotten. */
export class PeerWatch {
  readonly #nowMs: () => number;
  readonly #patienceMs: number;
  readonly #watched = new Map<object, Watching>();

  /** @param patienceMs how long a peer may say nothing, not even that it is there; and how long take nothing of what waits */
  constructor(nowMs: () => number, patienceMs: number) {
    this.#nowMs = nowMs;
    this.#patienceMs = patienceMs;
  }

  /** Watches a peer; `leave` is called once at most. */
  add(peer: object, look: () => WatchedPeer, leave: () => void): void {
    const nowMs = this.#nowMs();
    this.#watched.set(peer, { look, leave, receivedBytes: 0, heardAtMs: nowMs, takenBytes: 0, tookAtMs: nowMs });
  }

  forget(peer: object): void {
    this.#watched.delete(peer);
  }

  /** Leaves those whose time is over; to be called now and then. */
  look(): void {
    const nowMs = this.#nowMs();
    for (const [peer, watching] of this.#watched) {
      const { receivedBytes, takenBytes, unsentBytes } = watching.look();
      if (receivedBytes !== watching.receivedBytes) watching.heardAtMs = nowMs;
      if (takenBytes !== watching.takenBytes || unsentBytes === 0) watching.tookAtMs = nowMs;
      Object.assign(watching, { receivedBytes, takenBytes });
      if (nowMs - Math.min(watching.heardAtMs, watching.tookAtMs) < this.#patienceMs) continue;
      this.#watched.delete(peer);
      watching.leave();
    }
  }
}
