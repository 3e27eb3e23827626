/**
 * The short path: a blob that is known to be small travels whole in one answer, without piece map, channel or pipeline.
 * Asked of the home, of holders, of the origin, in this order; checked by its own digest; then kept.
 */
import type { Logger } from 'pino';
import type { BlobStore } from '../content/blob-store.ts';
import { isKeepingError } from '../content/errors.ts';
import { asError, isAbortError } from '../oci/error.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { PeerId } from '../swarm/member.ts';
import type { FoundHolder, HolderSearch, SearchOutcome } from './holder-search.ts';
import type { OriginBlobs } from './origin-feed.ts';
import type { Peers } from './peers.ts';
import { abortable } from '../oci/abortable.ts';
import type { TransferMetrics } from './transfer-metrics.ts';

/** What is fetched. */
export interface SmallBlob {
  readonly digest: Digest;
  readonly repository: Repository;
  readonly sizeBytes: number;
  /** A peer asked this node as home: other homes are not to wait for one another. */
  readonly isForPeer?: boolean;
}

export interface SmallBlobsDeps {
  readonly store: BlobStore;
  readonly peers: Peers;
  readonly search: HolderSearch;
  readonly origin: OriginBlobs;
  readonly metrics: TransferMetrics;
  readonly log: Logger;
  readonly onComplete: (digest: Digest) => void;
  /** A peer gave bytes that are not the blob. */
  readonly onLie: (peerId: PeerId) => void;
  readonly askTimeoutMs: number;
  /** Ends all work when the node stops. */
  readonly signal: AbortSignal;
}

/** Holders that are asked before the origin is. */
const MAX_TRIED_HOLDERS = 3;
/** How often a home is asked that is still fetching; each time it answers within the ask timeout. */
const MAX_ASKS = 4;
/**
 * A peer that takes this node for the home waits for it: other homes, which may be gone without its knowing, have this share of
 * the ask timeout to answer before the origin is read.
 */
const OTHER_HOMES_SHARE = 0.25;

export class SmallBlobs {
  readonly #deps: SmallBlobsDeps;
  readonly #fetching = new Map<Digest, Promise<Buffer | undefined>>();

  constructor(deps: SmallBlobsDeps) {
    this.#deps = deps;
  }

  /**
   * The verified bytes, or undefined when nobody has the blob. All who ask for one digest share the work.
   * @throws {DockyardError} what the origin answered
   */
  async fetch(blob: SmallBlob, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
    let fetching = this.#fetching.get(blob.digest);
    if (fetching === undefined) {
      fetching = this.#fetch(blob).finally(() => this.#fetching.delete(blob.digest));
      fetching.catch(() => undefined);
      this.#fetching.set(blob.digest, fetching);
    }
    return await abortable(fetching, signal);
  }

