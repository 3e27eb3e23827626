/** A peer that holds all of a blob, read piece by piece by a node that keeps none of them. */
import { hash } from 'node:crypto';
import { PIECE_HASH_BYTES, pieceRange, type PieceGeometry } from '../content/geometry.ts';
import type { Digest } from '../oci/digest.ts';
import type { VerifySignature } from '../swarm/link/handshake.ts';
import type { Link } from '../swarm/link/link.ts';
import { transferError } from './errors.ts';
import { decodeStatement, fitsGeometry, isAuthentic, statementCount } from './statement.ts';

/** What is read, and how. */
export interface PassingHolderDeps {
  readonly link: Link;
  readonly digest: Digest;
  readonly geometry: PieceGeometry;
  readonly verify: VerifySignature;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** How long it is waited for a holder. */
export interface PassingHolderConfig {
  /** For the piece map. */
  readonly askTimeoutMs: number;
  /** One that gives no sign of life for so long is gone. */
  readonly stallTimeoutMs: number;
  /** For each piece, while there are signs of life: a holder may be slow, since its operator limits its rate. */
  readonly patienceMs: number;
}

/** Pieces asked of a holder ahead of the one that is being passed on. */
const PIECES_AHEAD = 4;
/** How often in the time of a stall a holder is asked for a sign of life. */
const PINGS_PER_STALL = 6;

/**
 * Verified bytes from `from` to the end of the piece in which `end` lies.
 * @throws {DockyardError} ERR_TRANSFER_BROKEN, ERR_LINK_TIMEOUT, ERR_LINK_FAILED, or what the peer answers
 */
export async function* readPassingHolder(
  deps: PassingHolderDeps,
  range: { from: number; end: number },
  config: PassingHolderConfig,
): AsyncGenerator<Buffer> {
  const { pieceSizeBytes } = deps.geometry;
  const hashes = await pieceHashes(deps, config);
  const first = Math.floor(range.from / pieceSizeBytes);
  const last = Math.ceil(range.end / pieceSizeBytes);
  const watch = watchForLife(deps, config.stallTimeoutMs);
  const signal = AbortSignal.any([deps.signal, watch.signal]);
  const asked: Promise<Buffer>[] = [];
  let next = first;
  try {
    for (let piece = first; piece < last; piece += 1) {
      for (; next < last && asked.length < PIECES_AHEAD; next += 1) {
        const coming = askPiece({ ...deps, signal }, next, hashes, config.patienceMs);
        coming.catch(() => undefined);
        asked.push(coming);
      }
      const bytes = await asked.shift();
      if (bytes === undefined) return;
      yield bytes.subarray(Math.max(0, range.from - piece * pieceSizeBytes));
    }
  } finally {
    watch.end();
  }
}

async function pieceHashes(deps: PassingHolderDeps, { askTimeoutMs }: PassingHolderConfig): Promise<Buffer> {
  const { link, digest, geometry, verify, signal } = deps;
  const answer = await link.request('map', { digest }, { timeoutMs: askTimeoutMs, signal });
  const statement = decodeStatement(answer.bytes);
  const isWhole = fitsGeometry(statement, geometry) && statementCount(statement) === geometry.pieceCount;
  if (!isWhole || !isAuthentic(statement, digest, verify)) {
    throw transferError('ERR_TRANSFER_BROKEN', `peer ${link.peerId} gave no good piece map of ${digest}`);
  }
  return statement.hashes;
}

async function askPiece(
  { link, digest, geometry, signal }: PassingHolderDeps,
  piece: number,
  hashes: Buffer,
  timeoutMs: number,
): Promise<Buffer> {
  const question = { digest, ...pieceRange(geometry, piece) };
  const { bytes } = await link.request('range', question, { timeoutMs, signal });
  const expected = hashes.subarray(piece * PIECE_HASH_BYTES, (piece + 1) * PIECE_HASH_BYTES);
  if (hash('sha256', bytes, 'buffer').equals(expected)) return bytes;
  throw transferError('ERR_TRANSFER_BROKEN', `peer ${link.peerId} gave a wrong piece ${piece} of ${digest}`);
}

/** Aborts when nothing at all comes from the peer, though it is asked for a sign. */
function watchForLife(
  { link, nowMs }: PassingHolderDeps,
  stallTimeoutMs: number,
): { signal: AbortSignal; end: () => void } {
  const gone = new AbortController();
  const startedAtMs = nowMs();
  const timer = setInterval(() => {
    if (nowMs() - Math.max(link.lastHeardAtMs, startedAtMs) <= stallTimeoutMs) link.ping();
    else gone.abort(transferError('ERR_TRANSFER_BROKEN', `peer ${link.peerId} has fallen silent`));
  }, stallTimeoutMs / PINGS_PER_STALL);
  return { signal: gone.signal, end: () => clearInterval(timer) };
}
