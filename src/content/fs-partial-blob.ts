/**
 * A blob that is being gathered on disk: `data`, a sparse file, and `map`, the hashes of its pieces.
 *
 * A piece's bytes are written before its hash, and nothing waits for the disk: after a crash of this process the page
 * cache has both, and after a loss of power recovery (partial-shelf.ts) believes only bytes that match their hash.
 */
import type { BufferPool } from './buffer-pool.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import { isDockyardError } from '../oci/error.ts';
import type { Bitfield } from './bitfield.ts';
import type { PartialBlob } from './blob-store.ts';
import { readFully, type DiskFile } from './disk.ts';
import { DurableFile } from './durable-file.ts';
import { contentError } from './errors.ts';
import { assertRange } from './fs-held-blob.ts';
import { PIECE_HASH_BYTES, pieceRange, piecesCovering, type PieceGeometry } from './geometry.ts';
import type { HashThread, RunAhead } from './hash-thread.ts';
import { MapEntryWriter } from './map-entry-writer.ts';
import { MAP_HEADER_BYTES, mapEntry, mapFileBytes } from './partial-map.ts';
import { PieceWriter } from './piece-writer.ts';
import type { StoreSpace } from './store-space.ts';

/** Blobs up to this size are hashed at once, on the main thread: telling the worker would take longer. */
const HASH_AT_ONCE_BYTES = 1024 * 1024;

export interface FsPartialBlobDeps {
  readonly memory: BufferPool;
  readonly space: StoreSpace;
  readonly hashes: HashThread;
  readonly data: DiskFile;
  readonly map: DiskFile;
  readonly dataPath: string;
  /** Counts bytes that are held now, or no longer. */
  readonly onHeld: (changeBytes: number, changeCount: number) => void;
  /** Moves `data` to its place among the complete blobs. */
  readonly publish: (pieceHashes: Buffer) => Promise<void>;
  /** Told once when the work ends: what to do with the files, which are closed by then. */
  readonly onEnd: (fate: 'published' | 'kept' | 'discarded') => Promise<void>;
}

export interface FsPartialBlobState {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  /** Pieces whose bytes are known to match their hashes. */
  readonly held: Bitfield;
  /** The body of the map: 32 bytes for each piece. */
  readonly body: Buffer;
}

/** Made by `PartialShelf.open`. */
export class FsPartialBlob implements PartialBlob {
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly held: Bitfield;
  readonly #deps: FsPartialBlobDeps;
  readonly #body: Buffer;
  readonly #pieces: PieceWriter;
  readonly #entries: MapEntryWriter;
  readonly #durable: DurableFile;
  readonly #writing = new Set<Promise<void>>();
  /** Hashes of pieces that could not be written: no more of them than were on their way when that began. */
  readonly #refused = new Map<number, Buffer>();
  #contiguousPieces = 0;
  #runAhead: RunAhead | undefined;
  #wholeIsRight = false;
  #completing: Promise<boolean> | undefined;
  #state: 'open' | 'completing' | 'ended' = 'open';
  #ending: Promise<void> | undefined;

  constructor(deps: FsPartialBlobDeps, state: FsPartialBlobState) {
    this.#deps = deps;
    this.digest = state.digest;
    this.geometry = state.geometry;
    this.held = state.held;
    this.#body = state.body;
    this.#pieces = new PieceWriter(deps.data, state.geometry.pieceSizeBytes);
    this.#entries = new MapEntryWriter(deps.map, state.body);
    this.#durable = new DurableFile(deps.data, state.geometry.sizeBytes);
    this.#hashAhead();
  }

