/**
 * The `map` file of a partial blob: what it is to become, and the hashes of its pieces.
 *
 *   offset   bytes   what
 *   0        8       magic "DKYDMAP" and the format version, 1
 *   8        8       size of the blob in bytes, big-endian
 *   16       4       size of a piece in bytes, big-endian
 *   20       4       length of the digest's text
 *   24       135     the digest's text, padded with zeros
 *   224      32      SHA-256 of the 224 bytes before: a torn header is told from a whole one
 *   256      32 × n  the SHA-256 of each piece; all zero where it is not known
 *
 * A piece is held if and only if the SHA-256 of its bytes in `data` is its entry here. Nothing else has to be true after
 * a crash, so no step of writing a piece has to wait for the disk.
 */
import { hash } from 'node:crypto';
import { isDigest, type Digest } from '../oci/digest.ts';
import { PIECE_HASH_BYTES, pieceGeometry, type PieceGeometry } from './geometry.ts';

export const MAP_HEADER_BYTES = 256;
const CHECKED_BYTES = 224;
const MAGIC = Buffer.from('DKYDMAP\x01', 'latin1');
const DIGEST_OFFSET = 24;
const ZERO_HASH = Buffer.alloc(PIECE_HASH_BYTES);

/** What the header of a map says. */
export interface MapHeader {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
}

/** The header of a new map: 256 bytes. */
export function encodeMapHeader(header: MapHeader): Buffer {
  const bytes = Buffer.alloc(MAP_HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeBigUInt64BE(BigInt(header.geometry.sizeBytes), 8);
  bytes.writeUInt32BE(header.geometry.pieceSizeBytes, 16);
  bytes.writeUInt32BE(header.digest.length, 20);
  bytes.write(header.digest, DIGEST_OFFSET, 'latin1');
  hash('sha256', bytes.subarray(0, CHECKED_BYTES), 'buffer').copy(bytes, CHECKED_BYTES);
  return bytes;
}

/** Reads a header; `undefined` when it is torn, of another version, or cut into pieces of another size than today's. */
export function parseMapHeader(bytes: Uint8Array): MapHeader | undefined {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.length < MAP_HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const checksum = hash('sha256', header.subarray(0, CHECKED_BYTES), 'buffer');
  if (!checksum.equals(header.subarray(CHECKED_BYTES, MAP_HEADER_BYTES))) return undefined;
  const digest = header.toString(
    'latin1',
    DIGEST_OFFSET,
    DIGEST_OFFSET + Math.min(header.readUInt32BE(20), CHECKED_BYTES - DIGEST_OFFSET),
  );
  const sizeBytes = Number(header.readBigUInt64BE(8));
  if (!isDigest(digest) || !Number.isSafeInteger(sizeBytes)) return undefined;
  const geometry = pieceGeometry(sizeBytes);
  return geometry.pieceSizeBytes === header.readUInt32BE(16) ? { digest, geometry } : undefined;
}

/** Length of a whole map file. */
export function mapFileBytes(geometry: PieceGeometry): number {
  return MAP_HEADER_BYTES + geometry.pieceCount * PIECE_HASH_BYTES;
}

/** The entry of a piece in the body of a map, or `undefined` while it is not known. The answer shares memory with `body`. */
export function mapEntry(body: Buffer, index: number): Buffer | undefined {
  const entry = body.subarray(index * PIECE_HASH_BYTES, (index + 1) * PIECE_HASH_BYTES);
  return entry.length < PIECE_HASH_BYTES || entry.equals(ZERO_HASH) ? undefined : entry;
}
