/** A complete blob on disk, open for reading. */
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { CatalogEntry } from './blob-catalog.ts';
import type { HeldBlob } from './blob-store.ts';
import type { BufferPool } from './buffer-pool.ts';
import { readFully, type DiskFile } from './disk.ts';
import { contentError } from './errors.ts';
import { pieceGeometry, type PieceGeometry } from './geometry.ts';
import { isBelieved, streamBelieved, streamPieces, streamWhole, type VerifiedMark } from './verified-stream.ts';

export interface FsHeldBlobDeps {
  readonly memory: BufferPool;
  readonly entry: CatalogEntry;
  readonly file: DiskFile;
  /** Finds or computes the piece hashes. */
  readonly pieceHashes: (blob: HeldBlob) => Promise<Buffer>;
  /** The piece hashes, if that takes no reading of the blob. */
  readonly knownPieceHashes: (geometry: PieceGeometry) => Promise<Buffer | undefined>;
  readonly nowMs: () => number;
  /** The SHA-256 of a piece, off the main thread. */
  readonly hashPiece: (bytes: Uint8Array) => Promise<Buffer>;
  /** Told when the file is shorter than the blob, or has other bytes. */
  readonly onDamage: () => Promise<void>;
  /** Told once, at `close`. */
  readonly onClose: () => Promise<void>;
}

/** Reads by position from a file that others may read too. Made by `FsBlobStore.open`. */
export class FsHeldBlob implements HeldBlob {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly #deps: FsHeldBlobDeps;
  #closing: Promise<void> | undefined;

  constructor(deps: FsHeldBlobDeps) {
    this.#deps = deps;
    this.digest = deps.entry.digest;
    this.geometry = pieceGeometry(deps.entry.sizeBytes);
  }

  async pieceHashes(): Promise<Buffer> {
    this.#assertReadable();
    return await this.#deps.pieceHashes(this);
  }

  async read(range: ByteRange): Promise<Buffer> {
    assertRange(range, this.geometry.sizeBytes);
    return await this.#readAt(range.start, range.end - range.start);
  }

  async *stream(range: ByteRange, options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Buffer> {
    const { digest, geometry } = this;
    assertRange(range, geometry.sizeBytes);
    this.#assertReadable();
    if (range.start === range.end) return;
    const mark = await this.#look();
    const deps = {
      digest,
      geometry,
      hashPiece: this.#deps.hashPiece,
      readAt: async (position: number, length: number) => await this.#readAt(position, length),
      onRight: () => (this.#deps.entry.verified = mark),
      onWrong: async (position: number) => await this.#failDamaged('has other bytes than the blob', position),
    };
    if (isBelieved(this.#deps.entry.verified, mark)) {
      yield* streamBelieved(deps, range, options.signal);
      return;
    }
    const isWhole = range.start === 0 && range.end === geometry.sizeBytes;
    const known = await this.#deps.knownPieceHashes(geometry);
    if (known === undefined && isWhole) yield* streamWhole(deps, options.signal);
    else yield* streamPieces(deps, range, known ?? (await this.pieceHashes()), options.signal);
  }

  async close(): Promise<void> {
    this.#closing ??= this.#deps.onClose();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #readAt(position: number, length: number): Promise<Buffer> {
    this.#assertReadable();
    let bytes: Buffer;
    try {
      bytes = await readFully(this.#deps.file, position, length, this.#deps.memory);
    } catch (cause) {
      throw contentError('ERR_STORE_IO', `${this.digest} could not be read`, { cause });
    }
    if (bytes.length === length) return bytes;
    return await this.#failDamaged('ends before the blob', position + bytes.length);
  }

  /** How the file looks now. */
  async #look(): Promise<VerifiedMark> {
    try {
      const { size, mtimeMs, ctimeMs } = await this.#deps.file.stat();
      return { atMs: this.#deps.nowMs(), size, mtimeMs, ctimeMs };
    } catch (cause) {
      throw contentError('ERR_STORE_IO', `${this.digest} could not be read`, { cause });
    }
  }

  async #failDamaged(what: string, position: number): Promise<never> {
    await this.#deps.onDamage();
    throw contentError('ERR_BLOB_DAMAGED', `the file of ${this.digest} ${what}`, {
      details: { position, sizeBytes: this.geometry.sizeBytes },
    });
  }

  #assertReadable(): void {
    if (this.#closing !== undefined)
      throw contentError('ERR_STORE_CLOSED', `${this.digest} is read after it was closed`);
    if (this.#deps.entry.damaged) throw contentError('ERR_BLOB_DAMAGED', `${this.digest} was found damaged`);
  }
}

/** @throws {RangeError} when a range is not within a blob */
export function assertRange(range: ByteRange, sizeBytes: number): void {
  const { start, end } = range;
  if (Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= sizeBytes) return;
  throw new RangeError(`the range ${start} to ${end} is not within ${sizeBytes} bytes`);
}
