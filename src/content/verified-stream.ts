/**
 * Bytes of a complete blob for a client. A disk may give other bytes than it was given, long after a blob was found right; so
 * each piece is hashed again on its way, and no wrong one goes out. Where the hashes of pieces are not known the whole is hashed,
 * and its end held back until that is right. A file that was found right a while ago, and looks as it did then, is believed:
 * the hash takes as much of a processor as all the rest (docs/decisions/0015-held-blobs-are-verified.md).
 */
import { hash } from 'node:crypto';
import type { ByteRange } from '../oci/byte-range.ts';
import { digestAlgorithm, DigestHasher, type Digest } from '../oci/digest.ts';
import { PIECE_HASH_BYTES, type PieceGeometry } from './geometry.ts';

/**
 * Measured from the page cache, with one read ahead and no hash: 256 KiB 3.0, 512 KiB 3.9, 1 MiB 4.7, 4 MiB 5.3 GB/s. A multiple
 * of every piece size.
 */
const STREAM_CHUNK_BYTES = 1024 * 1024;
/** Chunks being read and hashed while one is sent: with a single one the hash thread would wait for each read. */
const CHUNKS_AHEAD = 2;
/** Up to here the hash is sooner done than the hash thread is told. */
const HASH_AT_ONCE_BYTES = 256 * 1024;
/** For so long a file that was found right is believed: whoever is served again and again costs one hash in this time. */
const BELIEVED_MS = 10 * 60_000;

/** How a file looked when it was found right, and when that was. */
export interface VerifiedMark {
  readonly atMs: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/** True when a file that was found right has not been touched since, and that is not long ago. */
export function isBelieved(before: VerifiedMark | undefined, now: VerifiedMark): boolean {
  if (before === undefined) return false;
  const looksAsBefore = before.size === now.size && before.mtimeMs === now.mtimeMs && before.ctimeMs === now.ctimeMs;
  return looksAsBefore && now.atMs >= before.atMs && now.atMs - before.atMs < BELIEVED_MS;
}

export interface VerifiedStreamDeps {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  /** Reads so many bytes; their owner is who gets them. */
  readonly readAt: (position: number, length: number) => Promise<Buffer>;
  /** The SHA-256 of a piece, off the main thread. */
  readonly hashPiece: (bytes: Uint8Array) => Promise<Buffer>;
  /** Takes note that the whole was found right, just before its last bytes go out. */
  readonly onRight: () => void;
  /** Takes note of a wrong byte behind `position`, and throws. */
  readonly onWrong: (position: number) => Promise<never>;
}

/**
 * Streams a range piece by verified piece.
 * @param pieceHashes of all pieces, 32 bytes each
 */
export async function* streamPieces(
  deps: VerifiedStreamDeps,
  range: ByteRange,
  pieceHashes: Buffer,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const { pieceSizeBytes, sizeBytes } = deps.geometry;
  const end = Math.min(Math.ceil(range.end / pieceSizeBytes) * pieceSizeBytes, sizeBytes);
  const start = range.start - (range.start % pieceSizeBytes);
  const check = async (position: number, length: number): Promise<Buffer> => {
    const bytes = await deps.readAt(position, length);
    const found = await hashPieces(deps, bytes);
    const at = (position / pieceSizeBytes) * PIECE_HASH_BYTES;
    if (!found.equals(pieceHashes.subarray(at, at + found.length))) await deps.onWrong(position);
    return bytes;
  };
  let position = start;
  for await (const bytes of readAhead({ start, end }, check, signal)) {
    if (start === 0 && position + bytes.length === sizeBytes) deps.onRight();
    yield bytes.subarray(Math.max(0, range.start - position), range.end - position);
    position += bytes.length;
  }
}

/** Streams a range of a blob that is believed to be right. */
export async function* streamBelieved(
  deps: Pick<VerifiedStreamDeps, 'readAt'>,
  range: ByteRange,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  yield* readAhead(range, deps.readAt, signal);
}

/** Streams the whole of a blob whose piece hashes are not known. */
export async function* streamWhole(deps: VerifiedStreamDeps, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const hasher = new DigestHasher(digestAlgorithm(deps.digest));
  let heldBack: Buffer | undefined;
  for await (const bytes of readAhead({ start: 0, end: deps.geometry.sizeBytes }, deps.readAt, signal)) {
    hasher.update(bytes);
    if (heldBack !== undefined) yield heldBack;
    heldBack = bytes;
  }
  if (hasher.digest() !== deps.digest) await deps.onWrong(0);
  deps.onRight();
  if (heldBack !== undefined) yield heldBack;
}

async function hashPieces(deps: VerifiedStreamDeps, bytes: Buffer): Promise<Buffer> {
  const { pieceSizeBytes } = deps.geometry;
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceSizeBytes) pieces.push(bytes.subarray(at, at + pieceSizeBytes));
  if (bytes.length <= HASH_AT_ONCE_BYTES) return Buffer.concat(pieces.map((piece) => hash('sha256', piece, 'buffer')));
  return Buffer.concat(await Promise.all(pieces.map(async (piece) => await deps.hashPiece(piece))));
}

/** Chunks in order, some of them being made ready while the consumer is busy with one. */
async function* readAhead(
  range: ByteRange,
  read: (position: number, length: number) => Promise<Buffer>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const ahead: Promise<Buffer>[] = [];
  let position = range.start;
  const fill = (): void => {
    while (ahead.length < CHUNKS_AHEAD && position < range.end) {
      const length = Math.min(STREAM_CHUNK_BYTES, range.end - position);
      const reading = read(position, length);
      // It may fail while the consumer is busy with an earlier chunk; it is awaited, and throws, in its turn.
      reading.catch(() => undefined);
      ahead.push(reading);
      position += length;
    }
  };
  fill();
  try {
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      signal?.throwIfAborted();
      const chunk = await next;
      fill();
      yield chunk;
    }
  } finally {
    // The consumer may leave while reads are under way: their outcome no longer matters to anyone.
    await Promise.allSettled(ahead);
  }
}
