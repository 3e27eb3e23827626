/** A torrent that the engine takes part in, and how trackers are told of it. */
import type { StartState, TorrentProgress } from './engine-protocol.ts';
import type { Metainfo } from './metainfo.ts';
import type { TorrentStorage, WritableTorrentStorage } from './storage.ts';
import type { AnnouncedTorrent } from './tracker-session.ts';

/** How fast, and how far. */
export interface DownloadProgress {
  /** Verified bytes and bytes of pieces that are under way. */
  readonly heldBytes: number;
  readonly sizeBytes: number;
  readonly downloadBytesPerSecond: number;
  readonly uploadBytesPerSecond: number;
  readonly peers: number;
}

/** What the engine knows of one torrent. */
export interface Entry {
  readonly id: number;
  readonly metainfo: Metainfo;
  readonly storage: TorrentStorage | WritableTorrentStorage;
  readonly peers: readonly string[];
  start: StartState;
  progress: TorrentProgress | undefined;
  /** Of a download that is under way. */
  readonly download: PromiseWithResolvers<void> | undefined;
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  isClosed: boolean;
}

/** How its trackers are told of a torrent, as it stands whenever they are. */
export function announcedEntry(
  entry: Entry,
  hearing: Pick<AnnouncedTorrent, 'onPeers' | 'onWarning'>,
): AnnouncedTorrent {
  const { infoHash, sizeBytes } = entry.metainfo.info;
  const startBytes = entry.start === 'complete' ? sizeBytes : 0;
  const counts: AnnouncedTorrent['counts'] = () => {
    const { heldBytes = startBytes, sentBytes = 0, receivedBytes = 0 } = entry.progress ?? {};
    const leftBytes = entry.start === 'complete' ? 0 : Math.max(0, sizeBytes - heldBytes);
    return { leftBytes, sentBytes, receivedBytes };
  };
  return { infoHash, trackers: entry.metainfo.trackerTiers.flat(), counts, ...hearing };
}
