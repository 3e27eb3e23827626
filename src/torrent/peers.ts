/** What the thread does for and about each peer, beside what webtorrent does. */
import type { Socket } from 'node:net';
import type { Peer, PeerWire, Torrent } from 'webtorrent';
import { AnswerQueue, TOLD_QUESTIONS } from './answer-queue.ts';
import { sendFromWindows } from './direct-sending.ts';
import { PeerExchange } from './peer-exchange.ts';
import { PeerWatch } from './peer-watch.ts';
import { readWebSeed } from './web-seed.ts';
import type { WindowCache } from './window-cache.ts';

export interface PeersDeps {
  readonly windows: WindowCache;
  readonly nowMs: () => number;
  /** True when uploads have a limit. */
  readonly isLimited: () => boolean;
  /** Where this side can be called. */
  readonly port: () => number;
}

export interface PeersConfig {
  /** How long a peer may be silent, or take nothing of what it asked for. */
  readonly patienceMs: number;
  /** Whether peers are told of each other. */
  readonly isExchanging: boolean;
}

/** Peers of all torrents. */
export class Peers {
  readonly #deps: PeersDeps;
  readonly #config: PeersConfig;
  readonly #watch: PeerWatch;
  readonly #queues = new Set<AnswerQueue>();
  readonly #exchanges = new Set<PeerExchange>();

  constructor(deps: PeersDeps, config: PeersConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#watch = new PeerWatch(deps.nowMs, config.patienceMs);
  }

  /** Takes a torrent in, from before its first peer comes. `onLeft` is told whom it left and why. */
  enter(torrent: Torrent, onLeft: (address: string, reason: string) => void): void {
    // Whether it is private is known with its info dictionary alone.
    const isTelling = (): boolean =>
      this.#config.isExchanging && torrent.private !== true && torrent.torrentFile !== undefined;
    const exchange = new PeerExchange(this.#deps.nowMs, isTelling);
    this.#exchanges.add(exchange);
    const addPeer = torrent.addPeer.bind(torrent);
    // Webtorrent knows those who called by the port that they called from, and would call them too.
    torrent.addPeer = (address) => !exchange.knows(address) && addPeer(address);
    torrent.once('close', () => this.#exchanges.delete(exchange));
    torrent.on('wire', (wire: PeerWire, address: string = 'a peer') => {
      const peer = torrent._peers.values().find((other) => other.wire === wire);
      if (peer === undefined || peer.conn === null) return;
      if ('httpRequest' in peer.conn) {
        readWebSeed(peer.conn, torrent);
        return;
      }
      leaveLiars(wire, () => torrent.pieces.length);
      exchange.add(wire);
      // Extensions have entered theirs.
      Object.assign(wire.extendedHandshake, { p: this.#deps.port(), reqq: TOLD_QUESTIONS, v: 'Dockyard' });
      this.#meet(peer, wire, peer.conn, (reason) => onLeft(address, reason));
    });
  }

  /** To be called a few times a second. */
  look(): void {
    // An answer that failed leaves room, and no trace of it.
    for (const queue of this.#queues) queue.goOn();
    for (const exchange of this.#exchanges) exchange.tell();
    this.#watch.look();
  }

  #meet(peer: Peer, wire: PeerWire, conn: Socket, onLeft: (reason: string) => void): void {
    const { windows, isLimited } = this.#deps;
    sendFromWindows(peer, windows, isLimited);
    const unsentBytes = (): number => wire._readableState.buffered + conn.writableLength;
    const queue = new AnswerQueue(wire, unsentBytes);
    this.#queues.add(queue);
    conn.on('drain', () => queue.goOn());
    // Through webtorrent's streams things go by and by, and the connection is never full.
    peer.on('upload', () => queue.goOn());
    const look = () => ({
      receivedBytes: conn.bytesRead,
      takenBytes: conn.bytesWritten - conn.writableLength - unwritten(conn),
      unsentBytes: unsentBytes(),
    });
    this.#watch.add(wire, look, () => {
      onLeft('was silent for too long, or took nothing of what it asked for');
      wire.destroy();
    });
    wire.once('close', () => {
      this.#queues.delete(queue);
      this.#watch.forget(wire);
    });
  }
}

/** Webtorrent counts pieces by whatever number a peer gives them: from one of two billion it makes a table as long. */
function leaveLiars(wire: PeerWire, pieceCount: () => number): void {
  const onHave = wire._onHave.bind(wire);
  wire._onHave = (index) => {
    // Of a magnet link it is not yet known how many there are, and nothing is counted.
    if (pieceCount() === 0 || (index >= 0 && index < pieceCount())) onHave(index);
    else wire.destroy();
  };
}

/** Of what was given to the system in one call, it may have taken a part; Node looks there for its own timeouts too. */
function unwritten(conn: Socket & { readonly _handle?: { readonly writeQueueSize?: number } | null }): number {
  return conn._handle?.writeQueueSize ?? 0;
}
