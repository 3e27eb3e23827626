/** Making torrents of content: SHA-1 over everything, read as a stream, with no more than a few chunks in memory. */
import { createHash } from 'node:crypto';
import { torrentError } from './errors.ts';
import { makeTorrentInfo, type TorrentInfo } from './metainfo.ts';
import { torrentPieceSize } from './piece-size.ts';
import { assertApart, assertSafeName, assertSafePath } from './torrent-path.ts';

/** A file that a torrent is made of. */
export interface SourceFile {
  /** As in `TorrentFile`. */
  readonly path: readonly string[];
  readonly sizeBytes: number;
  /** All its bytes in order; exactly `sizeBytes`. What is yielded may be used again when the next is asked for. */
  read(options: { signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array>;
}

/** What to make. */
export interface TorrentSource {
  /** Of the file, or of the folder that all files lie in. */
  readonly name: string;
  readonly files: readonly SourceFile[];
  readonly isSingleFile: boolean;
  readonly isPrivate?: boolean | undefined;
}

/** How it is made. */
export interface MakeTorrentOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after every chunk that was hashed. */
  readonly onHashed?: ((hashedBytes: number, sizeBytes: number) => void) | undefined;
}

/**
 * Reads everything once and makes the info dictionary: the same for the same content and names, wherever it is made.
 * @throws {DockyardError} ERR_METAINFO_EMPTY, ERR_METAINFO_UNSAFE; ERR_TORRENT_FAILED when a file is not as long as was said
 */
export async function makeTorrent(source: TorrentSource, options: MakeTorrentOptions = {}): Promise<TorrentInfo> {
  assertSafeName(source.name);
  for (const file of source.files) assertSafePath(file.path);
  assertApart(source.files.map((file) => file.path));
  const sizeBytes = source.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (sizeBytes === 0) throw torrentError('ERR_METAINFO_EMPTY', `'${source.name}' has no bytes to share`);
  const hasher = new PieceHasher(torrentPieceSize(sizeBytes));
  for (const file of source.files) {
    const before = hasher.hashedBytes;
    for await (const chunk of file.read(options)) {
      options.signal?.throwIfAborted();
      hasher.update(chunk);
      options.onHashed?.(hasher.hashedBytes, sizeBytes);
    }
    if (hasher.hashedBytes - before !== file.sizeBytes)
      throw torrentError('ERR_TORRENT_FAILED', `'${file.path.join('/')}' is not as long as it was said to be`);
  }
  return makeTorrentInfo({ ...source, pieceSizeBytes: hasher.pieceSizeBytes, pieceHashes: hasher.finish() });
}

/** The SHA-1 of every piece of bytes that come in order, in chunks of any size. */
export class PieceHasher {
  readonly pieceSizeBytes: number;
  readonly #hashes: Buffer[] = [];
  #hash = createHash('sha1');
  #hashedBytes = 0;

  constructor(pieceSizeBytes: number) {
    this.pieceSizeBytes = pieceSizeBytes;
  }

  get hashedBytes(): number {
    return this.#hashedBytes;
  }

  /** Adds bytes. */
  update(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      const part = rest.subarray(0, this.pieceSizeBytes - (this.#hashedBytes % this.pieceSizeBytes));
      this.#hash.update(part);
      this.#hashedBytes += part.length;
      rest = rest.subarray(part.length);
      if (this.#hashedBytes % this.pieceSizeBytes === 0) this.#endPiece();
    }
  }

  /** All hashes, one behind the other; the last may be of a shorter piece. To be called once. */
  finish(): Buffer {
    if (this.#hashedBytes % this.pieceSizeBytes !== 0) this.#endPiece();
    return Buffer.concat(this.#hashes);
  }

  #endPiece(): void {
    this.#hashes.push(this.#hash.digest());
    this.#hash = createHash('sha1');
  }
}
