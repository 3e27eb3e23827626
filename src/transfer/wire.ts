/**
 * What the frames of a blob channel say. Each side of a link gives a blob a number of its own, its channel, and tells it
 * with `join`; all other frames begin with the channel number of the side that receives them.
 *
 * | frame   | payload behind the channel number                                                    |
 * |---------|--------------------------------------------------------------------------------------|
 * | join    | (sender's own channel) jsonLength (4) json bitfield                                  |
 * | leave   | json                                                                                 |
 * | hashes  | a signed statement, see statement.ts                                                 |
 * | have    | runs of pieces: start (4) count (4) …                                                |
 * | need    | runs of pieces whose hashes the sender lacks: start (4) count (4) …                  |
 * | want    | pieces: index (4) …                                                                  |
 * | cancel  | pieces: index (4) …                                                                  |
 * | refuse  | reason (1), pieces: index (4) …                                                      |
 * | piece   | piece (4) offset (4) bytes                                                           |
 */
import { pieceGeometry } from '../content/geometry.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import type { PeerId } from '../swarm/member.ts';
import { swarmError } from '../swarm/errors.ts';

/** `start` and `count` of consecutive pieces. */
export interface PieceRun {
  readonly start: number;
  readonly count: number;
}

/** What a side says of itself when it joins a blob. */
export interface Join {
  readonly digest: Digest;
  /** Undefined while the sender does not know it yet. */
  readonly sizeBytes: number | undefined;
  /** The sender holds all of it, verified. */
  readonly complete: boolean;
  /** Pieces held, when not complete and the size is known. */
  readonly bitfield: Uint8Array | undefined;
}

/** No blob is larger; what a peer claims beyond it is not believed, since room for its piece map would be set aside. */
export const MAX_BLOB_BYTES = 2 ** 40;
/** Pieces, or runs of them, in one frame. */
const MAX_FRAME_ENTRIES = 65_536;

/** Why a side leaves a blob. */
export type LeaveReason = 'absent' | 'done' | 'size-differs' | 'failed';

/** Why wanted pieces are not sent. */
export const REFUSAL = { absent: 1, busy: 2 } as const;

export function encodeJoin(channel: number, join: Join): Buffer {
  const json = Buffer.from(JSON.stringify({ digest: join.digest, sizeBytes: join.sizeBytes, complete: join.complete }));
  const head = Buffer.allocUnsafe(8);
  head.writeUInt32BE(channel, 0);
  head.writeUInt32BE(json.length, 4);
  return Buffer.concat([head, json, join.bitfield ?? Buffer.alloc(0)]);
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeJoin(payload: Buffer): { channel: number; join: Join } {
  const jsonEnd = payload.length < 8 ? Infinity : 8 + payload.readUInt32BE(4);
  if (jsonEnd > payload.length) throw malformed('join');
  const { digest, sizeBytes, complete } = parseJson(payload.subarray(8, jsonEnd), 'join');
  const sizeKnown = isBlobSize(sizeBytes);
  if (typeof digest !== 'string' || !isDigest(digest) || (sizeBytes !== undefined && !sizeKnown))
    throw malformed('join');
  const bitfield = jsonEnd < payload.length ? payload.subarray(jsonEnd) : undefined;
  const bitfieldBytes = sizeKnown ? Math.ceil(pieceGeometry(sizeBytes).pieceCount / 8) : 0;
  if (bitfield !== undefined && bitfield.length !== bitfieldBytes) throw malformed('join');
  return {
    channel: payload.readUInt32BE(0),
    join: { digest, sizeBytes: sizeKnown ? sizeBytes : undefined, complete: complete === true && sizeKnown, bitfield },
  };
}

/** True for what can be the size of a blob. */
export function isBlobSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_BLOB_BYTES;
}

