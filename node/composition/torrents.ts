/** Torrents of what a node has, for the facade: the library over the content store, and what it takes to make a layout. */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BufferPool } from '../../src/content/buffer-pool.ts';
import type { BlobStore } from '../../src/content/blob-store.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { systemClock } from '../../src/origin/clock.ts';
import type { Repository } from '../../src/oci/repository.ts';
import type { BlobReading, BlobService, ServedManifest } from '../../src/registry/ports.ts';
import type { ImageFile, ImageSource, TorrentDocument, TorrentService } from '../../src/registry/torrent-ports.ts';
import { torrentError } from '../../src/torrent/errors.ts';
import { planImageLayout, type LayoutFile } from '../../src/torrent/image-layout.ts';
import { encodeMetainfo, type Metainfo } from '../../src/torrent/metainfo.ts';
import { TorrentEngine } from '../../src/torrent/torrent-engine.ts';
import { TorrentLibrary } from '../../src/torrent/torrent-library.ts';
import type { SwarmKey } from '../../src/swarm/swarm-key.ts';
import type { Transfer } from '../../src/transfer/open-transfer.ts';
import type { AdminSubject } from '../admin/ports.ts';
import type { NodeConfig } from '../config/schema.ts';
import { listenFailure } from '../listen-failure.ts';
import { torrentEngineConfig, torrentLibraryConfig, torrentRates } from './part-configs.ts';
import { takeTorrent } from './torrent-intake.ts';
import { torrentTrackers } from './torrent-trackers.ts';

export interface TorrentsDeps {
  readonly store: BlobStore;
  readonly transfer: Pick<Transfer, 'announce'>;
  readonly memory: BufferPool;
  /** Where this node is a seed: what it keeps in repositories of its own. */
  readonly seed: SeedRecordFacts | undefined;
  /** By which closed trackers let its torrents in. */
  readonly swarmKey: SwarmKey | undefined;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** What has to be known of what a seed keeps. */
export interface SeedRecordFacts {
  isOfRecord(digest: Digest): Promise<boolean>;
  /** Resolves when all that it keeps was found, where that takes its time. */
  readonly whenFound: (() => Promise<void>) | undefined;
}

/** What was opened. Closed by whoever opened it. */
export interface Torrents extends AsyncDisposable {
  readonly service: TorrentService;
  /** Fetches a blob by its torrent. */
  readonly take: NonNullable<AdminSubject['takeTorrent']>;
  /** Applies the limits of a configuration that was read again. */
  useRates(config: NodeConfig): Promise<void>;
}

/** Where records of torrents lie, below the data folder. */
const FOLDER = 'torrents';

/** How long a blob that was fetched may take to be kept: as long as a slow disk takes to sync a large one. */
const KEEPING_POLL_MS = 50;
const KEEPING_TRIES = 600;

/** Opens the library; `undefined` when torrents are switched off. */
export async function openTorrents(deps: TorrentsDeps, config: () => NodeConfig): Promise<Torrents | undefined> {
  if (!config().torrent.enabled) return undefined;
  const { store: blobs, seed, memory, swarmKey, log, metrics } = deps;
  const { listen } = config().torrent;
  const announce = (digest: Digest): void => deps.transfer.announce(digest);
  const library = await TorrentLibrary.open(
    {
      blobs,
      openEngine: async () => {
        try {
          const trackers = torrentTrackers(swarmKey, config().swarm.tracker);
          return await TorrentEngine.open({ log, trackers }, torrentEngineConfig(config()));
        } catch (error) {
          throw isDockyardError(error, 'ERR_TORRENT_LISTEN') ? listenFailure('torrent', listen, error.cause) : error;
        }
      },
      whenFound: seed?.whenFound,
      recycle: (chunk) => memory.release(chunk),
      clock: systemClock,
      log,
      metrics,
    },
    torrentLibraryConfig(config(), join(config().data, FOLDER)),
  );
  return {
    service: new NodeTorrents(
      {
        store: blobs,
        isOfRecord: async (digest) => (await seed?.isOfRecord(digest)) ?? false,
        originWebSeed: (repository, digest) => originWebSeed(config(), repository, digest),
      },
      library,
      (chunk) => memory.release(chunk),
    ),
    take: (request, options) => takeTorrent({ store: blobs, library, announce }, request, options),
    useRates: async (next) => {
      const { uploadBytesPerSecond, downloadBytesPerSecond } = torrentRates(next);
      await library.setLimits(uploadBytesPerSecond, downloadBytesPerSecond);
    },
    [Symbol.asyncDispose]: async () => await library.close(),
  };
}

/** What is known of blobs. */
interface BlobFacts extends Pick<SeedRecordFacts, 'isOfRecord'> {
  readonly store: BlobStore;
  /** Where the registry gives it by plain HTTP. */
  readonly originWebSeed: (repository: Repository, digest: Digest) => string | undefined;
}

class NodeTorrents implements TorrentService {
  readonly held: BlobService;
  readonly #store: BlobStore;
  readonly #isOfRecord: SeedRecordFacts['isOfRecord'];
  readonly #originWebSeed: BlobFacts['originWebSeed'];
  readonly #library: TorrentLibrary;

