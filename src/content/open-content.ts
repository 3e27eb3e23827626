/** Opens all that a node keeps on disk as one thing: blobs and manifests, which share one index. */
import type { BufferPool } from './buffer-pool.ts';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BlobStore } from './blob-store.ts';
import { ContentIndex } from './content-index.ts';
import { nodeDisk, type Disk } from './disk.ts';
import { FsBlobStore, type FsBlobStoreConfig } from './fs-blob-store.ts';
import { StoreLayout } from './layout.ts';
import { LevelManifestStore, type LevelManifestStoreConfig } from './level-manifest-store.ts';
import type { ManifestStore } from './manifest-store.ts';
import type { RecordShelf } from './record-shelf.ts';
import { prepareDirectory } from './store-opening.ts';
import type { StoreLimits } from './store-space.ts';

export interface ContentDeps {
  readonly clock: { nowMs(): number };
  readonly log: Logger;
  readonly metrics: Registry;
  /** The file system; the real one when left out. */
  readonly disk?: Disk | undefined;
  /** Memory for what is read, shared with others; of its own when left out. */
  readonly memory?: BufferPool | undefined;
}

/** Limits that may change while the content is open. */
export interface ContentLimits extends StoreLimits {
  readonly maxManifestBytes: number;
}

export interface ContentConfig extends FsBlobStoreConfig, LevelManifestStoreConfig {}

/** What was opened. `close` closes all of it, in the right order, once. */
export interface OpenedContent extends AsyncDisposable {
  readonly blobs: BlobStore;
  readonly manifests: ManifestStore;
  /** Blobs of record, for a seed's storage. */
  readonly record: RecordShelf;
  /** Puts other limits in force, and removes what is beyond them. */
  setLimits(limits: ContentLimits): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens or makes the store in `config.directory`.
 * @throws {DockyardError} ERR_STORE_LOCKED, ERR_STORE_VERSION, ERR_STORE_FULL, ERR_STORE_IO
 */
export async function openContent(deps: ContentDeps, config: ContentConfig): Promise<OpenedContent> {
  const layout = new StoreLayout(config.directory);
  await prepareDirectory(deps.disk ?? nodeDisk, layout);
  await using opening = new AsyncDisposableStack();
  // First, since its lock keeps a second process out of the rest.
  const index = opening.use(await ContentIndex.open(layout.indexFolder, deps.log));
  const blobs = opening.use(await FsBlobStore.open({ ...deps, index }, config));
  const manifests = opening.use(await LevelManifestStore.open({ ...deps, index }, config));
  const opened = opening.move();
  const close = async (): Promise<void> => await opened.disposeAsync();
  const setLimits = async (limits: ContentLimits): Promise<void> => {
    await blobs.setLimits(limits);
    await manifests.setMaxManifestBytes(limits.maxManifestBytes);
  };
  return { blobs, manifests, record: blobs.record, setLimits, close, [Symbol.asyncDispose]: close };
}
