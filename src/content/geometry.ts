/**
 * How a blob is cut into pieces. The piece is the unit that is verified, kept and shared, so its size is the time that a
 * byte waits at every hop: small enough that a pipeline of hosts stays short against the whole, large enough that the
 * bookkeeping stays small. All nodes must agree, so the size follows from the blob's length alone.
 */
import type { ByteRange } from '../oci/byte-range.ts';

export const MIN_PIECE_SIZE_BYTES = 64 * 1024;
export const MAX_PIECE_SIZE_BYTES = 256 * 1024;

/** A blob is cut into about this many pieces, within the two limits above. */
const TARGET_PIECE_COUNT = 800;

/** Bytes of a piece hash: SHA-256. */
export const PIECE_HASH_BYTES = 32;

/** A blob's length and how it is cut. The last piece may be shorter; an empty blob has no piece. */
export interface PieceGeometry {
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  readonly pieceCount: number;
}

/** The one geometry of a blob of `sizeBytes` bytes. */
export function pieceGeometry(sizeBytes: number): PieceGeometry {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new RangeError(`a blob cannot have ${sizeBytes} bytes`);
  let pieceSizeBytes = MIN_PIECE_SIZE_BYTES;
  while (pieceSizeBytes < MAX_PIECE_SIZE_BYTES && pieceSizeBytes * TARGET_PIECE_COUNT < sizeBytes) pieceSizeBytes *= 2;
  return { sizeBytes, pieceSizeBytes, pieceCount: Math.ceil(sizeBytes / pieceSizeBytes) };
}

/** Where piece `index` lies in the blob. */
export function pieceRange(geometry: PieceGeometry, index: number): ByteRange {
  if (!Number.isInteger(index) || index < 0 || index >= geometry.pieceCount) {
    throw new RangeError(`there is no piece ${index} among ${geometry.pieceCount}`);
  }
  const start = index * geometry.pieceSizeBytes;
  return { start, end: Math.min(start + geometry.pieceSizeBytes, geometry.sizeBytes) };
}

/** The pieces that a range of bytes touches, from `first` to, and not including, `end`. */
export function piecesCovering(geometry: PieceGeometry, range: ByteRange): { first: number; end: number } {
  if (range.end <= range.start) return { first: 0, end: 0 };
  return {
    first: Math.floor(range.start / geometry.pieceSizeBytes),
    end: Math.ceil(range.end / geometry.pieceSizeBytes),
  };
}