  constructor(
    { store, isOfRecord, originWebSeed }: BlobFacts,
    library: TorrentLibrary,
    recycle: (chunk: Uint8Array) => void,
  ) {
    this.#store = store;
    this.#isOfRecord = isOfRecord;
    this.#originWebSeed = originWebSeed;
    this.#library = library;
    this.held = {
      stat: async (digest) => ((await isOfRecord(digest)) ? undefined : store.stat(digest)),
      open: async (digest, { signal }) =>
        (await isOfRecord(digest)) ? undefined : await openHeld(store, digest, recycle, signal),
    };
  }

  async ofHeldBlob(
    digest: Digest,
    webSeed: string | undefined,
    signal: AbortSignal,
  ): Promise<TorrentDocument | undefined> {
    // Its repositories say who may have it; a digest alone does not: as for pulls, see seed/vouched-blobs.ts.
    return (await this.#isOfRecord(digest)) ? undefined : await this.#documentOfBlob(digest, [webSeed], signal);
  }

  async ofBlob(digest: Digest, source: ImageSource, webSeed: string | undefined): Promise<TorrentDocument | undefined> {
    if ((await source.blobs.stat(digest, source.context)) === undefined) return undefined;
    await this.#hold(digest, source);
    const { repository, signal } = source.context;
    return await this.#documentOfBlob(digest, [webSeed, this.#originWebSeed(repository, digest)], signal);
  }

  async #documentOfBlob(
    digest: Digest,
    webSeeds: readonly (string | undefined)[],
    signal: AbortSignal,
  ): Promise<TorrentDocument | undefined> {
    const metainfo = await this.#library.ofBlob(digest, { signal });
    return metainfo === undefined ? undefined : documentOf(metainfo, webSeeds);
  }

  async ofImage(root: ServedManifest, source: ImageSource, webSeed: string | undefined): Promise<TorrentDocument> {
    const files = await planFiles(root, source);
    for (const { digest } of files) if (digest !== undefined) await this.#hold(digest, source);
    const { signal } = source.context;
    return documentOf(await this.#library.ofImage(root.digest, files, { signal }), [webSeed]);
  }

  async findFile(root: ServedManifest, source: ImageSource, path: readonly string[]): Promise<ImageFile | undefined> {
    const wanted = path.join('/');
    const file = (await planFiles(root, source)).find((candidate) => candidate.path.join('/') === wanted);
    if (file === undefined) return undefined;
    return file.digest === undefined ? { bytes: file.bytes } : { digest: file.digest };
  }

  /** Fetches a blob as a pull would, so that it is held. */
  async #hold(digest: Digest, { blobs, context }: ImageSource): Promise<void> {
    if (this.#store.stat(digest) !== undefined) return;
    const reading = await blobs.open(digest, context);
    if (reading === undefined)
      throw torrentError('ERR_TORRENT_UNSUITABLE', `nobody has ${digest}, which the image needs`);
    try {
      for await (const chunk of reading.read({ start: 0, end: reading.sizeBytes })) reading.recycle?.(chunk);
    } finally {
      await reading.close();
    }
    if (!(await isKept(this.#store, digest, context.signal)))
      throw torrentError(
        'ERR_TORRENT_UNSUITABLE',
        `${digest} is not kept in this node's own store, and cannot be shared`,
      );
  }
}

/** A reader has its last bytes when they are verified; the store has the blob when it is synced to the disk as well. */
async function isKept(store: BlobStore, digest: Digest, signal: AbortSignal): Promise<boolean> {
  for (let tries = 0; tries < KEEPING_TRIES && store.stat(digest) === undefined; tries += 1)
    await setTimeout(KEEPING_POLL_MS, undefined, { signal });
  return store.stat(digest) !== undefined;
}

async function planFiles(root: ServedManifest, { manifests, context }: ImageSource): Promise<readonly LayoutFile[]> {
  return await planImageLayout(root, async (digest) => {
    const child = await manifests.get({ kind: 'digest', digest }, context);
    if (child === undefined)
      throw torrentError('ERR_TORRENT_UNSUITABLE', `the index names ${digest}, which nobody has`);
    return child;
  });
}

/** Only of upstreams of whom the operator says that they give blobs to anyone; where an account is needed, clients have none. */
function originWebSeed(
  { torrent, upstreams }: NodeConfig,
  { upstream, name }: Repository,
  digest: Digest,
): string | undefined {
  const found = torrent.originWebSeeds ? upstreams.find((candidate) => candidate.name === upstream) : undefined;
  if (found === undefined || found.username !== undefined || found.token !== undefined) return undefined;
  const prefix = found.repositoryPrefix === undefined ? '' : `${found.repositoryPrefix}/`;
  return `${found.url.replace(/\/$/, '')}/v2/${prefix}${name}/blobs/${digest}`;
}

function documentOf(metainfo: Metainfo, urls: readonly (string | undefined)[]): TorrentDocument {
  const webSeeds = urls.filter((url) => url !== undefined);
  return { bytes: encodeMetainfo({ ...metainfo, webSeeds }), infoHash: metainfo.info.infoHash };
}

async function openHeld(
  store: BlobStore,
  digest: Digest,
  recycle: (chunk: Uint8Array) => void,
  signal: AbortSignal,
): Promise<BlobReading | undefined> {
  const held = await store.open(digest);
  if (held === undefined) return undefined;
  const close = async (): Promise<void> => await held.close();
  const read: BlobReading['read'] = (range) => held.stream(range, { signal });
  return { digest, sizeBytes: held.geometry.sizeBytes, read, recycle, close, [Symbol.asyncDispose]: close };
}
