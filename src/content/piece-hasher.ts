/** The piece hashes of a blob whose bytes pass by in order, and whose length is known only at their end. */
import { createHash, type Hash } from 'node:crypto';
import { MAX_PIECE_SIZE_BYTES, MIN_PIECE_SIZE_BYTES, pieceGeometry } from './geometry.ts';

/** One size of pieces that the blob may turn out to have. */
interface Cut {
  readonly pieceSizeBytes: number;
  readonly hashes: Buffer[];
  current: Hash;
  filledBytes: number;
}

/**
 * Hashes by every size of pieces that is still possible. There are three, and the smaller ones are dropped as the blob
 * grows, so that all but the first 128 MiB are hashed once.
 */
export class PieceHasher {
  #cuts: Cut[] = [];
  #sizeBytes = 0;

  constructor() {
    for (let size = MIN_PIECE_SIZE_BYTES; size <= MAX_PIECE_SIZE_BYTES; size *= 2)
      this.#cuts.push({ pieceSizeBytes: size, hashes: [], current: createHash('sha256'), filledBytes: 0 });
  }

  /** Adds bytes, in order. */
  update(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    const leastBytes = pieceGeometry(this.#sizeBytes).pieceSizeBytes;
    if (this.#cuts[0] !== undefined && this.#cuts[0].pieceSizeBytes < leastBytes)
      this.#cuts = this.#cuts.filter(({ pieceSizeBytes }) => pieceSizeBytes >= leastBytes);
    for (const cut of this.#cuts) addTo(cut, bytes);
  }

  /** The SHA-256 of every piece of what was added, 32 bytes each. Nothing can be added afterwards. */
  finish(): Buffer {
    const { pieceSizeBytes } = pieceGeometry(this.#sizeBytes);
    const cut = this.#cuts.find((candidate) => candidate.pieceSizeBytes === pieceSizeBytes);
    if (cut === undefined) throw new TypeError('the piece hashes were taken already');
    this.#cuts = [];
    if (cut.filledBytes > 0) cut.hashes.push(cut.current.digest());
    return Buffer.concat(cut.hashes);
  }
}

function addTo(cut: Cut, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + cut.pieceSizeBytes - cut.filledBytes);
    cut.current.update(bytes.subarray(at, end));
    cut.filledBytes += end - at;
    at = end;
    if (cut.filledBytes < cut.pieceSizeBytes) continue;
    cut.hashes.push(cut.current.digest());
    cut.current = createHash('sha256');
    cut.filledBytes = 0;
  }
}
