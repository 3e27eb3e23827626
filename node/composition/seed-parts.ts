/** What a seed has beside a node: storage of record, the catalog, and the registry over both. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import type { OpenedContent } from '../../src/content/open-content.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { keepLinked } from '../../src/seed/keep-linked.ts';
import { SeedRegistry } from '../../src/seed/seed-registry.ts';
import { UploadExpiry } from '../../src/seed/upload-expiry.ts';
import { VouchedBlobs } from '../../src/seed/vouched-blobs.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { FsBlobStorage } from '../../src/storage/fs-blob-storage.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import type { NodeConfig } from '../config/schema.ts';
import { seedPolicyConfig, uploadExpiryConfig } from './part-configs.ts';

/** What is opened before the transfer layer, and closed after it. */
export interface SeedGround extends AsyncDisposable {
  /** Puts the registry together over what fetches and shares. */
  createRegistry(transfer: Transfer): SeedRegistry;
  /** Blobs of upstreams, without those that only repositories of this seed have. */
  vouchedBlobs(transfer: Transfer, origin: OriginRegistry): VouchedBlobs;
}

/** The folder of the catalog, below the data folder. */
const CATALOG_FOLDER = 'catalog';

/**
 * Opens a seed's storage and catalog.
 * @throws {DockyardError} of CATALOG_ERRORS
 */
export async function openSeedGround(
  { content, log }: { readonly content: OpenedContent; readonly log: Logger },
  config: NodeConfig,
): Promise<SeedGround> {
  const { record, blobs } = content;
  await using opening = new AsyncDisposableStack();
  const storage = opening.use(new FsBlobStorage({ record }));
  const catalog = opening.use(await openCatalog(join(config.data, CATALOG_FOLDER), log));
  const isKept = (digest: Parameters<typeof record.stat>[0]): boolean => record.stat(digest) !== undefined;
  await keepLinked({ catalog, isKept, keep: async (digest) => await record.pin(digest), log });
  const expiry = opening.use(
    new UploadExpiry({ catalog, storage, clock: systemClock, log }, uploadExpiryConfig(config)),
  );
  expiry.start();
  const opened = opening.move();
  const createRegistry = (transfer: Transfer): SeedRegistry => {
    const isHeld = (digest: Parameters<typeof blobs.stat>[0]): boolean => blobs.stat(digest) !== undefined;
    const swarm: ConstructorParameters<typeof SeedRegistry>[0]['swarm'] = {
      isHeld,
      open: async (digest, context) => await transfer.blobs.open(digest, context),
      regain: async (digest) => {
        if (!isKept(digest) && (await record.pin(digest))) log.info({ digest }, 'blob of record came back from a peer');
      },
    };
    const onStored: ConstructorParameters<typeof SeedRegistry>[0]['onStored'] = (digest) => {
      if (isHeld(digest)) transfer.announce(digest);
    };
    return new SeedRegistry({ catalog, storage, swarm, clock: systemClock, onStored }, seedPolicyConfig(config));
  };
  const vouchedBlobs = (transfer: Transfer, origin: OriginRegistry): VouchedBlobs =>
    new VouchedBlobs({ blobs: transfer.blobs, isOfRecord: isKept, origin });
  return { createRegistry, vouchedBlobs, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
