/** What a seed has beside a node: storage of record, the catalog, and the registry over both. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import type { BlobStore } from '../../src/content/blob-store.ts';
import type { BufferPool } from '../../src/content/buffer-pool.ts';
import type { OpenedContent } from '../../src/content/open-content.ts';
import { systemClock } from '../../src/origin/clock.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { Notifier } from '../../src/notify/notifier.ts';
import type { CollectionObserver } from '../../src/seed/collection-observer.ts';
import { CollectionTimer } from '../../src/seed/collection-timer.ts';
import { Collector, type CollectOptions } from '../../src/seed/collector.ts';
import { BlobIntake } from '../../src/seed/blob-intake.ts';
import { keepLinked } from '../../src/seed/keep-linked.ts';
import { PullTimes } from '../../src/seed/pull-times.ts';
import { PushGate } from '../../src/seed/push-gate.ts';
import type { CollectionEvent } from '../../src/seed/removal.ts';
import { Repairer } from '../../src/seed/repairer.ts';
import { ScrubMetrics } from '../../src/seed/scrub-metrics.ts';
import { Scrubber } from '../../src/seed/scrubber.ts';
import { SeedPolicy } from '../../src/seed/seed-policy.ts';
import { SeedRegistry } from '../../src/seed/seed-registry.ts';
import { UploadExpiry } from '../../src/seed/upload-expiry.ts';
import { VouchedBlobs } from '../../src/seed/vouched-blobs.ts';
import type { BlobStorage } from '../../src/storage/blob-storage.ts';
import { loadOrMakeIdentity } from '../../src/swarm/identity.ts';
import { APPC_NAMESPACE } from '../../src/appc/server/aci-key.ts';
import type { AppcServerConfig } from '../../src/appc/server/appc-server.ts';
import type { SideDoor } from '../../src/registry/side-door.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import type { NodeConfig } from '../config/schema.ts';
import { createAppcDoor } from './appc-parts.ts';
import { collectionObserver } from './collection-observer.ts';
import { openNotifier } from './notifications.ts';
import {
  collectionTimerConfig,
  collectorConfig,
  identityPath,
  scrubberConfig,
  seedRegistryConfig,
  uploadExpiryConfig,
} from './part-configs.ts';
import type { NamedFiles } from './preflight.ts';
import { fileScrubJournal } from './scrub-journal.ts';
import { SeedRecord } from './seed-record.ts';

/** What is opened before the transfer layer, and closed after it. */
export interface SeedGround extends AsyncDisposable {
  /** What this node holds, as peers see it. */
  readonly store: BlobStore;
  /** Puts the registry together over what fetches and shares. */
  createRegistry(transfer: Transfer): ServedSeed;
  /** True for a blob that repositories of this seed have. */
  isOfRecord(digest: Digest): Promise<boolean>;
  /** Resolves when `store` knows all blobs in the bucket, where there is one; to be called after `createRegistry`. */
  readonly whenFound: (() => Promise<void>) | undefined;
  /** Blobs of upstreams, without those that only repositories of this seed have. */
  vouchedBlobs(transfer: Transfer, origin: OriginRegistry): VouchedBlobs;
  /** Removes what nobody needs, or says what it would remove. */
  readonly collect: (options: CollectOptions) => AsyncIterable<CollectionEvent>;
  /** Looks for damage in what is kept; once, and whoever starts it closes it before the transfer layer. */
  startScrubbing(transfer: Transfer): Scrubber;
  /** What it knows of its repositories. */
  readonly catalog: Catalog;
  /** Where everything that is kept for good lies. */
  readonly storage: BlobStorage;
  /** Keeps what is being taken from being collected. */
  readonly gate: PushGate;
  /** Puts blobs of others into storage of record. */
  blobIntake(transfer: Transfer): BlobIntake;
  /** Who tells webhooks of what happens. */
  readonly notifier: Notifier;
}

/** What a facade serves of a seed. */
export interface ServedSeed {
  readonly hosted: SeedRegistry;
  readonly sideDoors: readonly SideDoor[];
}

