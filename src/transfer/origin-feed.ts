/**
 * Reads what nobody else has from the origin into a journey: one run of pieces after the other, each cut, hashed and handed
 * on as it comes. The bytes come over an authenticated connection from where the blob belongs, so their hashes are this
 * node's word; the digest of the whole decides in the end.
 */
import { hash } from 'node:crypto';
import type { BufferPool } from '../content/buffer-pool.ts';
import { pieceRange, type PieceGeometry } from '../content/geometry.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import { transferError } from './errors.ts';

/** A blob being read from an origin. Whoever opens it closes it. */
export interface OriginReading {
  /** Of the whole blob. */
  readonly sizeBytes: number;
  readonly body: AsyncIterable<Uint8Array>;
  close(): Promise<void> | void;
}

/** Upstream registries, as a journey sees them. */
export interface OriginBlobs {
  /** Undefined when the origin has no such blob. @throws {DockyardError} when it cannot tell or refuses */
  openBlob(
    repository: Repository,
    digest: Digest,
    options: { range?: ByteRange | undefined; signal?: AbortSignal | undefined },
  ): Promise<OriginReading | undefined>;
  statBlob(
    repository: Repository,
    digest: Digest,
    options: { signal?: AbortSignal | undefined },
  ): Promise<{ sizeBytes: number } | undefined>;
}

/** A piece cut from the origin's bytes; whoever gets it owns the bytes. */
export interface OriginPiece {
  readonly piece: number;
  readonly bytes: Buffer;
  readonly hash: Buffer;
}

/**
 * Cuts a stream that begins at piece `first` into `count` pieces.
 * @throws {DockyardError} ERR_TRANSFER_BROKEN when the stream ends early
 */
export async function* cutPieces(
  body: AsyncIterable<Uint8Array>,
  geometry: PieceGeometry,
  first: number,
  count: number,
  memory: BufferPool,
): AsyncGenerator<OriginPiece> {
  let piece = first;
  const end = first + count;
  let buffer = pieceBuffer(geometry, piece, memory);
  let filled = 0;
  for await (const chunk of body) {
    let at = 0;
    while (at < chunk.length && piece < end) {
      const taken = Math.min(chunk.length - at, buffer.length - filled);
      Buffer.from(chunk.buffer, chunk.byteOffset + at, taken).copy(buffer, filled);
      filled += taken;
      at += taken;
      if (filled < buffer.length) continue;
      yield { piece, bytes: buffer, hash: hash('sha256', buffer, 'buffer') };
      piece += 1;
      filled = 0;
      if (piece < end) buffer = pieceBuffer(geometry, piece, memory);
    }
    if (piece === end) return;
  }
  if (piece < end) {
    throw transferError('ERR_TRANSFER_BROKEN', `the origin ended at piece ${piece} of ${geometry.pieceCount}`);
  }
}

function pieceBuffer(geometry: PieceGeometry, piece: number, memory: BufferPool): Buffer {
  const range = pieceRange(geometry, piece);
  return memory.acquire(range.end - range.start);
}

/** The bytes of a run of pieces. */
export function runRange(geometry: PieceGeometry, first: number, count: number): ByteRange {
  return { start: first * geometry.pieceSizeBytes, end: pieceRange(geometry, first + count - 1).end };
}
