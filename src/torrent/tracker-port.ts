/** What the engine needs of whoever speaks to trackers for it. */

/** What is told to a tracker. `update` stands for none of the other events. @see BEP 3 */
export interface TorrentAnnounce {
  /** 40 hexadecimal digits. */
  readonly infoHash: string;
  /** 20 bytes. */
  readonly peerId: Uint8Array;
  /** Where torrent clients reach the engine. */
  readonly port: number;
  readonly event: 'started' | 'completed' | 'stopped' | 'update';
  readonly leftBytes: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly wantedPeers: number;
}

/** What a tracker says. */
export type TorrentAnnounceAnswer =
  | { readonly kind: 'answer'; readonly intervalMs: number; readonly peers: readonly string[] }
  /** It works, and does not take this torrent. */
  | { readonly kind: 'refusal'; readonly reason: string; readonly retryAfterMs: number | undefined };

/** Announces to one tracker, once. Peers of the answer are `host:port`. */
export interface TorrentTrackerClient {
  /** @throws {DockyardError} when the tracker cannot be reached or answers with nonsense; the signal's reason */
  announce(url: string, announce: TorrentAnnounce, options: { signal: AbortSignal }): Promise<TorrentAnnounceAnswer>;
}
