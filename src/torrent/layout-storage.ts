/**
 * A torrent read out of the content store, without a second copy: blobs from where they lie, small files from memory. Blobs
 * are opened for each reading, so that sharing them does not keep the store from making room.
 */
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import { torrentError } from './errors.ts';
import type { LayoutFile } from './image-layout.ts';
import type { TorrentStorage } from './storage.ts';

/** A complete blob that is open for reading. Whoever opens it closes it. */
export interface ReadableBlob {
  read(range: ByteRange): Promise<Uint8Array>;
  stream(range: ByteRange, options?: { signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** Complete blobs by digest, as a content store has them. */
export interface ReadableBlobs {
  open(digest: Digest): Promise<ReadableBlob | undefined>;
}

export interface LayoutStorageDeps {
  readonly blobs: ReadableBlobs;
  /** Told when a blob is no longer there: the torrent cannot be shared any more. */
  readonly onGone: (digest: Digest) => void;
  /** Tells that memory that a blob gave may serve again. */
  readonly recycle: (chunk: Uint8Array) => void;
}

/** Files one behind the other. */
export class LayoutStorage implements TorrentStorage {
  readonly #deps: LayoutStorageDeps;
  readonly #files: readonly { readonly file: LayoutFile; readonly start: number }[];

  constructor(deps: LayoutStorageDeps, files: readonly LayoutFile[]) {
    this.#deps = deps;
    let start = 0;
    this.#files = files.map((file) => {
      const placed = { file, start };
      start += file.sizeBytes;
      return placed;
    });
  }

  async read(range: ByteRange, into?: Uint8Array): Promise<Uint8Array> {
    // Slow on purpose: memory of a pool would be shared with the engine's thread instead of handed over.
    const bytes = into ?? Buffer.allocUnsafeSlow(range.end - range.start);
    for (const { file, start } of this.#files) {
      const from = Math.max(range.start, start);
      const to = Math.min(range.end, start + file.sizeBytes);
      if (from >= to) continue;
      const target = bytes.subarray(from - range.start, to - range.start);
      await this.#readFile(file, { start: from - start, end: to - start }, target);
    }
    return bytes;
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }

  async #readFile(file: LayoutFile, range: ByteRange, into: Uint8Array): Promise<void> {
    if (file.digest === undefined) {
      into.set(file.bytes.subarray(range.start, range.end));
      return;
    }
    const blob = await this.#deps.blobs.open(file.digest);
    if (blob === undefined) {
      this.#deps.onGone(file.digest);
      throw torrentError('ERR_TORRENT_FAILED', `${file.digest} is no longer held`);
    }
    try {
      const bytes = await blob.read(range);
      into.set(bytes);
      this.#deps.recycle(bytes);
    } finally {
      await blob.close();
    }
  }
}
