/**
 * What a client got of a blob before the disk was full. Where some of it cannot be read back, it is fetched once more, only to be
 * hashed with the rest; and since the digest is to speak of what the client has, it must be the same bytes, piece by piece.
 */
import { createHash, type Hash } from 'node:crypto';
import type { PieceGeometry } from '../content/geometry.ts';
import type { Digest } from '../oci/digest.ts';
import { transferError } from './errors.ts';

/** The beginning of a range that was given. */
export interface GivenPart {
  /** Where it ends in the blob. */
  readonly end: number;
  /** The hash that a piece had when it was given; undefined when it is not known. */
  readonly hashOf: (piece: number) => Buffer | undefined;
}

/** Compares bytes, in order, with what was given. */
export class GivenPartCheck {
  readonly #digest: Digest;
  readonly #given: GivenPart;
  readonly #pieceSizeBytes: number;
  #at: number;
  #hash: Hash = createHash('sha256');

  /** @param at the beginning of a piece, from which on bytes are seen again */
  constructor(digest: Digest, given: GivenPart, geometry: PieceGeometry, at: number) {
    this.#digest = digest;
    this.#given = given;
    this.#pieceSizeBytes = geometry.pieceSizeBytes;
    this.#at = at;
  }

  /** Takes the next bytes; what lies behind the part is not looked at. @throws {DockyardError} ERR_TRANSFER_CORRUPT */
  push(bytes: Buffer): void {
    for (let from = 0; from < bytes.length && this.#at < this.#given.end;) {
      const pieceEnd = Math.min(this.#at - (this.#at % this.#pieceSizeBytes) + this.#pieceSizeBytes, this.#given.end);
      const taken = Math.min(bytes.length - from, pieceEnd - this.#at);
      this.#hash.update(bytes.subarray(from, from + taken));
      from += taken;
      this.#at += taken;
      if (this.#at === pieceEnd) this.#compare(Math.floor((pieceEnd - 1) / this.#pieceSizeBytes));
    }
  }

  #compare(piece: number): void {
    const expected = this.#given.hashOf(piece);
    if (expected === undefined || !this.#hash.digest().equals(expected)) {
      throw transferError('ERR_TRANSFER_CORRUPT', `piece ${piece} of ${this.#digest} is not what it was before`);
    }
    this.#hash = createHash('sha256');
  }
}
