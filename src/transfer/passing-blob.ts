/**
 * A blob that cannot be kept, because the disk is full, still reaches the client: it is passed on piece by piece from peers
 * that hold all of it, or from the origin, and not written. Costs one small window of memory for each client.
 */
import type { Logger } from 'pino';
import type { BlobStore } from '../content/blob-store.ts';
import { pieceGeometry, pieceRange, type PieceGeometry } from '../content/geometry.ts';
import type { KeyedLock } from '../content/keyed-lock.ts';
import type { ByteRange } from '../oci/byte-range.ts';
import { asError } from '../oci/error.ts';
import { digestAlgorithm, DigestHasher, type Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { VerifySignature } from '../swarm/link/handshake.ts';
import { transferError } from './errors.ts';
import { GivenPartCheck, type GivenPart } from './given-part.ts';
import type { FoundHolder, HolderSearch } from './holder-search.ts';
import type { OriginBlobs } from './origin-feed.ts';
import { readPassingHolder } from './passing-holder.ts';
import type { Peers } from './peers.ts';
import type { RateLimit } from './rate-limit.ts';
import type { TransferMetrics } from './transfer-metrics.ts';

export interface PassingBlobDeps {
  readonly store: BlobStore;
  readonly peers: Peers;
  readonly search: HolderSearch;
  readonly origin: OriginBlobs;
  readonly downloadRate: RateLimit;
  readonly verify: VerifySignature;
  readonly clock: { nowMs(): number };
  readonly metrics: TransferMetrics;
  readonly log: Logger;
  /** One at a time reads back what is on disk of a blob, which has one opener at a time. */
  readonly readingBack: KeyedLock<Digest>;
  readonly askTimeoutMs: number;
  readonly stallTimeoutMs: number;
}

/** What is passed on. */
export interface PassedBlob {
  readonly digest: Digest;
  readonly repository: Repository;
  readonly sizeBytes: number;
}

/** A source of bytes from a place in the blob to another, or a little beyond it. */
type Source = (from: number, end: number) => AsyncIterable<Buffer>;

/** For a piece of a holder that is alive, when no source is faster. */
const LAST_PATIENCE_MS = 60_000;

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
   * The bytes of `range` behind those that were given to the client already. Where the client gets the whole from the
   * beginning, its end is held back until the digest of the whole is right.
   * @throws {DockyardError} ERR_TRANSFER_BROKEN, ERR_TRANSFER_CORRUPT
   */
  async *read(range: ByteRange, given: GivenPart): AsyncGenerator<Buffer> {
    const { digest, sizeBytes } = this.#blob;
    const isWhole = range.start === 0 && range.end === sizeBytes;
    const hasher = isWhole ? new DigestHasher(digestAlgorithm(digest)) : undefined;
    let at = hasher === undefined ? given.end : await this.#hashFromDisk(hasher, given);
    const check = new GivenPartCheck(digest, given, this.#geometry, at);
    let heldBack: Buffer | undefined;
    for await (const bytes of this.#bytes(at, range.end)) {
      const wanted = bytes.subarray(0, range.end - at);
      if (at < given.end) check.push(wanted);
      hasher?.update(wanted);
      const fresh = wanted.subarray(Math.max(0, given.end - at));
      at += wanted.length;
      if (fresh.length === 0) continue;
      if (heldBack !== undefined) yield heldBack;
      heldBack = fresh;
    }
    if (hasher !== undefined && hasher.digest() !== digest) {
      throw transferError('ERR_TRANSFER_CORRUPT', `what came for ${digest} does not have this digest`);
    }
    if (heldBack !== undefined) yield heldBack;
  }

  /** Most of what the client has got is on disk: the running hash begins with it. Answers how far it goes. */
  async #hashFromDisk(hasher: DigestHasher, given: GivenPart): Promise<number> {
    if (given.end === 0) return 0;
    const { readingBack } = this.#deps;
    return await readingBack.run(this.#blob.digest, async () => await this.#hashPartial(hasher, given));
  }

  async #hashPartial(hasher: DigestHasher, given: GivenPart): Promise<number> {
    const { digest, sizeBytes } = this.#blob;
    const check = new GivenPartCheck(digest, given, this.#geometry, 0);
    let at = 0;
    try {
      await using partial = await this.#deps.store.openPartial(digest, sizeBytes);
      for (let piece = 0; at < given.end && partial.held.has(piece); piece += 1) {
        this.#signal.throwIfAborted();
        const range = pieceRange(this.#geometry, piece);
        const bytes = await partial.read(range);
        check.push(bytes);
        hasher.update(bytes);
        at = range.end;
      }
    } catch (error) {
      this.#signal.throwIfAborted();
      // Gone to make room, or in use by one who tries to keep it: the rest is fetched once more.
      this.#deps.log.debug({ err: error, digest, at }, 'what was kept of a blob cannot be read back');
    }
    return at;
  }

  /** Bytes from `from` to `end`, or a little beyond, from one source after the other; the patient round comes last. */
  async *#bytes(from: number, end: number): AsyncGenerator<Buffer> {
    let at = from;
    const failures: Error[] = [];
    for (const patienceMs of [this.#deps.stallTimeoutMs, LAST_PATIENCE_MS]) {
      for (const open of [...(await this.#holders(patienceMs)), this.#fromOrigin.bind(this)]) {
        try {
          for await (const bytes of open(at, end)) {
            await this.#deps.downloadRate.acquire(bytes.length, { signal: this.#signal });
            at += bytes.length;
            yield bytes;
          }
          if (at >= end) return;
        } catch (thrown) {
          this.#signal.throwIfAborted();
          failures.push(asError(thrown));
        }
      }
    }
    const cause = new AggregateError(failures);
    throw transferError('ERR_TRANSFER_BROKEN', `no source can go on with ${this.#blob.digest}`, { cause });
  }

  async #holders(patienceMs: number): Promise<Source[]> {
    const found: FoundHolder[] = [];
    const { digest, repository, sizeBytes } = this.#blob;
    await this.#deps.search.askHomes(
      { digest, repository, sizeBytes, isReading: true },
      { except: new Set(), onHolder: (holder) => found.push(holder), signal: this.#signal },
    );
    return found.map((holder) => (from: number, end: number) => this.#fromHolder(holder, { from, end }, patienceMs));
  }

  async *#fromHolder(
    holder: FoundHolder,
    range: { from: number; end: number },
    patienceMs: number,
  ): AsyncGenerator<Buffer> {
    const { peers, verify, clock, askTimeoutMs, stallTimeoutMs, metrics } = this.#deps;
    const { digest } = this.#blob;
    const link = await peers.link(holder, this.#signal);
    const nowMs = (): number => clock.nowMs();
    const deps = { link, digest, geometry: this.#geometry, verify, nowMs, signal: this.#signal };
    for await (const bytes of readPassingHolder(deps, range, { askTimeoutMs, stallTimeoutMs, patienceMs })) {
      metrics.received('peer', bytes.length);
      yield bytes;
    }
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
