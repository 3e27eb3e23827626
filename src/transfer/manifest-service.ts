/**
 * Manifests for clients, by tag and by digest: the one door to the store, the peers and the upstreams. Bytes are checked
 * before they are kept or served, and requests for the same thing share one search.
 */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { ManifestStore } from '../content/manifest-store.ts';
import type { ManifestReference } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import type { Clock } from '../origin/clock.ts';
import { ManifestFinder } from './manifest-finder.ts';
import { ManifestMetrics } from './manifest-metrics.ts';
import type { ManifestConfig, ManifestOrigin, PeerManifests } from './manifest-ports.ts';
import type { BlobSizeHints } from './manifest-sizes.ts';
import { ManifestTags, type TaggedManifest } from './manifest-tags.ts';

export interface OriginManifestServiceDeps {
  readonly origin: ManifestOrigin;
  readonly store: ManifestStore;
  readonly peers: PeerManifests;
  readonly clock: Clock;
  readonly metrics: Registry;
  readonly log: Logger;
  /** Fed with the sizes that manifests tell. */
  readonly sizes: BlobSizeHints;
}

/** A manifest for a client; `staleForMs` is set when its tag could not be confirmed. */
export type ServedManifest = TaggedManifest;

/** The part of a request that matters here. */
export interface ManifestContext {
  readonly repository: Repository;
  /** Ends the work for this client alone. */
  readonly signal: AbortSignal;
}

export class OriginManifestService {
  readonly #finder: ManifestFinder;
  readonly #tags: ManifestTags;

  constructor(deps: OriginManifestServiceDeps, config: ManifestConfig) {
    const inner = {
      ...deps,
      metrics: new ManifestMetrics(deps.metrics),
      log: deps.log.child({ component: 'manifests' }),
    };
    this.#finder = new ManifestFinder(inner, config);
    this.#tags = new ManifestTags({ ...inner, finder: this.#finder }, config);
  }

  /**
   * A manifest with its bytes; `undefined` when neither this node, nor a peer, nor the upstream has it.
   * @throws {DockyardError} of ORIGIN_ERRORS when it cannot be had now; the signal's reason when the client has gone
   */
  async get(reference: ManifestReference, context: ManifestContext): Promise<ServedManifest | undefined> {
    const { repository, signal } = context;
    signal.throwIfAborted();
    if (reference.kind === 'tag') return await this.#tags.find(repository, reference.tag, { signal });
    return await this.#finder.find(repository, reference.digest, 'anywhere', { signal });
  }
}
