/** The parts of a store on disk, put together. */
import type { BufferPool } from './buffer-pool.ts';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { BlobCatalog } from './blob-catalog.ts';
import { BlobRecords } from './blob-records.ts';
import { CompleteBlobs } from './complete-blobs.ts';
import type { ContentIndex } from './content-index.ts';
import type { Disk } from './disk.ts';
import { HashThread } from './hash-thread.ts';
import type { StoreLayout } from './layout.ts';
import { PartialShelf } from './partial-shelf.ts';
import { Quarantine } from './quarantine.ts';
import { StoreMetrics } from './store-metrics.ts';

export interface StorePartsDeps {
  readonly memory: BufferPool;
  readonly clock: { nowMs(): number };
  readonly disk: Disk;
  readonly index: ContentIndex;
  readonly layout: StoreLayout;
  readonly log: Logger;
  readonly registry: Registry;
}

export interface StoreParts {
  readonly catalog: BlobCatalog;
  readonly complete: CompleteBlobs;
  readonly disk: Disk;
  readonly hashes: HashThread;
  readonly index: ContentIndex;
  readonly layout: StoreLayout;
  readonly log: Logger;
  readonly metrics: StoreMetrics;
  readonly quarantine: Quarantine;
  readonly records: BlobRecords;
  readonly shelf: PartialShelf;
}

/** Makes the parts; nothing is read, written or started yet. */
export function makeStoreParts(deps: StorePartsDeps): StoreParts {
  const { clock, disk, index, layout, log, memory } = deps;
  const metrics = new StoreMetrics(deps.registry);
  const catalog = new BlobCatalog();
  // Not the clock of the store, which tells when blobs were used and may be set: this one counts what a hash takes.
  const hashes = new HashThread({ nowMs: () => performance.now() });
  const quarantine = new Quarantine({ clock, disk, layout, log });
  const records = new BlobRecords({ index, log, metrics });
  const complete = new CompleteBlobs({
    memory,
    clock,
    disk,
    layout,
    catalog,
    records,
    quarantine,
    hashes,
    metrics,
    log,
  });
  const shelf = new PartialShelf({
    memory,
    disk,
    layout,
    hashes,
    log,
    publish: async (digest, sizeBytes, dataPath, pieceHashes) =>
      await complete.publish(digest, sizeBytes, dataPath, pieceHashes),
  });
  return { catalog, complete, disk, hashes, index, layout, log, metrics, quarantine, records, shelf };
}
