/**
 * Where verified pieces of one blob come together: they are kept, and those who wait for them are woken. It does not know
 * where pieces come from. When all are there, the whole is checked.
 */
import type { BufferPool } from '../content/buffer-pool.ts';
import type { HeldBlob, PartialBlob } from '../content/blob-store.ts';
import { pieceRange, type PieceGeometry } from '../content/geometry.ts';
import { abortable } from '../oci/abortable.ts';
import { asError } from '../oci/error.ts';
import type { LocalPieces } from './local-pieces.ts';

export interface PieceIntakeDeps {
  readonly memory: BufferPool;
  readonly partial: PartialBlob;
  readonly local: LocalPieces;
  /** Opens the blob once it is published. */
  readonly openHeld: () => Promise<HeldBlob | undefined>;
}

/** How a blob ended. */
export type IntakeEnd = 'complete' | 'mismatch';

export class PieceIntake {
  readonly geometry: PieceGeometry;
  readonly #deps: PieceIntakeDeps;
  readonly #waiters = new Map<number, PromiseWithResolvers<Buffer>[]>();
  readonly #writing = new Map<number, Buffer>();
  readonly #finished = Promise.withResolvers<void>();
  #failure: Error | undefined;

  constructor(deps: PieceIntakeDeps) {
    this.#deps = deps;
    this.geometry = deps.partial.geometry;
    this.#finished.promise.catch(() => undefined);
  }

  /** Pieces verified: kept, or being written. */
  has(piece: number): boolean {
    return this.#writing.has(piece) || this.#deps.local.has(piece);
  }

  /** Pieces that are being written. */
  get unkeptCount(): number {
    return this.#writing.size;
  }

  get isAllHeld(): boolean {
    return this.#deps.partial.held.isFull;
  }

  /** Resolves when the whole was found right. @throws what `fail` was given */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /**
   * Keeps a piece whose hash was checked, and takes the caller's ownership of the bytes over. Readers get it at once, peers
   * may have it when this resolves.
   * @throws {DockyardError} ERR_STORE_FULL
   */
  async keep(piece: number, bytes: Buffer, hash: Buffer): Promise<void> {
    const { memory } = this.#deps;
    if (this.has(piece)) {
      memory.release(bytes);
      return;
    }
    this.#writing.set(piece, bytes);
    for (const waiter of this.#waiters.get(piece) ?? []) {
      memory.retain(bytes);
      waiter.resolve(bytes);
    }
    this.#waiters.delete(piece);
    try {
      await this.#deps.partial.writePiece(piece, bytes, hash);
      this.#deps.local.remember(piece, bytes);
    } finally {
      this.#writing.delete(piece);
    }
  }

  /** The bytes of a piece as soon as they are verified; the caller owns them. Giving up ends only this wait. */
  async wait(piece: number, signal: AbortSignal | undefined): Promise<Buffer> {
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const writing = this.#writing.get(piece);
    if (writing !== undefined) {
      this.#deps.memory.retain(writing);
      return writing;
    }
    if (this.#deps.local.has(piece)) return await this.#deps.local.read(piece);
    const waiter = Promise.withResolvers<Buffer>();
    waiter.promise.catch(() => undefined);
    const waiting = this.#waiters.get(piece);
    if (waiting === undefined) this.#waiters.set(piece, [waiter]);
    else waiting.push(waiter);
    return await abortable(waiter.promise, signal);
  }

  /** Waits till the whole is verified. */
  async waitFinished(signal: AbortSignal | undefined): Promise<void> {
    await abortable(this.#finished.promise, signal);
  }

  /** Checks the whole. After `complete` the blob is published and served from there. */
  async finish(): Promise<IntakeEnd> {
    const publishing = this.#publish();
    this.#deps.local.whilePublishing(publishing);
    return await publishing;
  }

  async #publish(): Promise<IntakeEnd> {
    // Readers wait for the digest of the whole, not for the disk.
    const end = await this.#deps.partial.complete({ onVerified: () => this.#finished.resolve() });
    const held = end === 'complete' ? await this.#deps.openHeld() : undefined;
    if (held !== undefined) this.#deps.local.becomeHeld(held);
    return end;
  }

  /** Forgets all pieces, because some hash was false. Readers go on waiting for what they have not got. */
  async reset(): Promise<void> {
    this.#deps.local.forgetAll();
    await this.#deps.partial.reset();
  }

  /** Nothing more will come: all who wait, now or later, get this error. */
  fail(error: unknown): void {
    this.#failure ??= asError(error);
    for (const waiter of [...this.#waiters.values()].flat()) waiter.reject(this.#failure);
    this.#waiters.clear();
    this.#finished.reject(this.#failure);
  }

  /** The size of a piece. */
  pieceBytes(piece: number): number {
    const range = pieceRange(this.geometry, piece);
    return range.end - range.start;
  }
}
