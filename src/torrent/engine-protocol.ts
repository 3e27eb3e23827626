/** What the engine and its thread say to each other. */

/** How the thread is set up; it is told when it starts. */
export interface EngineSettings {
  readonly host: string;
  readonly port: number;
  readonly maxPeersPerTorrent: number;
  /** Open connections in all, those included whose torrent is not yet known. */
  readonly maxConnections: number;
  /** How long a peer may be silent, or take nothing of what it asked for. */
  readonly peerPatienceMs: number;
  /** 0 for no limit. */
  readonly uploadBytesPerSecond: number;
  readonly downloadBytesPerSecond: number;
  readonly pex: boolean;
  readonly lsd: boolean;
  readonly dht: boolean;
  /** Nodes of the DHT to begin with, `host:port`; those of the public one when there are none. */
  readonly dhtBootstrap: readonly string[];
  readonly encryption: 'off' | 'prefer' | 'require';
  /** 20 bytes: who it is to trackers and peers. */
  readonly peerId: Uint8Array;
}

/** What the thread is started with. */
export interface EngineThreadData {
  readonly settings: EngineSettings;
  /** Where windows are read into, by the side that has the disk. */
  readonly windowMemory: SharedArrayBuffer;
}

/** What is known of the content that a torrent is begun with. */
export type StartState = 'complete' | 'empty' | 'unknown';

/** To the thread. */
export type EngineRequest =
  /** Takes part in a swarm. `id` is chosen by the asker. */
  | {
      readonly kind: 'add';
      readonly id: number;
      readonly metainfo: Uint8Array;
      readonly start: StartState;
      readonly sizeBytes: number;
      readonly pieceSizeBytes: number;
      readonly pieceCount: number;
      /** Addresses to try beside those that trackers give: `host:port`. */
      readonly peers: readonly string[];
    }
  /** Asks peers for the info dictionary of a magnet link. Answer: `info`. */
  | { readonly kind: 'learn'; readonly id: number; readonly magnet: string; readonly peers: readonly string[] }
  /** Addresses that a tracker told. */
  | { readonly kind: 'peers'; readonly id: number; readonly peers: readonly string[] }
  | { readonly kind: 'remove'; readonly id: number }
  | {
      readonly kind: 'limits';
      readonly uploadBytesPerSecond: number;
      readonly downloadBytesPerSecond: number;
    }
  /** The answer to a `read` or `write`. */
  | { readonly kind: 'answer'; readonly askId: number; readonly bytes: Uint8Array | undefined }
  | { readonly kind: 'refusal'; readonly askId: number; readonly message: string }
  | { readonly kind: 'close' };

/** How one torrent stands. */
export interface TorrentProgress {
  readonly id: number;
  /** Verified and received bytes. */
  readonly heldBytes: number;
  /** To peers and from them, of content. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly downloadBytesPerSecond: number;
  readonly uploadBytesPerSecond: number;
  readonly peers: number;
}

/** From the thread. */
export type EngineReport =
  | { readonly kind: 'listening'; readonly port: number }
  /** It could not listen, or something went wrong that ends all torrents. */
  | { readonly kind: 'fault'; readonly message: string; readonly code: string | undefined }
  /** The torrent file as it was put together of what peers told. */
  | { readonly kind: 'info'; readonly id: number; readonly metainfo: Uint8Array }
  | { readonly kind: 'ready'; readonly id: number }
  | { readonly kind: 'done'; readonly id: number }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }
  | { readonly kind: 'removed'; readonly id: number }
  | { readonly kind: 'warning'; readonly id: number; readonly message: string }
  | {
      readonly kind: 'read';
      readonly askId: number;
      readonly id: number;
      readonly start: number;
      readonly end: number;
      /** Where in the window memory the bytes are to lie; else they come with the answer. */
      readonly windowOffsetBytes: number | undefined;
    }
  | {
      readonly kind: 'write';
      readonly askId: number;
      readonly id: number;
      readonly offsetBytes: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: 'progress';
      readonly uploadedBytes: number;
      readonly downloadedBytes: number;
      readonly torrents: readonly TorrentProgress[];
    }
  | { readonly kind: 'closed' };
