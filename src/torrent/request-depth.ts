/**
 * How much is asked of a peer at once. Webtorrent asks for two blocks at first, and later for what came in a second, as its
 * average of five seconds says. A peer that answers twice a second, as transmission does, gives four blocks a second then, and
 * is found to be fast only after a long time. Here a peer is asked for a megabyte at first, and then for what came in the best
 * of the last seconds.
 */
import type { EventEmitter } from 'node:events';

/** Of a peer that has not yet given as much. */
const FIRST_ASKED_BYTES = 1024 * 1024;

const SECOND_MS = 1000;

/** What webtorrent has of a connection. */
export interface AskedWire extends EventEmitter {
  readonly type: string;
  /** Counts bytes that came, and says how many come in a second. */
  downloadSpeed: (bytes?: number) => number;
}

/** What webtorrent has of a torrent. */
export interface AskingTorrent<Wire extends AskedWire> extends EventEmitter {
  /** Asks a peer for more, if less than it may be was asked of it. */
  _updateWire: (wire: Wire) => unknown;
}

/** Changes how much is asked of the peers of a torrent; to be called before the first one comes. */
export function askDeeper<Wire extends AskedWire>(torrent: AskingTorrent<Wire>, nowMs: () => number): void {
  let asking: Wire | undefined;
  const update = torrent._updateWire.bind(torrent);
  torrent._updateWire = (wire) => {
    asking = wire;
    try {
      return update(wire);
    } finally {
      asking = undefined;
    }
  };
  torrent.on('wire', (wire: Wire) => {
    // It asks its server for whole pieces.
    if (wire.type === 'webSeed') return;
    const recent = new RecentRate(nowMs);
    const average = wire.downloadSpeed;
    wire.on('download', (bytes: number) => recent.count(bytes));
    wire.downloadSpeed = (bytes) => {
      const bytesPerSecond = average(bytes);
      // Everything else that is decided by the rate, such as who is left in the end, goes by the average.
      return asking === wire ? Math.max(bytesPerSecond, recent.bytesPerSecond()) : bytesPerSecond;
    };
  });
}

/** What came in the better of this second and the one before it. */
class RecentRate {
  readonly #nowMs: () => number;
  #sinceMs: number;
  #bytes = 0;
  #bytesBefore = 0;
  #allBytes = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
  }

  count(bytes: number): void {
    this.#turn();
    this.#bytes += bytes;
    this.#allBytes += bytes;
  }

  bytesPerSecond(): number {
    this.#turn();
    const best = Math.max(this.#bytes, this.#bytesBefore);
    return this.#allBytes < FIRST_ASKED_BYTES ? Math.max(best, FIRST_ASKED_BYTES) : best;
  }

  #turn(): void {
    const passedMs = this.#nowMs() - this.#sinceMs;
    if (passedMs < SECOND_MS) return;
    this.#bytesBefore = passedMs < 2 * SECOND_MS ? this.#bytes : 0;
    this.#bytes = 0;
    this.#sinceMs = this.#nowMs();
  }
}
