/**
 * Blobs that come to a running node by BitTorrent, because somebody on its host asked for it. What was verified by its digest
 * is held from then on: the swarm is told, and the torrent is shared on.
 */
import type { BlobStore } from '../../src/content/blob-store.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { TorrentInfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { blobOfTorrent, PartialStorage } from '../../src/torrent/partial-storage.ts';
import type { DownloadProgress } from '../../src/torrent/engine-entry.ts';
import type { TorrentLibrary } from '../../src/torrent/torrent-library.ts';
import type { TorrentRequest } from '../admin/ports.ts';
import type { TorrentReport } from '../admin/reports.ts';

export interface TorrentIntakeDeps {
  readonly store: BlobStore;
  readonly library: TorrentLibrary;
  /** Tells the swarm that a blob is held. */
  readonly announce: (digest: Digest) => void;
}

/**
 * Fetches the blob that a torrent is of, and tells how it goes. Who stops to listen ends it; verified pieces are kept.
 * @throws {DockyardError} of a torrent file that is none; ERR_TORRENT_UNSUITABLE; ERR_PARTIAL_BUSY while the blob is being
 *   pulled; ERR_STORE_FULL; as the engine's `download`
 */
export async function* takeTorrent(
  { store, library, announce }: TorrentIntakeDeps,
  { torrent, peers }: TorrentRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<TorrentReport> {
  const metainfo = parseMetainfo(torrent);
  const { info } = metainfo;
  const { sizeBytes } = info;
  const digest = blobOfTorrent(info);
  const report = (state: TorrentReport['state'], heldBytes: number, peerCount: number): TorrentReport => ({
    digest,
    state,
    sizeBytes,
    heldBytes,
    peerCount,
  });
  if (store.stat(digest) === undefined) {
    const storage = await openStorage(store, info, digest);
    const told = new Latest<DownloadProgress>();
    const fetching = library
      .fetch({ metainfo, digest, storage }, { signal, peers, onProgress: (progress) => told.put(progress) })
      .finally(() => told.end());
    // It is waited for below, and may fail before.
    fetching.catch(() => undefined);
    for await (const { heldBytes, peers: peerCount } of told)
      yield report('fetching', Math.min(heldBytes, sizeBytes), peerCount);
    await fetching;
    announce(digest);
  }
  yield report('held', sizeBytes, 0);
}

async function openStorage(store: BlobStore, info: TorrentInfo, digest: Digest): Promise<PartialStorage> {
  const partial = await store.openPartial(digest, info.sizeBytes);
  try {
    return new PartialStorage(info, partial, store);
  } catch (error) {
    await partial.close();
    throw error;
  }
}

/** The newest of what comes while nobody looks. */
class Latest<Value> implements AsyncIterable<Value> {
  #value: Value | undefined;
  #isEnded = false;
  #news = Promise.withResolvers<void>();

  put(value: Value): void {
    this.#value = value;
    this.#news.resolve();
  }

  end(): void {
    this.#isEnded = true;
    this.#news.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Value> {
    while (!this.#isEnded) {
      await this.#news.promise;
      this.#news = Promise.withResolvers<void>();
      const value = this.#value;
      this.#value = undefined;
      if (value !== undefined) yield value;
    }
  }
}
