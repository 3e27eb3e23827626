/** What this project uses of bittorrent-tracker 11, which brings no types. */
declare module 'bittorrent-tracker/server' {
  import type { EventEmitter } from 'node:events';
  import type { IncomingMessage, Server as HttpServer, ServerOptions } from 'node:http';

  /** Parameters of an announce over HTTP as they stand in its query, those of BEP 3 checked in part. */
  export interface AnnounceParams {
    readonly info_hash: string;
    /** Hexadecimal. */
    readonly peer_id: string;
    readonly port: number;
    readonly left: number;
    readonly numwant: number;
    /** The sender's address. */
    readonly ip: string;
    readonly event: unknown;
    readonly proof?: unknown;
    /** 1 for compact peers, 0 for the long form; with any other, the answer of the swarm is encoded as it is. */
    compact: number;
    readonly httpReq: IncomingMessage;
  }

  /** What answers announces: one torrent's peers to the library. */
  export interface AnnounceSwarm {
    announce(params: AnnounceParams, callback: (error: Error | null, answer?: object) => void): void;
  }

  export interface TrackerOptions {
    /** Announce interval, told to clients: ms. */
    readonly interval: number;
    readonly trustProxy: boolean;
    readonly http: ServerOptions;
    readonly udp: false;
    readonly ws: false;
    readonly stats: false;
  }

  export default class Server extends EventEmitter {
    constructor(options: TrackerOptions);
    readonly http: HttpServer;
    getSwarm(infoHash: string, callback: (error: Error | null, swarm?: AnnounceSwarm) => void): void;
    close(callback: () => void): void;
  }
}
