/** A blob that is being gathered in memory. */
import { hash } from 'node:crypto';
import type { ByteRange } from '../oci/byte-range.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import { Bitfield } from './bitfield.ts';
import type { PartialBlob } from './blob-store.ts';
import { contentError } from './errors.ts';
import { assertRange } from './fs-held-blob.ts';
import { PIECE_HASH_BYTES, pieceRange, piecesCovering, type PieceGeometry } from './geometry.ts';

/** The pieces of one blob; they outlive the object that gathers them. */
export interface MemoryPieces {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly pieces: Map<number, { readonly bytes: Buffer; readonly hash: Buffer }>;
  open: boolean;
}

export interface MemoryPartialBlobDeps {
  /** Throws when there can be none. */
  readonly makeRoom: (bytes: number) => void;
  readonly publish: (bytes: Buffer) => void;
  readonly onEnd: (keep: boolean) => void;
}

/** Made by `MemoryBlobStore.openPartial`. */
export class MemoryPartialBlob implements PartialBlob {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly held: Bitfield;
  readonly #deps: MemoryPartialBlobDeps;
  readonly #kept: MemoryPieces;
  readonly #refused = new Map<number, Buffer>();
  #ended = false;

  constructor(deps: MemoryPartialBlobDeps, kept: MemoryPieces) {
    this.#deps = deps;
    this.#kept = kept;
    this.digest = kept.digest;
    this.geometry = kept.geometry;
    this.held = new Bitfield(kept.geometry.pieceCount);
    for (const index of kept.pieces.keys()) this.held.add(index);
  }

  pieceHash(index: number): Buffer | undefined {
    return this.#kept.pieces.get(index)?.hash ?? this.#refused.get(index);
  }

  async hashPiece(bytes: Uint8Array): Promise<Buffer> {
    return hash('sha256', bytes, 'buffer');
  }

  async writePiece(index: number, bytes: Uint8Array, pieceHash: Uint8Array): Promise<void> {
    this.#assertOpen();
    const { start, end } = pieceRange(this.geometry, index);
    if (bytes.length !== end - start)
      throw new RangeError(`piece ${index} has ${end - start} bytes, not ${bytes.length}`);
    if (pieceHash.length !== PIECE_HASH_BYTES) throw new RangeError(`a piece hash has ${PIECE_HASH_BYTES} bytes`);
    if (this.held.has(index)) return;
    this.#refused.set(index, Buffer.from(pieceHash));
    this.#deps.makeRoom(bytes.length);
    this.#refused.delete(index);
    this.#kept.pieces.set(index, { bytes: Buffer.from(bytes), hash: Buffer.from(pieceHash) });
    this.held.add(index);
    await Promise.resolve();
  }

  async read(range: ByteRange): Promise<Buffer> {
    this.#assertOpen();
    assertRange(range, this.geometry.sizeBytes);
    const { first, end } = piecesCovering(this.geometry, range);
    const parts: Buffer[] = [];
    for (let index = first; index < end; index += 1) {
      const piece = this.#kept.pieces.get(index);
      if (piece === undefined) throw contentError('ERR_PIECE_MISSING', `piece ${index} of ${this.digest} is not held`);
      const { start } = pieceRange(this.geometry, index);
      parts.push(piece.bytes.subarray(Math.max(0, range.start - start), range.end - start));
    }
    return await Promise.resolve(Buffer.concat(parts));
  }

  async complete(options: { onVerified?: (() => void) | undefined } = {}): Promise<'complete' | 'mismatch'> {
    this.#assertOpen();
    if (!this.held.isFull)
      throw contentError('ERR_PIECE_MISSING', `${this.digest} is complete only when all pieces are held`);
    const bytes = await this.read({ start: 0, end: this.geometry.sizeBytes });
    if (digestOf(bytes, digestAlgorithm(this.digest)) !== this.digest) return 'mismatch';
    options.onVerified?.();
    this.#end(false);
    this.#deps.publish(bytes);
    return 'complete';
  }

  async reset(): Promise<void> {
    this.#assertOpen();
    this.held.clear();
    this.#kept.pieces.clear();
    this.#refused.clear();
    await Promise.resolve();
  }

  async close(): Promise<void> {
    this.#end(true);
    await Promise.resolve();
  }

  async discard(): Promise<void> {
    this.#end(false);
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #end(keep: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#deps.onEnd(keep);
  }

  #assertOpen(): void {
    if (this.#ended) throw contentError('ERR_STORE_CLOSED', `the partial blob ${this.digest} is closed`);
  }
}
