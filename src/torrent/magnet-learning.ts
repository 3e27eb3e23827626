/** Magnet links, of which peers are asked what they are about. */
import { asError } from '../oci/error.ts';
import type { EngineThread } from './engine-thread.ts';
import { torrentError } from './errors.ts';
import { formatMagnetHash, type Magnet } from './magnet.ts';
import type { Metainfo } from './metainfo.ts';
import { parseMetainfo } from './parse-metainfo.ts';
import type { TrackerAnnouncer } from './tracker-announcer.ts';
import type { AnnouncedTorrent } from './tracker-session.ts';

export interface MagnetLearningDeps {
  readonly thread: EngineThread;
  readonly announcer: TrackerAnnouncer | undefined;
  /** What becomes of what trackers say of the torrent with that number. */
  readonly hearing: (id: number) => Pick<AnnouncedTorrent, 'onPeers' | 'onWarning'>;
}

interface Learner extends Pick<PromiseWithResolvers<Metainfo>, 'resolve' | 'reject'> {
  readonly magnet: Magnet;
  readonly peers: readonly string[];
}

/** Before it is known what is there and what is not, something is. */
const UNKNOWN_LEFT_BYTES = 1;

/** Owned by one `TorrentEngine`. */
export class MagnetLearning {
  readonly #deps: MagnetLearningDeps;
  readonly #learning = new Map<number, Learner>();

  constructor(deps: MagnetLearningDeps) {
    this.#deps = deps;
  }

  /** @see TorrentEngine.learn */
  async learn(
    id: number,
    magnet: Magnet,
    { signal, peers = [] }: { signal?: AbortSignal | undefined; peers?: readonly string[] | undefined },
  ): Promise<Metainfo> {
    signal?.throwIfAborted();
    const { thread, announcer } = this.#deps;
    const found = Promise.withResolvers<Metainfo>();
    const learner: Learner = { magnet, peers, ...found };
    this.#learning.set(id, learner);
    const onAbort = (): void => found.reject(asError(signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#ask(id, learner);
    const isAnnounced = this.#announce(id, magnet);
    try {
      return await found.promise;
    } finally {
      if (isAnnounced) announcer?.remove(magnet.infoHash);
      signal?.removeEventListener('abort', onAbort);
      if (this.#learning.delete(id)) thread.post({ kind: 'remove', id });
    }
  }

  /** Has a new thread ask, which knows nothing of what the one before was asked. */
  learnAgain(): void {
    for (const [id, learner] of this.#learning) this.#ask(id, learner);
  }

  /** Peers gave a torrent file. */
  onInfo(id: number, bytes: Uint8Array): void {
    const learner = this.#learning.get(id);
    if (learner === undefined) return;
    this.#learning.delete(id);
    const { magnet } = learner;
    try {
      const { info } = parseMetainfo(bytes);
      if (info.infoHash !== magnet.infoHash)
        throw torrentError('ERR_METAINFO_INVALID', 'peers gave another torrent than the magnet link names');
      const trackerTiers = magnet.trackers.map((url) => [url]);
      learner.resolve({ info, trackerTiers, webSeeds: magnet.webSeeds, comment: undefined });
    } catch (error) {
      learner.reject(error);
    }
  }

  onFailed(id: number, message: string): void {
    const failed = torrentError('ERR_TORRENT_FAILED', `the magnet link came to nothing: ${message}`);
    this.#learning.get(id)?.reject(failed);
  }

  /** Nobody waits any longer. */
  end(reason: Error): void {
    for (const learner of this.#learning.values()) learner.reject(reason);
  }

  #ask(id: number, { magnet, peers }: Learner): void {
    this.#deps.thread.post({ kind: 'learn', id, magnet: formatMagnetHash(magnet), peers });
  }

  #announce(id: number, { infoHash, trackers }: Magnet): boolean {
    const counts = { leftBytes: UNKNOWN_LEFT_BYTES, sentBytes: 0, receivedBytes: 0 };
    const { announcer, hearing } = this.#deps;
    return announcer?.add({ infoHash, trackers, counts: () => counts, ...hearing(id) }) ?? false;
  }
}
