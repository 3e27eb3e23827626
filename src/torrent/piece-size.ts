/**
 * How torrents are cut. The piece is what a torrent client verifies and shares on, so small pieces keep a swarm in motion;
 * each costs 20 bytes of the torrent file, so a large torrent has larger ones. The size follows from the length alone:
 * whoever makes the torrent of the same bytes makes the same torrent.
 */

/** Smallest piece of the torrents made here: also a multiple of every piece in which the content store keeps blobs. */
export const MIN_TORRENT_PIECE_BYTES = 256 * 1024;

/** Largest piece of the torrents made here; clients keep a few whole pieces in memory. */
export const MAX_TORRENT_PIECE_BYTES = 16 * 1024 * 1024;

/** A torrent is cut into at most about this many pieces, within the two limits above: 40 KiB of hashes. */
const TARGET_PIECE_COUNT = 2048;

/** The piece size for content of `sizeBytes` bytes: a power of two. */
export function torrentPieceSize(sizeBytes: number): number {
  let pieceSizeBytes = MIN_TORRENT_PIECE_BYTES;
  while (pieceSizeBytes < MAX_TORRENT_PIECE_BYTES && pieceSizeBytes * TARGET_PIECE_COUNT < sizeBytes)
    pieceSizeBytes *= 2;
  return pieceSizeBytes;
}
