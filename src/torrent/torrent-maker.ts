/** Makes torrents of what is held, by hashing it once. */
import { torrentError } from './errors.ts';
import { torrentName, type LayoutFile } from './image-layout.ts';
import type { ReadableBlobs } from './layout-storage.ts';
import { makeTorrent, type SourceFile } from './make-torrent.ts';
import type { TorrentInfo } from './metainfo.ts';
import type { TorrentSubject } from './torrent-records.ts';

export interface TorrentMakerDeps {
  readonly blobs: ReadableBlobs;
  /** Tells that memory of a chunk may serve again. */
  readonly recycle: (chunk: Uint8Array) => void;
}

/** One after the other: hashing two at once would take both twice as long, and all processors. */
export class TorrentMaker {
  readonly #deps: TorrentMakerDeps;
  readonly #signal: AbortSignal;
  #hashing: Promise<unknown> = Promise.resolve();

  /** @param signal ends what is being made */
  constructor(deps: TorrentMakerDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** @throws {DockyardError} ERR_TORRENT_FAILED when a blob is not held, ERR_METAINFO_EMPTY; or the abort */
  async make(subject: TorrentSubject, files: readonly LayoutFile[]): Promise<TorrentInfo> {
    const making = this.#makeAfter(this.#hashing, subject, files);
    this.#hashing = making;
    return await making;
  }

  async #makeAfter(
    before: Promise<unknown>,
    subject: TorrentSubject,
    files: readonly LayoutFile[],
  ): Promise<TorrentInfo> {
    await Promise.allSettled([before]);
    const name = torrentName(subject.digest);
    const sources = files.map((file) => this.#sourceOf(file));
    return await makeTorrent({ name, files: sources, isSingleFile: subject.kind === 'blob' }, { signal: this.#signal });
  }

  #sourceOf(file: LayoutFile): SourceFile {
    const { blobs, recycle } = this.#deps;
    const { path, sizeBytes, digest, bytes } = file;
    const read = async function* ({ signal }: { signal?: AbortSignal | undefined }): AsyncGenerator<Uint8Array> {
      if (digest === undefined) {
        yield bytes;
        return;
      }
      const blob = await blobs.open(digest);
      if (blob === undefined) throw torrentError('ERR_TORRENT_FAILED', `${digest} is not held, and cannot be shared`);
      try {
        for await (const chunk of blob.stream({ start: 0, end: sizeBytes }, { signal })) {
          yield chunk;
          recycle(chunk);
        }
      } finally {
        await blob.close();
      }
    };
    return { path, sizeBytes, read };
  }
}
