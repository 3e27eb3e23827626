/** A torrent of one blob, downloaded into the content store: what is complete counts as held only if its digest is right. */
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import { torrentError } from './errors.ts';
import { digestOfTorrentName } from './image-layout.ts';
import type { ReadableBlobs } from './layout-storage.ts';
import type { TorrentInfo } from './metainfo.ts';
import type { WritableTorrentStorage } from './storage.ts';

/** A blob that is being gathered, as a content store has it. */
export interface GatheredBlob {
  readonly geometry: { readonly sizeBytes: number; readonly pieceSizeBytes: number };
  readonly held: { readonly count: number; has(index: number): boolean };
  hashPiece(bytes: Uint8Array): Promise<Buffer>;
  writePiece(index: number, bytes: Uint8Array, pieceHash: Uint8Array): Promise<void>;
  read(range: ByteRange): Promise<Uint8Array>;
  complete(): Promise<'complete' | 'mismatch'>;
  discard(): Promise<void>;
  close(): Promise<void>;
}

/** The blob that a torrent is of. @throws {DockyardError} ERR_TORRENT_UNSUITABLE */
export function blobOfTorrent({ name, isSingleFile }: TorrentInfo): Digest {
  const digest = isSingleFile ? digestOfTorrentName(name) : undefined;
  if (digest === undefined) throw torrentError('ERR_TORRENT_UNSUITABLE', `'${name}' is not the torrent of one blob`);
  return digest;
}

export class PartialStorage implements WritableTorrentStorage {
  readonly isEmpty: boolean;
  readonly #digest: Digest;
  readonly #partial: GatheredBlob;
  readonly #blobs: ReadableBlobs;
  #isComplete = false;

  /**
   * @param partial closed by this storage
   * @throws {DockyardError} ERR_TORRENT_UNSUITABLE when the pieces of the torrent are no multiple of those of the store
   */
  constructor(info: TorrentInfo, partial: GatheredBlob, blobs: ReadableBlobs) {
    this.#digest = blobOfTorrent(info);
    if (info.pieceSizeBytes % partial.geometry.pieceSizeBytes !== 0 && info.pieceSizeBytes < info.sizeBytes)
      throw torrentError(
        'ERR_TORRENT_UNSUITABLE',
        `pieces of ${info.pieceSizeBytes} bytes do not fit the ${partial.geometry.pieceSizeBytes} of the store`,
      );
    this.#partial = partial;
    this.#blobs = blobs;
    this.isEmpty = partial.held.count === 0;
  }

  async read(range: ByteRange, into?: Uint8Array): Promise<Uint8Array> {
    if (this.#isComplete) return await this.#readHeld(range, into);
    const { pieceSizeBytes } = this.#partial.geometry;
    for (let index = Math.floor(range.start / pieceSizeBytes); index * pieceSizeBytes < range.end; index += 1)
      if (!this.#partial.held.has(index)) throw torrentError('ERR_TORRENT_FAILED', `piece ${index} is not there yet`);
    return copied(await this.#partial.read(range), into);
  }

  async write(offsetBytes: number, piece: Uint8Array): Promise<void> {
    const { pieceSizeBytes } = this.#partial.geometry;
    for (let start = 0; start < piece.length; start += pieceSizeBytes) {
      const part = piece.subarray(start, start + pieceSizeBytes);
      const index = (offsetBytes + start) / pieceSizeBytes;
      if (this.#partial.held.has(index)) continue;
      await this.#partial.writePiece(index, part, await this.#partial.hashPiece(part));
    }
  }

  async complete(): Promise<void> {
    if ((await this.#partial.complete()) === 'complete') {
      this.#isComplete = true;
      return;
    }
    await this.#partial.discard();
    throw torrentError('ERR_TORRENT_MISMATCH', `what the torrent gave is not ${this.#digest}`);
  }

  async close(): Promise<void> {
    await this.#partial.close();
  }

  async #readHeld(range: ByteRange, into: Uint8Array | undefined): Promise<Uint8Array> {
    const blob = await this.#blobs.open(this.#digest);
    if (blob === undefined) throw torrentError('ERR_TORRENT_FAILED', `${this.#digest} is no longer held`);
    try {
      return copied(await blob.read(range), into);
    } finally {
      await blob.close();
    }
  }
}

/** What the store gives may lie in memory that it uses again. */
function copied(bytes: Uint8Array, into?: Uint8Array): Uint8Array {
  const copy = into ?? Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
