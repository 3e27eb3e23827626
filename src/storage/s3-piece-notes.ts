/**
 * The piece hashes of the blobs of a bucket, each as a small object beside its blob: a seed gives pieces to peers by their
 * hashes, and would have to read the blob to find them. They carry a checksum of their own, since a false hash would make
 * peers think that this node lies. One that is lost or damaged is made again.
 *
 * The body: the length of the blob in 8 bytes, 32 bytes for each piece, and the SHA-256 of all that.
 */
import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import { PIECE_HASH_BYTES, pieceGeometry } from '../content/geometry.ts';
import type { Digest } from '../oci/digest.ts';
import type { StorageOptions } from './blob-storage.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';

export interface S3PieceNotesDeps {
  readonly objects: S3Objects;
  readonly keys: S3Keys;
  readonly log: Logger;
}

/** Smaller blobs are read as quickly as a note of theirs. */
const LEAST_BLOB_BYTES = 256 * 1024;

const LENGTH_BYTES = 8;
const CHECKSUM_BYTES = 32;

/** Those of one bucket. */
export class S3PieceNotes {
  readonly #deps: S3PieceNotesDeps;

  constructor(deps: S3PieceNotesDeps) {
    this.#deps = deps;
  }

  /** The hashes of a blob's pieces, where they are known. */
  async get(digest: Digest, sizeBytes: number, options: StorageOptions = {}): Promise<Buffer | undefined> {
    if (sizeBytes < LEAST_BLOB_BYTES) return undefined;
    const { objects, keys } = this.#deps;
    const body = await objects.getWhole(keys.pieces(digest), options);
    return body === undefined ? undefined : decodePieceNote(body, sizeBytes);
  }

  /** Keeps them. What cannot be kept is found again by reading the blob, so it never fails. */
  async put(digest: Digest, sizeBytes: number, hashes: Buffer): Promise<void> {
    if (sizeBytes < LEAST_BLOB_BYTES) return;
    const { objects, keys, log } = this.#deps;
    try {
      await objects.put(keys.pieces(digest), encodePieceNote(sizeBytes, hashes));
    } catch (error) {
      log.warn({ err: error, digest }, 'piece hashes of a blob not kept');
    }
  }

  /** Forgets them, before the blob goes. */
  async delete(digest: Digest, sizeBytes: number, options: StorageOptions = {}): Promise<void> {
    if (sizeBytes < LEAST_BLOB_BYTES) return;
    await this.#deps.objects.delete(this.#deps.keys.pieces(digest), options);
  }
}

/** The body of a note. */
export function encodePieceNote(sizeBytes: number, hashes: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64BE(BigInt(sizeBytes));
  const noted = Buffer.concat([length, hashes]);
  return Buffer.concat([noted, hash('sha256', noted, 'buffer')]);
}

/** The hashes in a note; `undefined` when it is damaged or of another blob. */
export function decodePieceNote(body: Buffer, sizeBytes: number): Buffer | undefined {
  const expectedBytes = LENGTH_BYTES + pieceGeometry(sizeBytes).pieceCount * PIECE_HASH_BYTES + CHECKSUM_BYTES;
  if (body.length !== expectedBytes || body.readBigUInt64BE() !== BigInt(sizeBytes)) return undefined;
  const noted = body.subarray(0, -CHECKSUM_BYTES);
  if (!hash('sha256', noted, 'buffer').equals(body.subarray(-CHECKSUM_BYTES))) return undefined;
  return Buffer.from(noted.subarray(LENGTH_BYTES));
}
