/** What this project uses of bittorrent-tracker 11, which brings no types. */
declare module 'bittorrent-tracker/server' {
  import type { Socket } from 'node:dgram';
  import type { EventEmitter } from 'node:events';
  import type { Server as HttpServer } from 'node:http';

  /** Parameters of a request, read and checked. */
  export interface RequestParams {
    readonly type: 'http' | 'udp';
    readonly action: number;
  }

  export interface TrackerOptions {
    /** Announce interval, told to clients: ms. */
    readonly interval: number;
    readonly trustProxy: boolean;
    readonly http: boolean;
    readonly udp: boolean;
    readonly ws: boolean;
    readonly stats: boolean;
    /** Peers kept of one torrent. */
    readonly peersCacheLength: number;
    /** How long a peer is kept after its last announce: ms. */
    readonly peersCacheTtl: number;
    /** Calls back with an error to refuse an announce; the error's text is told to the client. */
    readonly filter: (infoHash: string, params: RequestParams, callback: (error?: Error) => void) => void;
  }

  /** An LRU cache by `host:port`. */
  export interface PeerCache {
    readonly keys: readonly string[];
    /** Drops the entry when its time is over. */
    peek(key: string): unknown;
  }

  export interface TrackedSwarm {
    readonly complete: number;
    readonly incomplete: number;
    readonly peers: PeerCache;
  }

  export default class Server extends EventEmitter {
    constructor(options: Partial<TrackerOptions>);
    readonly torrents: Record<string, TrackedSwarm>;
    readonly http: HttpServer;
    udp4: Socket | null;
    udp6: Socket | null;
    onUdpRequest(message: Buffer, from: { address: string; port: number; family: string }): void;
    close(callback: () => void): void;
  }
}
