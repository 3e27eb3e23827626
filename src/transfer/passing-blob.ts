/**
 * A blob that cannot be kept, because the disk is full, still reaches the client: it is passed on piece by piece from peers
 * that hold all of it, or from the origin, and not written. Costs one small window of memory for each client.
 */
import { hash } from 'node:crypto';
import type { Logger } from 'pino';
import type { BlobStore } from '../content/blob-store.ts';
import { PIECE_HASH_BYTES, pieceGeometry, pieceRange, type PieceGeometry } from '../content/geometry.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { asError } from '../oci/error.ts';
import { digestAlgorithm, DigestHasher, type Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { VerifySignature } from '../swarm/link/handshake.ts';
import type { Link } from '../swarm/link/link.ts';
import { transferError } from './errors.ts';
import type { FoundHolder, HolderSearch } from './holder-search.ts';
import type { OriginBlobs } from './origin-feed.ts';
import type { Peers } from './peers.ts';
import { decodeStatement, fitsGeometry, isAuthentic, statementCount } from './statement.ts';
import type { TransferMetrics } from './transfer-metrics.ts';

export interface PassingBlobDeps {
  readonly store: BlobStore;
  readonly peers: Peers;
  readonly search: HolderSearch;
  readonly origin: OriginBlobs;
  readonly verify: VerifySignature;
  readonly metrics: TransferMetrics;
  readonly log: Logger;
  readonly askTimeoutMs: number;
}

/** What is passed on. */
export interface PassedBlob {
  readonly digest: Digest;
  readonly repository: Repository;
  readonly sizeBytes: number;
}

/** Pieces asked of a holder ahead of the one that is being sent. */
const PIECES_AHEAD = 4;

export class PassingBlob {
  readonly #deps: PassingBlobDeps;
  readonly #blob: PassedBlob;
  readonly #geometry: PieceGeometry;
  readonly #signal: AbortSignal;

  constructor(deps: PassingBlobDeps, blob: PassedBlob, signal: AbortSignal) {
    this.#deps = deps;
    this.#blob = blob;
    this.#geometry = pieceGeometry(blob.sizeBytes);
    this.#signal = signal;
  }

  /**
   * The bytes of `range` from `from` on; those before were given to the client already. Where the client gets the whole
   * from the beginning, its end is held back until the digest of the whole is right.
   * @throws {DockyardError} ERR_TRANSFER_BROKEN, ERR_TRANSFER_CORRUPT
   */
  async *read(range: ByteRange, from: number): AsyncGenerator<Buffer> {
    const hasher = range.start === 0 && range.end === this.#blob.sizeBytes ? await this.#hashBefore(from) : undefined;
    let heldBack: Buffer | undefined;
    let at = from;
    for await (const bytes of this.#pieces(from, range.end)) {
      const wanted = bytes.subarray(0, range.end - at);
      at += wanted.length;
      hasher?.update(wanted);
      if (heldBack !== undefined) yield heldBack;
      heldBack = wanted;
    }
    if (hasher !== undefined && hasher.digest() !== this.#blob.digest) {
      throw transferError('ERR_TRANSFER_CORRUPT', `what came for ${this.#blob.digest} does not have this digest`);
    }
    if (heldBack !== undefined) yield heldBack;
  }

  /** What the client has got so far is still on disk: the running hash begins with it. */
  async #hashBefore(end: number): Promise<DigestHasher> {
    const hasher = new DigestHasher(digestAlgorithm(this.#blob.digest));
    if (end === 0) return hasher;
    await using partial = await this.#deps.store.openPartial(this.#blob.digest, this.#blob.sizeBytes);
    const step = this.#geometry.pieceSizeBytes;
    for (let at = 0; at < end; at += step)
      hasher.update(await partial.read({ start: at, end: Math.min(at + step, end) }));
    return hasher;
  }

  /** Bytes from `from` to `end`, from one source after the other. */
  async *#pieces(from: number, end: number): AsyncGenerator<Buffer> {
    let at = from;
    const failures: Error[] = [];
    for (const open of [...(await this.#holders()), this.#fromOrigin.bind(this)]) {
      try {
        for await (const bytes of open(at, end)) {
          at += bytes.length;
          yield bytes;
        }
        if (at >= end) return;
      } catch (thrown) {
        this.#signal.throwIfAborted();
        failures.push(asError(thrown));
      }
    }
    const cause = new AggregateError(failures);
    throw transferError('ERR_TRANSFER_BROKEN', `no source can go on with ${this.#blob.digest}`, { cause });
  }

  async #holders(): Promise<((from: number, end: number) => AsyncIterable<Buffer>)[]> {
    const found: FoundHolder[] = [];
    const { digest, repository, sizeBytes } = this.#blob;
    await this.#deps.search.askHomes(
      { digest, repository, sizeBytes, isReading: true },
      { except: new Set(), onHolder: (holder) => found.push(holder), signal: this.#signal },
    );
    return found.map((holder) => (from: number, end: number) => this.#fromHolder(holder, from, end));
  }

  async *#fromHolder(holder: FoundHolder, from: number, end: number): AsyncGenerator<Buffer> {
    const link = await this.#deps.peers.link(holder, this.#signal);
    const hashes = await this.#pieceHashes(link);
    const first = Math.floor(from / this.#geometry.pieceSizeBytes);
    const last = Math.ceil(end / this.#geometry.pieceSizeBytes);
    const asked: Promise<Buffer>[] = [];
    let next = first;
    for (let piece = first; piece < last; piece += 1) {
      for (; next < last && asked.length < PIECES_AHEAD; next += 1) {
        const coming = this.#askPiece(link, next, hashes);
        coming.catch(() => undefined);
        asked.push(coming);
      }
      const bytes = await asked.shift();
      if (bytes === undefined) return;
      this.#deps.metrics.received('peer', bytes.length);
      yield bytes.subarray(Math.max(0, from - piece * this.#geometry.pieceSizeBytes));
    }
  }

  async #pieceHashes(link: Link): Promise<Buffer> {
    const { digest } = this.#blob;
    const answer = await link.request('map', { digest }, { timeoutMs: this.#deps.askTimeoutMs, signal: this.#signal });
    const statement = decodeStatement(answer.bytes);
    const isWhole = fitsGeometry(statement, this.#geometry) && statementCount(statement) === this.#geometry.pieceCount;
    if (!isWhole || !isAuthentic(statement, digest, this.#deps.verify)) {
      throw transferError('ERR_TRANSFER_BROKEN', `peer ${link.peerId} gave no good piece map of ${digest}`);
    }
    return statement.hashes;
  }

  async #askPiece(link: Link, piece: number, hashes: Buffer): Promise<Buffer> {
    const { digest } = this.#blob;
    const range = pieceRange(this.#geometry, piece);
    const question = { digest, ...range };
    const { bytes } = await link.request('range', question, {
      timeoutMs: this.#deps.askTimeoutMs,
      signal: this.#signal,
    });
    const expected = hashes.subarray(piece * PIECE_HASH_BYTES, (piece + 1) * PIECE_HASH_BYTES);
    if (!hash('sha256', bytes, 'buffer').equals(expected)) {
      throw transferError('ERR_TRANSFER_BROKEN', `peer ${link.peerId} gave a wrong piece ${piece} of ${digest}`);
    }
    return bytes;
  }

  async *#fromOrigin(from: number, end: number): AsyncGenerator<Buffer> {
    const { repository, digest } = this.#blob;
    const reading = await this.#deps.origin.openBlob(repository, digest, {
      range: { start: from, end },
      signal: this.#signal,
    });
    if (reading === undefined) throw transferError('ERR_TRANSFER_BROKEN', `the origin does not have ${digest}`);
    try {
      for await (const chunk of reading.body) {
        this.#deps.metrics.received('origin', chunk.length);
        yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      }
    } finally {
      await reading.close();
    }
  }
}
