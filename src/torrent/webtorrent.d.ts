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
    readonly dht: false | { readonly bootstrap?: readonly string[] };
    /** UDP; 0 for any. */
    readonly dhtPort?: number;
    readonly lsd: boolean;
    readonly utPex: boolean;
    readonly utp: boolean;
    readonly natUpnp: boolean;
    readonly natPmp: boolean;
    readonly tracker: false | { readonly wrtc: false };
    readonly peerId?: Uint8Array;
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

  /** A connection to a torrent client, after both have said hello. */
  export interface PeerWire extends Wire {
    /** True while the peer's questions are refused. */
    readonly amChoking: boolean;
    /** What the peer asked for, and what is being read for it. */
    readonly peerRequests: readonly { readonly length: number }[];
    /** What is said to the peer beside the names of extensions, when it has said hello. @see BEP 10 */
    readonly extendedHandshake: object;
    /** The extension that gives info dictionaries. @see BEP 9 */
    readonly ut_metadata: { setMetadata(bytes: Uint8Array): Promise<boolean> };
    readonly peerExtendedHandshake: { readonly p?: unknown };
    readonly peerExtendedMapping: { readonly [name: string]: number | undefined };
    _onHave: (index: number) => void;
    _onRequest: (index: number, offset: number, length: number) => void;
    _onCancel: (index: number, offset: number, length: number) => void;
    choke: () => void;
    extended(name: string, message: object): void;
  }

  /** A web seed, which takes the place of a socket. */
  export interface WebConnection extends EventEmitter {
    readonly url: string;
    httpRequest: (
      index: number,
      offset: number,
      length: number,
      done: (error: Error | null, bytes?: Uint8Array) => void,
    ) => void;
  }

  /** What stands behind a connection. Its event `upload` counts bytes that are sent. */
  export interface Peer extends EventEmitter {
    readonly wire: Wire | null;
    readonly conn: Socket | WebConnection | null;
  }

  export interface Torrent extends EventEmitter {
    /** Absent until the torrent was read. */
    readonly infoHash?: string;
    readonly destroyed: boolean;
    readonly private?: boolean;
    /** Announces by multicast and in the DHT, where the client is to. */
    _startDiscovery(): void;
    readonly torrentFile?: Uint8Array;
    readonly length: number;
    readonly downloaded: number;
    readonly received: number;
    readonly uploaded: number;
    readonly downloadSpeed: number;
    readonly uploadSpeed: number;
    readonly numPeers: number;
    readonly done: boolean;
    readonly pieces: { readonly length: number };
    readonly pieceLength: number;
    readonly files: readonly { readonly path: string; readonly length: number; readonly offset: number }[];
    /** Asks a peer for more, if less than it may be was asked of it. */
    _updateWire: (wire: Wire) => unknown;
    readonly _peers: ReadonlyMap<string, Peer>;
    addPeer: (address: string) => boolean;
    destroy(options: { destroyStore: boolean }, done: () => void): void;
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: ClientOptions);
    readonly _connPool: { readonly tcpServer: Server } | null;
    /** Whether torrents that begin are announced by multicast. */
    lsd: boolean;
    address(): { port: number } | null;
    add(torrent: Uint8Array | string, options: TorrentOptions): Torrent;
    throttleUpload(rate: number): void;
    throttleDownload(rate: number): void;
    destroy(done: () => void): void;
  }
}