  pieceHash(index: number): Buffer | undefined {
    const entry = this.held.has(index) ? mapEntry(this.#body, index) : undefined;
    return entry === undefined ? this.#refused.get(index) : Buffer.from(entry);
  }

  async hashPiece(bytes: Uint8Array): Promise<Buffer> {
    return await this.#deps.hashes.ofPiece(bytes);
  }

  async writePiece(index: number, bytes: Uint8Array, pieceHash: Uint8Array): Promise<void> {
    this.#assertOpen();
    const range = pieceRange(this.geometry, index);
    if (bytes.length !== range.end - range.start) {
      throw new RangeError(`piece ${index} has ${range.end - range.start} bytes, not ${bytes.length}`);
    }
    if (pieceHash.length !== PIECE_HASH_BYTES) throw new RangeError(`a piece hash has ${PIECE_HASH_BYTES} bytes`);
    if (this.held.has(index)) return;
    const writing = this.#deps.space.withRoom(bytes.length, async () => {
      await this.#pieces.write(bytes, range.start);
      await this.#entries.write(index, pieceHash);
      this.#keep(index, bytes.length);
    });
    this.#writing.add(writing);
    try {
      await writing;
      this.#refused.delete(index);
    } catch (error) {
      this.#refused.set(index, Buffer.from(pieceHash));
      throw error;
    } finally {
      this.#writing.delete(writing);
    }
  }

  async read(range: ByteRange): Promise<Buffer> {
    if (this.#state === 'ended') throw closedError(this.digest);
    assertRange(range, this.geometry.sizeBytes);
    const { first, end } = piecesCovering(this.geometry, range);
    if (this.held.firstClear(first) < end) {
      throw contentError(
        'ERR_PIECE_MISSING',
        `not all bytes from ${range.start} to ${range.end} of ${this.digest} are held`,
      );
    }
    let bytes: Buffer;
    try {
      bytes = await readFully(this.#deps.data, range.start, range.end - range.start, this.#deps.memory);
    } catch (cause) {
      throw contentError('ERR_STORE_IO', `${this.digest} could not be read`, { cause });
    }
    if (bytes.length === range.end - range.start) return bytes;
    throw contentError('ERR_BLOB_DAMAGED', `the partial file of ${this.digest} was cut short`);
  }

  async complete(options: { onVerified?: (() => void) | undefined } = {}): Promise<'complete' | 'mismatch'> {
    this.#assertOpen();
    if (!this.held.isFull)
      throw contentError('ERR_PIECE_MISSING', `${this.digest} is complete only when all pieces are held`);
    this.#state = 'completing';
    this.#completing = this.#publishIfRight(options.onVerified);
    try {
      if (!(await this.#completing)) return 'mismatch';
    } finally {
      // Unless it is published, the caller goes on with this object: resets, discards, or tries again when there is room.
      if (this.#state === 'completing') this.#state = 'open';
    }
    await this.#end('published');
    return 'complete';
  }

  async reset(): Promise<void> {
    this.#assertOpen();
    await this.#settle();
    this.#runAhead?.cancel();
    this.#runAhead = undefined;
    this.#wholeIsRight = false;
    const { sizeBytes } = this.geometry;
    const changeBytes = -this.#heldBytes();
    const changeCount = -this.held.count;
    this.held.clear();
    this.#refused.clear();
    this.#contiguousPieces = 0;
    this.#body.fill(0);
    await this.#deps.space.withRoom(0, async () => {
      // The map first, so that no entry is left without its bytes.
      await this.#deps.map.truncate(MAP_HEADER_BYTES);
      await this.#deps.map.truncate(mapFileBytes(this.geometry));
      await this.#deps.data.truncate(0);
      await this.#deps.data.truncate(sizeBytes);
    });
    this.#deps.onHeld(changeBytes, changeCount);
  }

  async close(): Promise<void> {
    await this.#end('kept');
  }

  async discard(): Promise<void> {
    await this.#end('discarded');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #publishIfRight(onVerified: (() => void) | undefined): Promise<boolean> {
    await this.#settle();
    this.#wholeIsRight ||= (await this.#wholeDigest()) === this.digest;
    if (!this.#wholeIsRight) return false;
    onVerified?.();
    await this.#deps.space.withRoom(0, async () => await this.#durable.sync());
    await this.#deps.space.withRoom(0, async () => await this.#deps.publish(this.#body));
    return true;
  }

  async #end(wanted: 'published' | 'kept' | 'discarded'): Promise<void> {
    this.#ending ??= (async () => {
      this.#state = 'ended';
      await this.#settle();
      // A store that closes while a blob is being completed lets it be completed.
      const [completion] = await Promise.allSettled([this.#completing]);
      const fate = completion.status === 'fulfilled' && completion.value === true ? 'published' : wanted;
      this.#runAhead?.cancel();
      // Waits for the reads that are under way.
      await Promise.all([this.#deps.data.close(), this.#deps.map.close()]);
      await this.#deps.onEnd(fate);
    })();
    await this.#ending;
  }

  #keep(index: number, sizeBytes: number): void {
    if (!this.held.add(index)) return;
    this.#deps.onHeld(sizeBytes, 1);
    this.#durable.wrote(sizeBytes);
    if (index === this.#contiguousPieces) this.#hashAhead();
  }

  #hashAhead(): void {
    this.#contiguousPieces = this.held.firstClear(this.#contiguousPieces);
    if (this.geometry.sizeBytes <= HASH_AT_ONCE_BYTES || this.#contiguousPieces === 0) return;
    this.#runAhead ??= this.#deps.hashes.runAhead(this.#deps.dataPath, digestAlgorithm(this.digest));
    this.#runAhead.advance(Math.min(this.#contiguousPieces * this.geometry.pieceSizeBytes, this.geometry.sizeBytes));
  }

  async #wholeDigest(): Promise<string> {
    const { sizeBytes } = this.geometry;
    const algorithm = digestAlgorithm(this.digest);
    if (sizeBytes <= HASH_AT_ONCE_BYTES) return digestOf(await readFully(this.#deps.data, 0, sizeBytes), algorithm);
    const runAhead = this.#runAhead;
    this.#runAhead = undefined;
    if (runAhead !== undefined) {
      try {
        return (await runAhead.finish(sizeBytes)).digest;
      } catch (error) {
        if (!isDockyardError(error, 'ERR_STORE_IO')) throw error;
        // The running hash was lost with its thread, or met an error that was passing: the file is read once more below.
      }
    }
    return await this.#deps.hashes.wholeFile(this.#deps.dataPath, algorithm);
  }

  /** Waits until no write is under way, however those end. */
  async #settle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing);
  }

  #heldBytes(): number {
    return bytesOfPieces(this.geometry, this.held);
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw closedError(this.digest);
  }
}

/** Bytes of the pieces that are held. */
export function bytesOfPieces(geometry: PieceGeometry, held: Bitfield): number {
  const wholeBytes = held.count * geometry.pieceSizeBytes;
  const lastIsHeld = geometry.pieceCount > 0 && held.has(geometry.pieceCount - 1);
  return lastIsHeld ? wholeBytes - (geometry.pieceCount * geometry.pieceSizeBytes - geometry.sizeBytes) : wholeBytes;
}

function closedError(digest: Digest): Error {
  return contentError('ERR_STORE_CLOSED', `the partial blob ${digest} is closed or being completed`);
}
