/** What this node itself has of one blob: nothing yet, some pieces, or all. Serves reads to peers and to clients. */
import { PIECE_HASH_BYTES, pieceRange, type PieceGeometry } from '../content/geometry.ts';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { HeldBlob, PartialBlob } from '../content/blob-store.ts';

/** The bytes of pieces that were verified a moment ago; they need not be read from disk again. */
export class RecentPieces {
  readonly #memory: BufferPool;
  readonly #limitBytes: number;
  readonly #pieces = new Map<string, Buffer>();
  #bytes = 0;

  constructor(memory: BufferPool, limitBytes: number) {
    this.#memory = memory;
    this.#limitBytes = limitBytes;
  }

  /** Takes the caller's ownership of the bytes over. */
  put(key: string, bytes: Buffer): void {
    this.drop(key);
    this.#pieces.set(key, bytes);
    this.#bytes += bytes.length;
    for (const oldest of this.#pieces.keys()) {
      if (this.#bytes <= this.#limitBytes) break;
      this.drop(oldest);
    }
  }

  /** The bytes, which the caller then owns too. */
  get(key: string): Buffer | undefined {
    const bytes = this.#pieces.get(key);
    if (bytes !== undefined) this.#memory.retain(bytes);
    return bytes;
  }

  /** Forgets bytes, whether or not they are here. */
  drop(key: string): void {
    const held = this.#pieces.get(key);
    if (held === undefined) return;
    this.#pieces.delete(key);
    this.#bytes -= held.length;
    this.#memory.release(held);
  }
}

/** The pieces of one blob, from whichever of its two forms is current. */
export class LocalPieces {
  readonly digest: string;
  readonly #recent: RecentPieces;
  #source: PartialBlob | HeldBlob;
  #publishing: Promise<unknown> | undefined;

  constructor(source: PartialBlob | HeldBlob, recent: RecentPieces) {
    this.digest = source.digest;
    this.#source = source;
    this.#recent = recent;
  }

  get geometry(): PieceGeometry {
    return this.#source.geometry;
  }

  get isComplete(): boolean {
    return !('held' in this.#source);
  }

  /** The partial blob behind it, while there is one. */
  get partial(): PartialBlob | undefined {
    return 'held' in this.#source ? this.#source : undefined;
  }

  /** The partial blob is being published: reads that fail in between are tried again afterwards. */
  whilePublishing(publishing: Promise<unknown>): void {
    this.#publishing = publishing.catch(() => undefined);
  }

  /** Goes over from the partial to the complete blob. */
  becomeHeld(held: HeldBlob): void {
    this.#source = held;
  }

  has(piece: number): boolean {
    return 'held' in this.#source ? this.#source.held.has(piece) : piece < this.#source.geometry.pieceCount;
  }

  /** The bits of the pieces held, or undefined when it is all of them. */
  bitfield(): Uint8Array | undefined {
    return 'held' in this.#source ? this.#source.held.toBytes() : undefined;
  }

  /** Remembers bytes that will be asked for soon; takes the caller's ownership over. */
  remember(piece: number, bytes: Buffer): void {
    this.#recent.put(`${this.digest}/${piece}`, bytes);
  }

  /** Forgets the bytes that were remembered. */
  forgetAll(): void {
    for (let piece = 0; piece < this.geometry.pieceCount; piece += 1) this.#recent.drop(`${this.digest}/${piece}`);
  }

  /** The bytes of a piece that is held; the caller owns them and may release them. */
  async read(piece: number): Promise<Buffer> {
    const recent = this.#recent.get(`${this.digest}/${piece}`);
    if (recent !== undefined) return recent;
    const source = this.#source;
    try {
      return await source.read(pieceRange(this.geometry, piece));
    } catch (error) {
      await this.#publishing;
      if (this.#source === source) throw error;
      return await this.read(piece);
    }
  }

  /** The hashes of all pieces, known only when the blob is complete. */
  async allHashes(): Promise<Buffer | undefined> {
    if ('held' in this.#source) return undefined;
    const hashes = await this.#source.pieceHashes();
    return hashes.length === this.geometry.pieceCount * PIECE_HASH_BYTES ? hashes : undefined;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }
}
