/**
 * The frames of a link: `length (4) type (1) payload (length)`, big endian.
 *
 * Small frames are handed over whole. The bytes of a piece are not gathered in a frame first: the decoder asks where
 * they belong and copies them there as they arrive, so that a piece is copied once between the socket and its buffer.
 */
import { swarmError } from '../errors.ts';

/** What a frame is. Numbers are part of the protocol and are never given a new meaning. */
export const FRAME = {
  hello: 1,
  request: 2,
  reply: 3,
  failure: 4,
  ping: 5,
  pong: 6,
  join: 10,
  leave: 11,
  hashes: 12,
  have: 13,
  want: 14,
  piece: 15,
  cancel: 16,
  refuse: 17,
  need: 18,
  others: 19,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

const HEADER_BYTES = 5;
/** channel (4) piece (4) offset (4), before the bytes of a piece. */
export const PIECE_HEADER_BYTES = 12;
/** The bytes of a piece travel in frames of at most this size, so that a small answer never waits long behind them. */
export const MAX_CHUNK_BYTES = 256 * 1024;
/** A frame that is not part of a piece: manifests (4 MiB) are the largest. */
export const MAX_FRAME_BYTES = 5 * 1024 * 1024;

/** Where a decoder delivers. An error thrown from here ends the link. */
export interface FrameSink {
  /** A whole frame; the payload is the receiver's to keep. */
  onFrame(type: number, payload: Buffer): void;
  /**
   * The beginning of a chunk of a piece. Answers the buffer of exactly `length` bytes to copy into, or `undefined` to
   * have the bytes thrown away.
   */
  onChunk(channel: number, piece: number, offset: number, length: number): Buffer | undefined;
  /** All bytes of the chunk have been copied. */
  onChunkEnd(channel: number, piece: number, offset: number, length: number): void;
}

/**
 * A header and the small payload behind it, in one buffer.
 * @throws {RangeError} when the payload is larger than a peer would take
 */
export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  if (payload.length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${payload.length} bytes is too large to send`);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt8(type, 4);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** What stands before the bytes of a chunk; the bytes themselves are written behind it without a copy. */
export function encodeChunkHeader(channel: number, piece: number, offset: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES + PIECE_HEADER_BYTES);
  header.writeUInt32BE(PIECE_HEADER_BYTES + length, 0);
  header.writeUInt8(FRAME.piece, 4);
  header.writeUInt32BE(channel, 5);
  header.writeUInt32BE(piece, 9);
  header.writeUInt32BE(offset, 13);
  return header;
}

interface Chunk {
  readonly channel: number;
  readonly piece: number;
  readonly offset: number;
  readonly length: number;
  readonly target: Buffer | undefined;
  filled: number;
}

/** Cuts a byte stream into frames. Memory is bounded by the largest frame. */
export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(HEADER_BYTES + PIECE_HEADER_BYTES);
  #headerFilled = 0;
  #headerNeeded = HEADER_BYTES;
  #payload: Buffer | undefined;
  #payloadFilled = 0;
  #chunk: Chunk | undefined;
  #maxFrameBytes: number;

  constructor(sink: FrameSink, maxFrameBytes: number = MAX_FRAME_BYTES) {
    this.#sink = sink;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Raises the limit, once the other side is known to be a member. */
  allowFrameBytes(maxFrameBytes: number): void {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /**
   * Takes the next bytes of the stream, which stand in `data` before `end`.
   * @throws {DockyardError} ERR_LINK_PROTOCOL on a frame that is too large or malformed
   */
  push(data: Buffer, end: number = data.length): void {
    let at = 0;
    while (at < end) {
      if (this.#chunk !== undefined) at += this.#fillChunk(this.#chunk, data, at, end);
      else if (this.#payload !== undefined) at += this.#fillPayload(this.#payload, data, at, end);
      else at += this.#fillHeader(data, at, end);
    }
  }

  #fillHeader(data: Buffer, at: number, end: number): number {
    const count = Math.min(this.#headerNeeded - this.#headerFilled, end - at);
    data.copy(this.#header, this.#headerFilled, at, at + count);
    this.#headerFilled += count;
    if (this.#headerFilled === this.#headerNeeded) this.#onHeader();
    return count;
  }

  #onHeader(): void {
    const length = this.#header.readUInt32BE(0);
    const type = this.#header.readUInt8(4);
    if (type === FRAME.piece) {
      if (this.#headerNeeded === HEADER_BYTES) {
        if (length <= PIECE_HEADER_BYTES || length > PIECE_HEADER_BYTES + MAX_CHUNK_BYTES)
          throw frameSizeError(type, length);
        this.#headerNeeded += PIECE_HEADER_BYTES;
        return;
      }
      this.#startChunk(length - PIECE_HEADER_BYTES);
    } else {
      if (length > this.#maxFrameBytes) throw frameSizeError(type, length);
      if (length === 0) this.#sink.onFrame(type, Buffer.alloc(0));
      else this.#payload = Buffer.allocUnsafeSlow(length);
    }
    if (this.#payload === undefined) this.#expectHeader();
  }

  #expectHeader(): void {
    this.#headerFilled = 0;
    this.#headerNeeded = HEADER_BYTES;
  }

  #startChunk(length: number): void {
    const channel = this.#header.readUInt32BE(5);
    const piece = this.#header.readUInt32BE(9);
    const offset = this.#header.readUInt32BE(13);
    const target = this.#sink.onChunk(channel, piece, offset, length);
    this.#chunk = { channel, piece, offset, length, target, filled: 0 };
  }

  #fillChunk(chunk: Chunk, data: Buffer, at: number, end: number): number {
    const count = Math.min(chunk.length - chunk.filled, end - at);
    if (chunk.target !== undefined) data.copy(chunk.target, chunk.filled, at, at + count);
    chunk.filled += count;
    if (chunk.filled === chunk.length) {
      this.#chunk = undefined;
      if (chunk.target !== undefined) this.#sink.onChunkEnd(chunk.channel, chunk.piece, chunk.offset, chunk.length);
    }
    return count;
  }

  #fillPayload(payload: Buffer, data: Buffer, at: number, end: number): number {
    const count = Math.min(payload.length - this.#payloadFilled, end - at);
    data.copy(payload, this.#payloadFilled, at, at + count);
    this.#payloadFilled += count;
    if (this.#payloadFilled === payload.length) {
      this.#payload = undefined;
      this.#payloadFilled = 0;
      const type = this.#header.readUInt8(4);
      this.#expectHeader();
      this.#sink.onFrame(type, payload);
    }
    return count;
  }
}

function frameSizeError(type: number, length: number): Error {
  return swarmError('ERR_LINK_PROTOCOL', `a frame of type ${type} announces ${length} bytes, which is out of bounds`);
}
