/** A download by torrent whose progress is shown, and which is given up when nothing comes any more. */
import type { Metainfo } from '../../src/torrent/metainfo.ts';
import type { WritableTorrentStorage } from '../../src/torrent/storage.ts';
import type { TorrentEngine } from '../../src/torrent/torrent-engine.ts';
import type { FetchProgress } from './progress.ts';
import { SilenceWatch } from './silence-watch.ts';

/** What is downloaded, and where to. */
export interface WatchedDownload {
  readonly metainfo: Metainfo;
  /** Closed by the engine. */
  readonly storage: WritableTorrentStorage;
  /** Tried beside those that trackers tell: `HOST:PORT`. */
  readonly peers: readonly string[];
  /** Go on seeding when all is there. */
  readonly seed: boolean;
  /** Give up when nothing came for so long; 0 is never. */
  readonly silenceTimeoutMs: number;
  /** Looks at what came, before the storage takes it as complete. */
  readonly check?: () => Promise<void>;
}

/** @throws {DockyardError} ERR_FETCH_STALLED; as `download` of the engine, and as the check */
export async function downloadWatched(
  { engine, progress }: { readonly engine: TorrentEngine; readonly progress: FetchProgress },
  { metainfo, storage, peers, seed, silenceTimeoutMs, check }: WatchedDownload,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<void> {
  const { sizeBytes } = metainfo.info;
  progress.phase = 'fetching';
  progress.peerCount = 0;
  using silence = new SilenceWatch(silenceTimeoutMs, signal);
  const watched: WritableTorrentStorage = {
    isEmpty: storage.isEmpty,
    read: async (range, into) => await storage.read(range, into),
    write: async (offsetBytes, piece) => {
      await storage.write(offsetBytes, piece);
      progress.receivedBytes += piece.length;
      silence.heard();
    },
    complete: async () => {
      progress.phase = 'verifying';
      silence.stop();
      await check?.();
      await storage.complete();
    },
    close: async () => await storage.close(),
  };
  await engine.download(metainfo, watched, {
    signal: silence.signal,
    peers,
    keepSeeding: seed,
    onProgress: ({ heldBytes, peers: peerCount }) => {
      if (heldBytes > progress.doneBytes) silence.heard();
      progress.doneBytes = Math.min(heldBytes, sizeBytes);
      progress.peerCount = peerCount;
    },
  });
  progress.doneBytes = sizeBytes;
  progress.phase = 'done';
}
