/** Manifests by digest: from the store, from peers, from the upstream. A digest needs no origin. */
import type { Logger } from 'pino';
import type { ManifestStore } from '../content/manifest-store.ts';
import { digestAlgorithm, digestOf, type Digest } from '../oci/digest.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import type { Clock } from '../origin/clock.ts';
import { JointRequests } from '../origin/joint-requests.ts';
import { MANIFEST_LIMIT_BYTES, manifestMediaType } from '../origin/origin-manifest.ts';
import type { ManifestMetrics } from './manifest-metrics.ts';
import type { FoundManifest, ManifestConfig, ManifestOrigin, PeerManifests } from './manifest-ports.ts';
import type { BlobSizeHints } from './manifest-sizes.ts';

export interface ManifestFinderDeps {
  readonly origin: ManifestOrigin;
  readonly peers: PeerManifests;
  readonly store: ManifestStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ManifestMetrics;
  readonly sizes: BlobSizeHints;
}

/** Whether the upstream may be asked. */
export type Reach = 'anywhere' | 'without-origin';

export class ManifestFinder {
  readonly #deps: ManifestFinderDeps;
  readonly #config: ManifestConfig;
  readonly #joint = new JointRequests<FoundManifest | undefined>();

  constructor(deps: ManifestFinderDeps, config: ManifestConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * A manifest with checked bytes, kept from now on; `undefined` when nobody has it.
   * @throws {DockyardError} what the upstream threw, when no peer has it either
   */
  async find(
    repository: Repository,
    digest: Digest,
    reach: Reach,
    options: { signal?: AbortSignal | undefined },
  ): Promise<FoundManifest | undefined> {
    const stored = await this.#fromStore(digest);
    if (stored !== undefined) return stored;
    const key = `${reach} ${formatRepository(repository)}@${digest}`;
    const work = async (signal: AbortSignal): Promise<FoundManifest | undefined> => {
      const found =
        reach === 'anywhere'
          ? await this.#fromPeersOrOrigin(repository, digest, signal)
          : await this.#fromPeers(repository, digest, signal);
      if (found !== undefined) await this.keep(found);
      return found;
    };
    return await this.#joint.run(key, work, options);
  }

  /** Keeps a manifest whose bytes were checked. A store that cannot take it does not keep it from being served. */
  async keep(manifest: FoundManifest): Promise<void> {
    this.#deps.sizes.learn(manifest);
    try {
      await this.#deps.store.putManifest(manifest);
    } catch (err) {
      this.#deps.log.warn({ err, digest: manifest.digest }, 'manifest could not be kept');
    }
  }

  async #fromStore(digest: Digest): Promise<FoundManifest | undefined> {
    const stored = await this.#deps.store.getManifest(digest);
    if (stored === undefined) return undefined;
    this.#deps.sizes.learn(stored);
    this.#deps.metrics.found('store');
    return stored;
  }

  /**
   * Peers get a head start, because they cost the upstream nothing; then both are asked and the first good answer counts.
   * Only when both have spoken is a manifest absent, or the upstream's error the answer.
   */
  async #fromPeersOrOrigin(
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<FoundManifest | undefined> {
    const decided = new AbortController();
    const running = AbortSignal.any([signal, decided.signal]);
    try {
      const peers = this.#fromPeers(repository, digest, running);
      const headStart = this.#deps.clock.sleep(this.#config.peerHeadStartMs, { signal: running });
      const early = await Promise.race([peers, headStart]);
      if (early !== undefined) return early;
      const origin = this.#fromOrigin(repository, digest, running);
      return await firstGood(peers, origin);
    } finally {
      decided.abort();
    }
  }

  async #fromOrigin(repository: Repository, digest: Digest, signal: AbortSignal): Promise<FoundManifest | undefined> {
    const found = await this.#deps.origin.fetchManifest(repository, { kind: 'digest', digest }, { signal });
    if (found !== undefined) this.#deps.metrics.found('origin');
    return found;
  }

  /** Never throws: a peer that fails has nothing. */
  async #fromPeers(repository: Repository, digest: Digest, signal: AbortSignal): Promise<FoundManifest | undefined> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(this.#config.peerTimeoutMs)]);
    try {
      const found = await this.#deps.peers.findManifest(repository, digest, { signal: limited });
      if (found === undefined) return undefined;
      const checked = checkManifest(digest, found);
      if (checked === undefined) {
        this.#deps.metrics.refused();
        this.#deps.log.warn({ digest, repository: formatRepository(repository) }, 'a peer gave a wrong manifest');
        return undefined;
      }
      this.#deps.metrics.found('peer');
      return checked;
    } catch (err) {
      if (!signal.aborted) this.#deps.log.debug({ err, digest }, 'peers could not be asked for a manifest');
      return undefined;
    }
  }
}

/** A peer's manifest, if it is one and its bytes are what the digest says. */
function checkManifest(digest: Digest, found: { mediaType: string; bytes: Buffer }): FoundManifest | undefined {
  const { bytes } = found;
  if (bytes.length > MANIFEST_LIMIT_BYTES || digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined;
  const mediaType = manifestMediaType(bytes, found.mediaType);
  return mediaType === undefined ? undefined : { digest, mediaType, bytes };
}

/** The first of the two that has something; else the origin's word, be it absence or an error. `peers` never rejects. */
async function firstGood<Value>(
  peers: Promise<Value | undefined>,
  origin: Promise<Value | undefined>,
): Promise<Value | undefined> {
  const viaPeers = async (): Promise<Value | undefined> => (await peers) ?? (await origin);
  const viaOrigin = async (): Promise<Value | undefined> => {
    try {
      return (await origin) ?? (await peers);
    } catch (error) {
      const found = await peers;
      if (found !== undefined) return found;
      throw error;
    }
  };
  return await Promise.race([viaPeers(), viaOrigin()]);
}