export function encodeLeave(channel: number, reason: LeaveReason): Buffer {
  return Buffer.concat([encodeChannel(channel), Buffer.from(JSON.stringify({ reason }))]);
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeLeave(payload: Buffer): { channel: number; reason: LeaveReason } {
  const channel = decodeChannel(payload, 'leave');
  const { reason } = parseJson(payload.subarray(4), 'leave');
  const known = reason === 'absent' || reason === 'done' || reason === 'size-differs' || reason === 'failed';
  return { channel, reason: known ? reason : 'failed' };
}

/** For `have` and `need`. */
export function encodeRuns(channel: number, runs: readonly PieceRun[]): Buffer {
  const payload = Buffer.allocUnsafe(4 + 8 * runs.length);
  payload.writeUInt32BE(channel, 0);
  runs.forEach((run, index) => {
    payload.writeUInt32BE(run.start, 4 + 8 * index);
    payload.writeUInt32BE(run.count, 8 + 8 * index);
  });
  return payload;
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeRuns(payload: Buffer): PieceRun[] {
  if (payload.length < 4 || (payload.length - 4) % 8 !== 0 || payload.length > 8 * MAX_FRAME_ENTRIES)
    throw malformed('runs');
  const runs: PieceRun[] = [];
  for (let at = 4; at < payload.length; at += 8) {
    runs.push({ start: payload.readUInt32BE(at), count: payload.readUInt32BE(at + 4) });
  }
  return runs;
}

/**
 * The pieces of runs. Runs do not overlap, so they name no more pieces than there are.
 * @throws {DockyardError} ERR_LINK_PROTOCOL
 */
export function* piecesOf(runs: readonly PieceRun[], pieceCount: number): Generator<number> {
  let left = pieceCount;
  for (const { start, count } of runs) {
    left -= count;
    if (left < 0 || start + count > pieceCount) throw malformed('runs');
    for (let piece = start; piece < start + count; piece += 1) yield piece;
  }
}

/** For `want` and `cancel`. */
export function encodePieces(channel: number, pieces: readonly number[]): Buffer {
  const payload = Buffer.allocUnsafe(4 + 4 * pieces.length);
  payload.writeUInt32BE(channel, 0);
  pieces.forEach((piece, index) => payload.writeUInt32BE(piece, 4 + 4 * index));
  return payload;
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodePieces(payload: Buffer, from = 4): number[] {
  if (payload.length < from || (payload.length - from) % 4 !== 0 || payload.length > 4 * MAX_FRAME_ENTRIES)
    throw malformed('pieces');
  const pieces: number[] = [];
  for (let at = from; at < payload.length; at += 4) pieces.push(payload.readUInt32BE(at));
  return pieces;
}

export function encodeRefuse(channel: number, reason: number, pieces: readonly number[]): Buffer {
  const list = encodePieces(channel, pieces);
  return Buffer.concat([list.subarray(0, 4), Buffer.from([reason]), list.subarray(4)]);
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeRefuse(payload: Buffer): { reason: number; pieces: number[] } {
  if (payload.length < 5) throw malformed('refuse');
  return { reason: payload.readUInt8(4), pieces: decodePieces(payload, 5) };
}

/** Peers that one who is busy knows to take part. */
const MAX_OTHERS = 16;

export function encodeOthers(channel: number, peerIds: readonly PeerId[]): Buffer {
  return Buffer.concat([
    encodeChannel(channel),
    Buffer.from(JSON.stringify({ peerIds: peerIds.slice(0, MAX_OTHERS) })),
  ]);
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeOthers(payload: Buffer): PeerId[] {
  const { peerIds } = parseJson(payload.subarray(4), 'others');
  if (!Array.isArray(peerIds)) throw malformed('others');
  const named: readonly unknown[] = peerIds.slice(0, MAX_OTHERS);
  return named.filter((peerId): peerId is PeerId => typeof peerId === 'string' && peerId.length <= 128);
}

export function encodeChannel(channel: number): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(channel, 0);
  return head;
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeChannel(payload: Buffer, frame = 'channel'): number {
  if (payload.length < 4) throw malformed(frame);
  return payload.readUInt32BE(0);
}

/** Consecutive numbers of a sorted list as runs. */
export function toRuns(sorted: readonly number[]): PieceRun[] {
  const runs: { start: number; count: number }[] = [];
  for (const piece of sorted) {
    const last = runs.at(-1);
    if (last !== undefined && piece === last.start + last.count) last.count += 1;
    else runs.push({ start: piece, count: 1 });
  }
  return runs;
}

function parseJson(bytes: Buffer, frame: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (cause) {
    throw swarmError('ERR_LINK_PROTOCOL', `a '${frame}' frame is malformed`, { cause });
  }
  throw malformed(frame);
}

function malformed(frame: string): Error {
  return swarmError('ERR_LINK_PROTOCOL', `a '${frame}' frame is malformed`);
}
