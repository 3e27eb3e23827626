/** The part of webtorrent 3 that the engine uses. The package brings no types. */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events';
  import type { Server, Socket } from 'node:net';

  /** Where a torrent's pieces are read from and written to. */
  export interface ChunkStore {
    readonly chunkLength: number;
    get(index: number, options: ChunkRange | null, done: (error: Error | null, bytes?: Uint8Array) => void): void;
    put(index: number, bytes: Uint8Array, done: (error?: Error | null) => void): void;
    close(done: (error?: Error | null) => void): void;
    destroy(done: (error?: Error | null) => void): void;
  }

  export interface ChunkRange {
    readonly offset?: number;
    readonly length?: number;
  }

  export interface ClientOptions {
    /** Given to `net.Server.listen`, which takes an address as well. */
    readonly torrentPort: { readonly host: string; readonly port: number };
    readonly dht: boolean;
    readonly lsd: boolean;
    readonly utPex: boolean;
    readonly utp: boolean;
    readonly natUpnp: boolean;
    readonly natPmp: boolean;
    readonly tracker: { readonly wrtc: false };
    readonly maxConns: number;
    readonly uploadLimit: number;
    readonly downloadLimit: number;
    /** 0: plain, 1: encryption offered, 2: encryption required. */
    readonly secure: 0 | 1 | 2;
    readonly userAgent: string;
  }

  export interface TorrentOptions {
    /** For complete content: verified by whoever gives it. */
    readonly skipVerify?: boolean;
    /** What is held; all of it is checked when left out. */
    readonly bitfield?: Uint8Array;
    readonly preloadedStore?: ChunkStore;
    /** The folder of the files, where no store is given. */
    readonly path?: string;
    readonly storeCacheSlots?: number;
    readonly deselect?: boolean;
    readonly announce?: readonly string[];
    readonly strategy?: 'rarest' | 'sequential';
    readonly uploads?: number;
  }

  /** A connection to a peer: a duplex stream of messages. */
  export interface Wire extends EventEmitter {
    readonly type: string;
    readonly remoteAddress?: string;
    readonly remotePort?: number;
    readonly _readableState: { readonly buffered: number };
    /** Counts bytes that came, and says how many come in a second. */
    downloadSpeed: (bytes?: number) => number;
    /** Sends bytes to the peer, and at the end `null`. */
    push(bytes: Uint8Array | null): boolean;
    destroy(): void;
  }

  /** What stands behind a connection. Its event `upload` counts bytes that are sent. */
  export interface Peer extends EventEmitter {
    readonly wire: Wire | null;
    readonly conn: Socket | null;
  }

  export interface Torrent extends EventEmitter {
    readonly infoHash: string;
    readonly torrentFile?: Uint8Array;
    readonly length: number;
    readonly downloaded: number;
    readonly received: number;
    readonly uploaded: number;
    readonly downloadSpeed: number;
    readonly uploadSpeed: number;
    readonly numPeers: number;
    readonly done: boolean;
    /** Asks a peer for more, if less than it may be was asked of it. */
    _updateWire: (wire: Wire) => unknown;
    readonly _peers: ReadonlyMap<string, Peer>;
    addPeer(address: string): boolean;
    destroy(options: { destroyStore: boolean }, done: () => void): void;
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: ClientOptions);
    readonly _connPool: { readonly tcpServer: Server } | null;
    address(): { port: number } | null;
    add(torrent: Uint8Array | string, options: TorrentOptions): Torrent;
    throttleUpload(rate: number): void;
    throttleDownload(rate: number): void;
    destroy(done: () => void): void;
  }
}
