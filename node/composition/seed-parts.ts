/** What a seed has beside a node: storage of record, the catalog, and the registry over both. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import type { OpenedContent } from '../../src/content/open-content.ts';
import type { BlobStore } from '../../src/content/blob-store.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { CollectionTimer } from '../../src/seed/collection-timer.ts';
import { Collector, type CollectOptions } from '../../src/seed/collector.ts';
import { keepLinked } from '../../src/seed/keep-linked.ts';
import { PushGate } from '../../src/seed/push-gate.ts';
import type { CollectionEvent } from '../../src/seed/removal.ts';
import { SeedPolicy } from '../../src/seed/seed-policy.ts';
import { SeedRegistry } from '../../src/seed/seed-registry.ts';
import { UploadExpiry } from '../../src/seed/upload-expiry.ts';
import { VouchedBlobs } from '../../src/seed/vouched-blobs.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { APPC_NAMESPACE } from '../../src/appc/server/aci-key.ts';
import type { SideDoor } from '../../src/registry/side-door.ts';
import type { Notifier } from '../../src/notify/notifier.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import type { NodeConfig } from '../config/schema.ts';
import { createAppcDoor } from './appc-parts.ts';
import { collectionTimerConfig, collectorConfig, seedRegistryConfig, uploadExpiryConfig } from './part-configs.ts';
import { openNotifier } from './notifications.ts';
import type { NamedFiles } from './preflight.ts';
import { openRecordStorage } from './record-storage.ts';

/** What is opened before the transfer layer, and closed after it. */
export interface SeedGround extends AsyncDisposable {
  /** Puts the registry together over what fetches and shares. */
  createRegistry(transfer: Transfer): ServedSeed;
  /** Blobs of upstreams, without those that only repositories of this seed have. */
  vouchedBlobs(transfer: Transfer, origin: OriginRegistry): VouchedBlobs;
  /** Removes what nobody needs, or says what it would remove. */
  readonly collect: (options: CollectOptions) => AsyncIterable<CollectionEvent>;
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
  readonly log: Logger;
  readonly metrics: Registry;
}

/** The folder of the catalog, below the data folder. */
const CATALOG_FOLDER = 'catalog';

/**
 * Opens a seed's storage and catalog.
 * @throws {DockyardError} of CATALOG_ERRORS; ERR_STORAGE_IO when the bucket cannot be used; of the outbox of webhooks
 */
export async function openSeedGround(
  { content, log, metrics }: SeedGroundDeps,
  config: NodeConfig,
  { appc, notify, bucket }: Pick<NamedFiles, 'appc' | 'notify' | 'bucket'>,
): Promise<SeedGround> {
  const { record, blobs } = content;
  await using opening = new AsyncDisposableStack();
  const storage = opening.use(await openRecordStorage({ record, log }, bucket));
  const catalog = opening.use(await openCatalog(join(config.data, CATALOG_FOLDER), log));
  const isPinned = (digest: Digest): boolean => record.stat(digest) !== undefined;
  // In a bucket nothing is evicted, so nothing needs a mark there.
  if (bucket === undefined)
    await keepLinked({ catalog, isKept: isPinned, keep: async (digest) => await record.pin(digest), log });
  const isOfRecord =
    bucket === undefined
      ? isPinned
      : async (digest: Digest): Promise<boolean> => (await storage.blobs.stat(digest)) !== undefined;
  const notifier = opening.use(await openNotifier({ log, metrics }, config, notify));
  const expiry = opening.use(
    new UploadExpiry({ catalog, storage, clock: systemClock, log }, uploadExpiryConfig(config)),
  );
  expiry.start();
  const gate = new PushGate();
  const policy = new SeedPolicy(seedRegistryConfig(config));
  const collector = new Collector({ catalog, storage, gate, policy, clock: systemClock }, collectorConfig(config));
  opening.use(new CollectionTimer({ collector, log }, collectionTimerConfig(config))).start();
  const opened = opening.move();
  const createRegistry = (transfer: Transfer): ServedSeed => {
    // One after the other: a crowd of pushes is not to open a crowd of files.
    let hashing = Promise.resolve();
    const isHeld = (digest: Digest): boolean => blobs.stat(digest) !== undefined;
    const swarm: ConstructorParameters<typeof SeedRegistry>[0]['swarm'] = {
      isHeld,
      open: async (digest, context) => await transfer.blobs.open(digest, context),
      regain: async (digest) => {
        // A mark on the disk heals the disk; a bucket is healed by pushing again.
        if (bucket !== undefined || isPinned(digest)) return;
        if (await record.pin(digest)) log.info({ digest }, 'blob of record came back from a peer');
      },
    };
    const onStored: ConstructorParameters<typeof SeedRegistry>[0]['onStored'] = (digest) => {
      if (!isHeld(digest)) return;
      transfer.announce(digest);
      hashing = hashing.then(async () => await preparePieces(blobs, digest, log));
    };
    const { redirect: redirects } = config.storage.s3;
    const parts = { catalog, storage, swarm, clock: systemClock, onStored, gate, redirects };
    const registryConfig = seedRegistryConfig(config);
    if (appc === undefined) return { hosted: new SeedRegistry(parts, registryConfig), sideDoors: [] };
    // Images of the other kind go in by their own door only, where they are checked.
    const hosted = new SeedRegistry(parts, { ...registryConfig, reservedNamespaces: [APPC_NAMESPACE] });
    const behindDoor = new SeedRegistry(parts, registryConfig);
    const { blobs: opened, manifests, uploads } = behindDoor;
    return { hosted, sideDoors: [createAppcDoor({ uploads, manifests, blobs: opened, catalog, log }, appc)] };
  };
  const vouchedBlobs = (transfer: Transfer, origin: OriginRegistry): VouchedBlobs =>
    new VouchedBlobs({ blobs: transfer.blobs, isOfRecord, origin });
  const collect = (options: CollectOptions): AsyncIterable<CollectionEvent> => collector.collect(options);
  return { createRegistry, vouchedBlobs, collect, notifier, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Peers ask for the hashes of pieces first; whoever waits for them begins to read the registry meanwhile. */
async function preparePieces(blobs: BlobStore, digest: Digest, log: Logger): Promise<void> {
  try {
    await using held = await blobs.open(digest);
    await held?.pieceHashes();
  } catch (error) {
    // They are made again when somebody asks.
    log.debug({ err: error, digest }, 'pieces of a pushed blob could not be hashed ahead');
  }
}