  async #fetch(blob: SmallBlob): Promise<Buffer | undefined> {
    const fromPeers = await this.#fromHomes(blob);
    if (fromPeers !== undefined) return await this.#keep(blob, fromPeers, 'peer');
    let refusal: unknown;
    try {
      const fromOrigin = await this.#fromOrigin(blob);
      if (fromOrigin !== undefined) return await this.#keep(blob, fromOrigin, 'origin');
    } catch (error) {
      refusal = error;
    }
    const discovered = await this.#fromDiscoveries(blob);
    if (discovered !== undefined) return await this.#keep(blob, discovered, 'peer');
    if (refusal !== undefined) throw asError(refusal);
    return undefined;
  }

  async #keep(blob: SmallBlob, bytes: Buffer, source: 'peer' | 'origin'): Promise<Buffer> {
    const { metrics, store, log, onComplete } = this.#deps;
    metrics.received(source, bytes.length);
    try {
      await store.put(blob.digest, bytes);
      onComplete(blob.digest);
    } catch (thrown) {
      if (!isKeepingError(thrown)) throw thrown;
      log.warn({ err: thrown, digest: blob.digest }, 'a blob is passed on without being kept: the store takes nothing');
    }
    return bytes;
  }

  async #fromHomes(blob: SmallBlob): Promise<Buffer | undefined> {
    const found: FoundHolder[] = [];
    const silent = new Set<PeerId>();
    let outcome = await this.#askHomes(blob, found, silent);
    for (let asks = 1; outcome?.isComing === true && asks < MAX_ASKS; asks += 1) {
      outcome = await this.#askHomes(blob, found, silent);
    }
    if (outcome === undefined) return await this.#fromHolders(blob, found);
    if (outcome.inline !== undefined && this.#isRight(blob, outcome.inline, outcome.home)) return outcome.inline;
    return await this.#fromHolders(blob, found);
  }

  /** @param silent homes that did not answer: they are not asked again, and become more by this call */
  async #askHomes(blob: SmallBlob, found: FoundHolder[], silent: Set<PeerId>): Promise<SearchOutcome | undefined> {
    const { search, signal, askTimeoutMs } = this.#deps;
    const isForPeer = blob.isForPeer === true;
    const patience = isForPeer ? AbortSignal.timeout(askTimeoutMs * OTHER_HOMES_SHARE) : undefined;
    try {
      return await search.askHomes(
        { ...blob, isReading: isForPeer },
        {
          except: silent,
          completeOnly: true,
          onHolder: (holder) => found.push(holder),
          onSilent: (home) => silent.add(home),
          signal: patience === undefined ? signal : AbortSignal.any([signal, patience]),
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      if (patience?.aborted !== true) throw error;
      return undefined;
    }
  }

  async #fromDiscoveries(blob: SmallBlob): Promise<Buffer | undefined> {
    const found: FoundHolder[] = [];
    await this.#deps.search.discover(blob.digest, (holder) => found.push(holder), this.#deps.signal);
    return await this.#fromHolders(blob, found);
  }

  async #fromHolders(blob: SmallBlob, holders: readonly FoundHolder[]): Promise<Buffer | undefined> {
    for (const holder of holders.slice(0, MAX_TRIED_HOLDERS)) {
      try {
        const link = await this.#deps.peers.link(holder, this.#deps.signal);
        const member = { peerId: link.peerId, dataAddresses: holder.addresses };
        const { bytes } = await this.#deps.peers.ask(
          member,
          'read',
          { digest: blob.digest },
          { signal: this.#deps.signal },
        );
        if (bytes.length > 0 && this.#isRight(blob, bytes, link.peerId)) return bytes;
      } catch (thrown) {
        const error = asError(thrown);
        this.#deps.signal.throwIfAborted();
        if (!isAbortError(error))
          this.#deps.log.debug({ err: error, peer: holder.peerId }, 'a small blob did not come from a peer');
      }
    }
    return undefined;
  }

  async #fromOrigin(blob: SmallBlob): Promise<Buffer | undefined> {
    const { origin, signal } = this.#deps;
    const reading = await origin.openBlob(blob.repository, blob.digest, { signal });
    if (reading === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    let length = 0;
    try {
      if (reading.sizeBytes > blob.sizeBytes) return undefined;
      for await (const chunk of reading.body) {
        chunks.push(chunk);
        length += chunk.length;
        if (length > blob.sizeBytes) break;
      }
    } finally {
      await reading.close();
    }
    const bytes = Buffer.concat(chunks);
    return this.#isRight(blob, bytes, undefined) ? bytes : undefined;
  }

  #isRight(blob: SmallBlob, bytes: Buffer, from: PeerId | undefined): boolean {
    if (digestOf(bytes, digestAlgorithm(blob.digest)) === blob.digest) return true;
    this.#deps.log.warn(
      { digest: blob.digest, peer: from, sizeBytes: bytes.length },
      'a small blob came with wrong bytes',
    );
    if (from !== undefined) this.#deps.onLie(from);
    return false;
  }
}
