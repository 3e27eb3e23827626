/**
 * A piece map travels as statements: "I, this peer, say that pieces `first` … of this blob have these hashes", signed.
 * Anyone may pass a statement on, nobody can alter it, and when the whole turns out not to have its digest, it is known
 * whose word was false. A node signs for bytes that it read from the origin itself, or for a whole that it has verified.
 */
import { PIECE_HASH_BYTES, type PieceGeometry } from '../content/geometry.ts';
import type { Digest } from '../oci/digest.ts';
import type { LinkIdentity, VerifySignature } from '../swarm/link/handshake.ts';
import type { PeerId } from '../swarm/member.ts';
import { swarmError } from '../swarm/errors.ts';

/** Hashes of consecutive pieces, and who answers for them. */
export interface Statement {
  readonly author: PeerId;
  readonly sizeBytes: number;
  readonly first: number;
  /** 32 bytes for each piece. */
  readonly hashes: Buffer;
  readonly signature: Buffer;
}

function signedBytes(digest: Digest, sizeBytes: number, first: number, hashes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`dockyard-pieces/1\0${digest}\0${sizeBytes}\0${first}\0`), hashes]);
}

/** Signs hashes as this node's own word. */
export function makeStatement(
  identity: LinkIdentity,
  blob: { digest: Digest; sizeBytes: number },
  first: number,
  hashes: Buffer,
): Statement {
  const signature = Buffer.from(identity.sign(signedBytes(blob.digest, blob.sizeBytes, first, hashes)));
  return { author: identity.peerId, sizeBytes: blob.sizeBytes, first, hashes, signature };
}

/** Pieces of one statement at most: its frame stays well below what a peer takes. */
const MAX_STATEMENT_PIECES = 32_768;

/** Signs the hashes of all pieces of a blob, in as many statements as it takes. */
export function makeStatements(
  identity: LinkIdentity,
  blob: { digest: Digest; sizeBytes: number },
  hashes: Buffer,
): Statement[] {
  const statements: Statement[] = [];
  const step = MAX_STATEMENT_PIECES * PIECE_HASH_BYTES;
  for (let at = 0; at < hashes.length; at += step) {
    statements.push(makeStatement(identity, blob, at / PIECE_HASH_BYTES, hashes.subarray(at, at + step)));
  }
  return statements;
}

/** True when the author did sign it for this blob. */
export function isAuthentic(statement: Statement, digest: Digest, verify: VerifySignature): boolean {
  const bytes = signedBytes(digest, statement.sizeBytes, statement.first, statement.hashes);
  return verify(statement.author, bytes, statement.signature);
}

/** How many pieces it speaks of. */
export function statementCount(statement: Statement): number {
  return statement.hashes.length / PIECE_HASH_BYTES;
}

/** True when it speaks of pieces that this geometry has. */
export function fitsGeometry(statement: Statement, geometry: PieceGeometry): boolean {
  return (
    statement.sizeBytes === geometry.sizeBytes && statement.first + statementCount(statement) <= geometry.pieceCount
  );
}

/** `channel (4) first (4) size (8) authorLength (1) author signature (64) hashes`. */
export function encodeStatement(channel: number, statement: Statement): Buffer {
  const author = Buffer.from(statement.author);
  const head = Buffer.allocUnsafe(17);
  head.writeUInt32BE(channel, 0);
  head.writeUInt32BE(statement.first, 4);
  head.writeBigUInt64BE(BigInt(statement.sizeBytes), 8);
  head.writeUInt8(author.length, 16);
  return Buffer.concat([head, author, statement.signature, statement.hashes]);
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeStatement(payload: Buffer): Statement {
  const authorEnd = payload.length < 17 ? Infinity : 17 + payload.readUInt8(16);
  const hashesAt = authorEnd + 64;
  const hashBytes = payload.length - hashesAt;
  if (!(hashBytes > 0) || hashBytes % PIECE_HASH_BYTES !== 0) {
    throw swarmError('ERR_LINK_PROTOCOL', 'a statement of piece hashes is malformed');
  }
  return {
    author: payload.toString('utf8', 17, authorEnd),
    first: payload.readUInt32BE(4),
    sizeBytes: Number(payload.readBigUInt64BE(8)),
    signature: payload.subarray(authorEnd, hashesAt),
    hashes: payload.subarray(hashesAt),
  };
}
