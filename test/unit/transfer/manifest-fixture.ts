/** A manifest service among doubles that the test sets. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { ManifestStore, StoredManifest, StoredTag } from '../../../src/content/manifest-store.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { formatRepository, type Repository } from '../../../src/oci/repository.ts';
import { systemClock } from '../../../src/origin/clock.ts';
import { originError, type OriginErrorCode } from '../../../src/origin/errors.ts';
import {
  MANIFEST_DEFAULTS,
  type FoundManifest,
  type ManifestOriginOptions,
} from '../../../src/transfer/manifest-ports.ts';
import { OriginManifestService, type ServedManifest } from '../../../src/transfer/manifest-service.ts';
import { BlobSizeHints } from '../../../src/transfer/manifest-sizes.ts';

export const REPOSITORY: Repository = { upstream: 'origin.test', name: parseRepositoryName('library/thing') };
export const LATEST = 'latest' as Tag;
export const BY_TAG = { kind: 'tag', tag: LATEST } as const;

/** A manifest that differs by its `variant`, with one layer of 1000 + variant bytes. */
export function makeManifest(variant: number): FoundManifest & { readonly layer: Digest } {
  const layer = digestOf(Buffer.from(`layer ${variant}`));
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 },
    layers: [{ mediaType: MEDIA_TYPES.ociLayerGzip, digest: layer, size: 1000 + variant }],
  };
  const bytes = Buffer.from(JSON.stringify(document));
  return { digest: digestOf(bytes), mediaType: MEDIA_TYPES.ociManifest, bytes, layer };
}

/** A store in memory. */
class StoreDouble implements ManifestStore {
  readonly manifests = new Map<Digest, StoredManifest>();
  readonly tags = new Map<string, StoredTag>();
  isFull = false;

  getManifest(digest: Digest): Promise<StoredManifest | undefined> {
    return Promise.resolve(this.manifests.get(digest));
  }
  async putManifest(manifest: StoredManifest): Promise<void> {
    if (this.isFull) throw new Error('the store is full');
    this.manifests.set(manifest.digest, manifest);
    await Promise.resolve();
  }
  getTag(repository: Repository, tag: Tag): Promise<StoredTag | undefined> {
    return Promise.resolve(this.tags.get(`${formatRepository(repository)}:${tag}`));
  }
  async putTag(repository: Repository, tag: Tag, stored: StoredTag): Promise<void> {
    if (this.isFull) throw new Error('the store is full');
    this.tags.set(`${formatRepository(repository)}:${tag}`, stored);
    await Promise.resolve();
  }
  async removeTag(repository: Repository, tag: Tag): Promise<void> {
    this.tags.delete(`${formatRepository(repository)}:${tag}`);
    await Promise.resolve();
  }
  async close(): Promise<void> {
    await Promise.resolve();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** An upstream with one repository. `trouble` is thrown by every request while it is set. */
class OriginDouble {
  readonly manifests = new Map<Digest, FoundManifest>();
  tag: Digest | undefined;
  trouble: OriginErrorCode | undefined;
  /** Awaited by every request. */
  gate: Promise<unknown> = Promise.resolve();
  readonly asked: string[] = [];
  readonly patience: (number | undefined)[] = [];

  give(manifest: FoundManifest): void {
    this.manifests.set(manifest.digest, manifest);
    this.tag = manifest.digest;
  }
  async resolveTag(
    _repository: Repository,
    tag: Tag,
    options: ManifestOriginOptions,
  ): Promise<{ digest: Digest; mediaType: string; sizeBytes: number } | undefined> {
    this.patience.push(options.patienceMs);
    await this.#enter(`HEAD ${tag}`, options.signal);
    return this.tag === undefined ? undefined : { digest: this.tag, mediaType: MEDIA_TYPES.ociManifest, sizeBytes: 1 };
  }
  async fetchManifest(
    _repository: Repository,
    reference: { kind: 'tag' } | { kind: 'digest'; digest: Digest },
    options: ManifestOriginOptions,
  ): Promise<FoundManifest | undefined> {
    await this.#enter(reference.kind === 'tag' ? 'GET tag' : 'GET digest', options.signal);
    const digest = reference.kind === 'tag' ? this.tag : reference.digest;
    return digest === undefined ? undefined : this.manifests.get(digest);
  }
  async #enter(what: string, signal: AbortSignal | undefined): Promise<void> {
    this.asked.push(what);
    await Promise.race([
      this.gate,
      new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error))),
    ]);
    if (this.trouble !== undefined) throw originError(this.trouble, 'as the test wants it');
  }
}

/** Peers that know what the test tells them. */
class PeersDouble {
  tag: StoredTag | undefined;
  readonly manifests = new Map<Digest, { mediaType: string; bytes: Buffer }>();
  failure: Error | undefined;
  asked = 0;
  gate: Promise<unknown> = Promise.resolve();

  async findTag(): Promise<StoredTag | undefined> {
    await this.#enter();
    return this.tag;
  }
  async findManifest(
    _repository: Repository,
    digest: Digest,
  ): Promise<{ mediaType: string; bytes: Buffer } | undefined> {
    await this.#enter();
    return this.manifests.get(digest);
  }
  async #enter(): Promise<void> {
    this.asked += 1;
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
  }
}

export interface ManifestHarness {
  readonly service: OriginManifestService;
  readonly store: StoreDouble;
  readonly origin: OriginDouble;
  readonly peers: PeersDouble;
  readonly sizes: BlobSizeHints;
  readonly clock: { atMs: number };
  readonly get: (
    reference?: Parameters<OriginManifestService['get']>[0],
    signal?: AbortSignal,
  ) => Promise<ServedManifest | undefined>;
  readonly metric: (name: string) => Promise<number>;
}

export function makeHarness(): ManifestHarness {
  const [store, origin, peers, sizes, metrics] = [
    new StoreDouble(),
    new OriginDouble(),
    new PeersDouble(),
    new BlobSizeHints(),
    new Registry(),
  ];
  const clock = { ...systemClock, atMs: 1_000_000, nowMs: (): number => clock.atMs };
  const service = new OriginManifestService(
    { origin, store, peers, sizes, clock, metrics, log: pino({ level: 'silent' }) },
    { ...MANIFEST_DEFAULTS, tagTtlMs: 60_000, peerHeadStartMs: 20, peerTimeoutMs: 500 },
  );
  const never = new AbortController().signal;
  const metric = async (name: string): Promise<number> =>
    ((await metrics.getSingleMetric(name)?.get())?.values ?? []).reduce((sum, { value }) => sum + value, 0);
  const get: ManifestHarness['get'] = (reference = BY_TAG, signal = never) =>
    service.get(reference, { repository: REPOSITORY, signal });
  return { service, store, origin, peers, sizes, clock, get, metric };
}
