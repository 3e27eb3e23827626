/** The registry of a seed: repositories that were pushed here, over storage of record and the catalog. */
import type { Catalog } from '../catalog/catalog.ts';
import { isRepositoryName, type RepositoryName } from '../oci/name.ts';
import type { BlobStorage, StoredBlob } from '../storage/blob-storage.ts';
import type { PullTimes } from './pull-times.ts';
import type { PushGate } from './push-gate.ts';
import { SeedBlobs, type SeedBlobsConfig, type SwarmBlobs } from './seed-blobs.ts';
import { SeedLists } from './seed-lists.ts';
import { SeedManifests } from './seed-manifests.ts';
import { SeedPolicy, type SeedPolicyConfig } from './seed-policy.ts';
import { SeedUploads } from './seed-uploads.ts';

export interface SeedRegistryDeps {
  readonly catalog: Catalog;
  readonly storage: BlobStorage;
  /** Clients are sent to storage for blobs that it can give them itself. */
  readonly redirects?: boolean | undefined;
  readonly swarm: SwarmBlobs;
  readonly clock: { nowMs(): number };
  /** Keeps what is being pushed from being collected. */
  readonly gate: PushGate;
  /** When manifests were last asked for. */
  readonly pulls?: PullTimes | undefined;
  /** Told of each blob that this node holds from now on. */
  readonly onStored: (blob: StoredBlob) => void;
}

export type SeedRegistryConfig = SeedPolicyConfig & SeedBlobsConfig;

/** Its parts share what they are made of; storage and catalog are closed by whoever opened them. */
export class SeedRegistry {
  readonly blobs: SeedBlobs;
  readonly uploads: SeedUploads;
  readonly manifests: SeedManifests;
  readonly lists: SeedLists;
  readonly #catalog: Catalog;
  readonly #policy: SeedPolicy;
  /** Repositories that were seen to be there. */
  readonly #known = new Set<RepositoryName>();

  constructor(deps: SeedRegistryDeps, config: SeedRegistryConfig) {
    this.#catalog = deps.catalog;
    this.#policy = new SeedPolicy(config);
    const parts = { ...deps, policy: this.#policy };
    this.blobs = new SeedBlobs(parts, config);
    this.uploads = new SeedUploads(parts);
    this.manifests = new SeedManifests(parts);
    this.lists = new SeedLists(parts);
  }

  /**
   * True for a repository that this seed answers for: something was pushed to it, or the operator gave its name to this seed
   * alone. Other names may mean a repository at an upstream.
   */
  async answersFor(nameText: string): Promise<boolean> {
    if (!isRepositoryName(nameText)) return false;
    if (this.#known.has(nameText) || this.#policy.owns(nameText)) return true;
    const isThere = await this.#catalog.repositories.has(nameText);
    if (isThere) this.#known.add(nameText);
    return isThere;
  }
}