export interface SeedGroundDeps {
  readonly content: OpenedContent;
  readonly memory: BufferPool;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** The folder of the catalog, below the data folder. */
const CATALOG_FOLDER = 'catalog';

/** How far scrubbing has come, likewise. */
const SCRUB_FILE = 'scrub.json';

/**
 * Opens a seed's storage and catalog.
 * @throws {DockyardError} of CATALOG_ERRORS; ERR_STORAGE_IO when the bucket cannot be used; of the outbox of webhooks
 */
export async function openSeedGround(
  { content, log, memory, metrics }: SeedGroundDeps,
  config: NodeConfig,
  { appc, notify, bucket }: Pick<NamedFiles, 'appc' | 'notify' | 'bucket'>,
): Promise<SeedGround> {
  await using opening = new AsyncDisposableStack();
  const owner = async (): Promise<string> => (await loadOrMakeIdentity(identityPath(config))).peerId;
  const record = opening.use(await SeedRecord.open({ content, memory, log, owner }, bucket));
  const catalog = opening.use(await openCatalog(join(config.data, CATALOG_FOLDER), log));
  const isKept = record.isPinned.bind(record);
  if (bucket === undefined)
    await keepLinked({ catalog, isKept, keep: async (digest) => await content.record.pin(digest), log });
  const notifier = opening.use(await openNotifier({ log, metrics }, config, notify));
  const gate = new PushGate();
  const observer = collectionObserver(notifier, metrics);
  const pulls = opening.use(await PullTimes.open({ catalog, clock: systemClock, log }));
  const collector = startCare({ catalog, storage: record.storage, gate, observer, pulls, log }, config, opening);
  const opened = opening.move();
  return {
    store: record.store,
    isOfRecord: record.isOfRecord.bind(record),
    whenFound: bucket === undefined ? undefined : record.whenFound.bind(record),
    createRegistry: (transfer) => createRegistry({ record, catalog, gate, pulls, transfer, appc, log }, config),
    vouchedBlobs: (transfer, origin) =>
      new VouchedBlobs({ blobs: transfer.blobs, isOfRecord: record.isOfRecord.bind(record), origin }),
    startScrubbing: (transfer) => startScrubbing({ record, catalog, transfer, log, metrics }, config),
    collect: (options) => collector.collect(options),
    blobIntake: (transfer) => createBlobIntake(record, transfer),
    storage: record.storage,
    catalog,
    gate,
    notifier,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

interface CareParts {
  readonly catalog: Catalog;
  readonly storage: SeedRecord['storage'];
  readonly gate: PushGate;
  readonly observer: CollectionObserver;
  readonly pulls: PullTimes;
  readonly log: Logger;
}

/** Starts what clears away in the background; `opening` closes it. */
function startCare(
  { catalog, storage, gate, observer, pulls, log }: CareParts,
  config: NodeConfig,
  opening: AsyncDisposableStack,
): Collector {
  const clock = systemClock;
  opening.use(new UploadExpiry({ catalog, storage, clock, log }, uploadExpiryConfig(config))).start();
  const policy = new SeedPolicy(seedRegistryConfig(config));
  const collector = new Collector({ catalog, storage, gate, policy, pulls, clock, observer }, collectorConfig(config));
  opening.use(new CollectionTimer({ collector, log }, collectionTimerConfig(config))).start();
  return collector;
}

interface ScrubParts {
  readonly record: SeedRecord;
  readonly catalog: Catalog;
  readonly transfer: Transfer;
  readonly log: Logger;
  readonly metrics: Registry;
}

function startScrubbing({ record, catalog, transfer, log, metrics }: ScrubParts, config: NodeConfig): Scrubber {
  const { storage } = record;
  const blobs = createBlobIntake(record, transfer);
  const repairer = new Repairer({ blobs, log }, { otherSeeds: config.replication.from });
  const scrubber = new Scrubber(
    {
      catalog,
      blobs: storage.blobs,
      repair: async (digest, name, options) => await repairer.repair(digest, name, options),
      journal: fileScrubJournal(join(config.data, SCRUB_FILE), log),
      metrics: new ScrubMetrics(metrics),
      clock: systemClock,
      log,
    },
    scrubberConfig(config),
  );
  scrubber.start();
  return scrubber;
}

function createBlobIntake(record: SeedRecord, transfer: Transfer): BlobIntake {
  return new BlobIntake({
    swarm: { open: async (digest, context) => await transfer.blobs.open(digest, context) },
    storage: record.storage,
    adopt: record.adoptHeld,
    onStored: record.onStored.bind(record),
  });
}

interface RegistryParts {
  readonly record: SeedRecord;
  readonly catalog: Catalog;
  readonly gate: PushGate;
  readonly pulls: PullTimes;
  readonly transfer: Transfer;
  /** Undefined where app container images are not served. */
  readonly appc: AppcServerConfig | undefined;
  readonly log: Logger;
}

function createRegistry(
  { record, catalog, gate, pulls, transfer, appc, log }: RegistryParts,
  config: NodeConfig,
): ServedSeed {
  record.share((digest) => transfer.announce(digest));
  const swarm: ConstructorParameters<typeof SeedRegistry>[0]['swarm'] = {
    isHeld: (digest) => record.isHeld(digest),
    open: async (digest, context) => await transfer.blobs.open(digest, context),
    regain: async (digest) => await record.regain(digest),
  };
  const { redirect: redirects } = config.storage.s3;
  const onStored = record.onStored.bind(record);
  const { storage } = record;
  const parts = { catalog, storage, swarm, clock: systemClock, onStored, gate, pulls, redirects };
  const registryConfig = seedRegistryConfig(config);
  if (appc === undefined) return { hosted: new SeedRegistry(parts, registryConfig), sideDoors: [] };
  // Images of the other kind go in by their own door only, where they are checked.
  const hosted = new SeedRegistry(parts, { ...registryConfig, reservedNamespaces: [APPC_NAMESPACE] });
  const { blobs, manifests, uploads } = new SeedRegistry(parts, registryConfig);
  return { hosted, sideDoors: [createAppcDoor({ uploads, manifests, blobs, catalog, log }, appc)] };
}
