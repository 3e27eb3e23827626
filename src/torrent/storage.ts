/**
 * Where the bytes of a torrent lie: all its files one behind the other. The engine verifies every piece before it is
 * written, and takes what a complete storage gives as right.
 */
import type { ByteRange } from '../oci/byte-range.ts';

/** Content that is read. Whoever opened it closes it. */
export interface TorrentStorage {
  /**
   * Reads a range whole; pieces at most.
   * @param into where to put the bytes, as long as the range; else they lie in memory that is the caller's
   */
  read(range: ByteRange, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Content that is being gathered. */
export interface WritableTorrentStorage extends TorrentStorage {
  /** True when nothing was written before, so that there is nothing to be verified. */
  readonly isEmpty: boolean;
  /** Keeps a verified piece. Resolves when it can be read back. */
  write(offsetBytes: number, piece: Uint8Array): Promise<void>;
  /** Called when all pieces were written; what it does is part of the download. */
  complete(): Promise<void>;
}
