/** One blob on one link: what the peer has of it, what it asked for, and what it was asked for. */
import { Bitfield } from '../content/bitfield.ts';
import type { BufferPool } from '../content/buffer-pool.ts';
import { pieceRange, type PieceGeometry } from '../content/geometry.ts';
import type { Link } from '../swarm/link/link.ts';
import { swarmError } from '../swarm/errors.ts';
import type { HolderPace } from './holder-pace.ts';
import type { Join } from './wire.ts';

/** A piece on its way here. */
interface Arriving {
  readonly buffer: Buffer;
  filledBytes: number;
}

/** Bytes that nobody asked for, or no longer, which a peer may send before it counts as abuse. */
const MAX_UNASKED_BYTES = 64 * 1024 * 1024;
/** A side tells its state when it begins, when it learns the size, when it is complete; more often is abuse. */
const MAX_JOINS = 16;

export class Channel {
  readonly link: Link;
  /** The number by which this side knows the channel. */
  readonly localId: number;
  readonly #memory: BufferPool;
  readonly pace: HolderPace;
  readonly openedAtMs: number;
  /** The peer's number for the channel; undefined until it has joined. */
  remoteId: number | undefined;
  remoteSizeBytes: number | undefined;
  remoteComplete = false;
  /** The peer goes by another piece map than this node: that its pieces differ does not prove that it lies. */
  isDisputing = false;
  /** What was sent to the peer of pieces. */
  sentBytes = 0;
  /** When the peer was last told of others. */
  namedOthersAtMs = -Infinity;
  #remoteHas: Bitfield | undefined;
  #unbound: Join | undefined;
  readonly #asked = new Set<number>();
  readonly #arriving = new Map<number, Arriving>();
  #unaskedBytes = 0;
  #joinCount = 0;
  #geometry: PieceGeometry | undefined;

  /** This side has told its state at least once. */
  joinSent = false;

  /** @param allocateId gives the channel its number, unique on this node */
  constructor(
    link: Link,
    allocateId: (channel: Channel) => number,
    pace: HolderPace,
    memory: BufferPool,
    nowMs: number,
  ) {
    this.#memory = memory;
    this.openedAtMs = nowMs;
    this.link = link;
    this.pace = pace;
    this.localId = allocateId(this);
  }

  /** The peer has answered, so frames may be sent to it. */
  get isJoined(): boolean {
    return this.remoteId !== undefined;
  }

  /**
   * Takes what the peer says of itself. What it holds is understood once the geometry is known.
   * @throws {DockyardError} ERR_LINK_PROTOCOL
   */
  onJoin(remoteId: number, join: Join): void {
    this.#joinCount += 1;
    if (this.#joinCount > MAX_JOINS)
      throw swarmError('ERR_LINK_PROTOCOL', `peer ${this.link.peerId} joins again and again`);
    this.remoteId = remoteId;
    this.remoteComplete = join.complete;
    this.remoteSizeBytes = join.sizeBytes;
    this.#unbound = join;
    if (this.#geometry !== undefined) this.bind(this.#geometry);
  }

  /** @throws {DockyardError} ERR_LINK_PROTOCOL when the peer's bitfield does not fit */
  bind(geometry: PieceGeometry): void {
    this.#geometry = geometry;
    this.#remoteHas ??= new Bitfield(geometry.pieceCount);
    const bits = this.#unbound?.bitfield;
    this.#unbound = undefined;
    if (bits === undefined) return;
    if (bits.length !== Math.ceil(geometry.pieceCount / 8)) {
      throw swarmError(
        'ERR_LINK_PROTOCOL',
        `a bitfield of ${bits.length} bytes came for ${geometry.pieceCount} pieces`,
      );
    }
    this.#remoteHas = new Bitfield(geometry.pieceCount, bits);
  }

  /** Whether the peer has anything at all, as far as is known. */
  get remoteHasAny(): boolean {
    return this.remoteComplete || (this.#remoteHas?.count ?? 0) > 0 || this.#unbound?.bitfield !== undefined;
  }

  remoteHas(piece: number): boolean {
    return this.remoteComplete || (this.#remoteHas?.has(piece) ?? false);
  }

  /** What the peer lacks: it does not tell those of its pieces who have them, but what was sent to it is known. */
  get remainingBytes(): number {
    if (this.#geometry === undefined || this.remoteComplete) return 0;
    const { sizeBytes, pieceSizeBytes } = this.#geometry;
    return Math.max(0, sizeBytes - Math.max(this.sentBytes, (this.#remoteHas?.count ?? 0) * pieceSizeBytes));
  }

  /** The peer told that it has a piece; false when that was known, or the piece does not exist. */
  setRemoteHas(piece: number): boolean {
    if (this.#remoteHas === undefined || piece >= this.#remoteHas.size) return false;
    const isNew = this.#remoteHas.add(piece);
    if (this.#remoteHas.isFull) this.remoteComplete = true;
    return isNew;
  }

  setRemoteHasNot(piece: number): void {
    this.#remoteHas?.delete(piece);
  }

  /** Pieces were asked for that have not come. */
  get owes(): boolean {
    return this.#asked.size > 0;
  }

  markAsked(pieces: readonly number[]): void {
    for (const piece of pieces) this.#asked.add(piece);
  }

  /** A piece is no longer awaited; bytes of it that still come are thrown away. */
  forget(piece: number): boolean {
    this.#arriving.delete(piece);
    const wasAsked = this.#asked.delete(piece);
    // It may be on its way, through no fault of the peer.
    if (wasAsked) this.#unaskedBytes -= this.#geometry?.pieceSizeBytes ?? 0;
    return wasAsked;
  }

  /** Where the bytes of a chunk belong; undefined to throw them away. @throws {DockyardError} ERR_LINK_PROTOCOL */
  target(piece: number, offset: number, length: number): Buffer | undefined {
    if (this.#geometry === undefined || !this.#asked.has(piece)) {
      this.#unaskedBytes += length;
      if (this.#unaskedBytes > MAX_UNASKED_BYTES) {
        throw swarmError('ERR_LINK_PROTOCOL', `peer ${this.link.peerId} sends what nobody asked for`);
      }
      return undefined;
    }
    let arriving = this.#arriving.get(piece);
    if (arriving === undefined) {
      const range = pieceRange(this.#geometry, piece);
      arriving = { buffer: this.#memory.acquire(range.end - range.start), filledBytes: 0 };
      this.#arriving.set(piece, arriving);
    }
    if (offset !== arriving.filledBytes || offset + length > arriving.buffer.length) {
      throw swarmError('ERR_LINK_PROTOCOL', `peer ${this.link.peerId} sends piece ${piece} out of order or too long`);
    }
    return arriving.buffer.subarray(offset, offset + length);
  }

  /** A chunk has been copied; answers the piece when it is whole, which the caller then owns. */
  onChunkEnd(piece: number, length: number): Buffer | undefined {
    const arriving = this.#arriving.get(piece);
    if (arriving === undefined) return undefined;
    arriving.filledBytes += length;
    if (arriving.filledBytes < arriving.buffer.length) return undefined;
    this.#arriving.delete(piece);
    this.#asked.delete(piece);
    return arriving.buffer;
  }
}
