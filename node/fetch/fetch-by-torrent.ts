/** Fetches by BitTorrent what a person named: a torrent file, a magnet link, or what a node has the torrent of. */
import { pino } from 'pino';
import { digestOfTorrentName } from '../../src/torrent/image-layout.ts';
import { formatMagnet, parseMagnet, type Magnet } from '../../src/torrent/magnet.ts';
import type { Metainfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { blobOfTorrent, PartialStorage } from '../../src/torrent/partial-storage.ts';
import { TorrentEngine, type TorrentEngineConfig } from '../../src/torrent/torrent-engine.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { openStoppedStore } from '../composition/stopped-store.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { requireNamed } from './content-checks.ts';
import type { FetchPlace, FetchResult } from './fetch-named.ts';
import { fetchTorrent, type ContentCheck } from './fetch-torrent.ts';
import type { FetchProgress } from './progress.ts';
import { SilenceWatch } from './silence-watch.ts';
import { downloadTorrentFile, readTorrentFile } from './torrent-file.ts';
import { downloadWatched } from './watched-download.ts';

/** Where a torrent comes from. */
export type TorrentOrigin =
  | { readonly kind: 'magnet'; readonly uri: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: URL };

/** What is fetched. */
export interface WantedByTorrent {
  readonly origin: TorrentOrigin;
  /** For people. */
  readonly name: string;
  /** What the torrent must be named after, where that was asked for. */
  readonly digest: Digest | undefined;
  readonly place: FetchPlace;
  readonly trackers: readonly string[];
  readonly peers: readonly string[];
  readonly seed: boolean;
  readonly silenceTimeoutMs: number;
  readonly check: ContentCheck;
  /** Told what the torrent says before anything is fetched; may refuse it. */
  readonly accept?: ((metainfo: Metainfo) => void) | undefined;
  /** Tried beside those of the torrent. */
  readonly webSeeds?: readonly string[] | undefined;
}

export interface FetchByTorrentDeps {
  readonly config: NodeConfig;
  readonly engineConfig: TorrentEngineConfig;
  readonly progress: FetchProgress;
}

/** What was fetched. It is seeded, if that was wanted, until it is closed. */
export interface FetchedByTorrent extends AsyncDisposable {
  readonly result: FetchResult;
  /** Copies what the engine counts to the progress. */
  count(): void;
}

/** @throws {DockyardError} as `fetchTorrent` and `parseMetainfo`; ERR_USAGE where there is no place for it */
export async function fetchByTorrent(
  { config, engineConfig, progress }: FetchByTorrentDeps,
  wanted: WantedByTorrent,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<FetchedByTorrent> {
  await using opening = new AsyncDisposableStack();
  const early = wanted.origin.kind === 'magnet' ? undefined : await readMetainfo(wanted.origin, config, options);
  if (early !== undefined) requirePlace(early, wanted);
  const engine = opening.use(await TorrentEngine.open({ log: pino({ level: 'silent' }) }, engineConfig));
  const metainfo = withHints(early ?? (await learn(engine, wanted, progress, options)), wanted);
  if (early === undefined) requirePlace(metainfo, wanted);
  const deps = { engine, progress, check: wanted.check };
  const { output, force } = wanted.place;
  const place =
    output === undefined
      ? await downloadToStore(deps, metainfo, wanted, opening, options)
      : await fetchTorrent(deps, { ...wanted, metainfo, output, force }, options);
  const sentBefore = engine.stats().uploadedBytes;
  const opened = opening.move();
  return {
    result: resultOf(metainfo, wanted.name, place),
    count: () => {
      const { uploadedBytes, peers } = engine.stats();
      progress.sentBytes = uploadedBytes - sentBefore;
      progress.peerCount = peers;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function readMetainfo(
  origin: Exclude<TorrentOrigin, { kind: 'magnet' }>,
  config: NodeConfig,
  options: { signal?: AbortSignal | undefined },
): Promise<Metainfo> {
  const bytes =
    origin.kind === 'file'
      ? await readTorrentFile(origin.path)
      : await downloadTorrentFile(origin.url, config, options);
  return parseMetainfo(bytes);
}

/** Asks peers what a magnet link is about. */
async function learn(
  engine: TorrentEngine,
  { origin, trackers, peers, silenceTimeoutMs }: WantedByTorrent,
  progress: FetchProgress,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<Metainfo> {
  if (origin.kind !== 'magnet') throw new TypeError('only a magnet link has to be learned');
  const magnet: Magnet = parseMagnet(origin.uri);
  progress.phase = 'looking';
  using silence = new SilenceWatch(silenceTimeoutMs, signal);
  const known = { ...magnet, trackers: [...new Set([...magnet.trackers, ...trackers])] };
  return await engine.learn(known, { signal: silence.signal, peers });
}

/** Trackers of the command line come first, in a tier of their own. */
function withHints(metainfo: Metainfo, { trackers, webSeeds = [] }: WantedByTorrent): Metainfo {
  const known = new Set(metainfo.trackerTiers.flat());
  const further = trackers.filter((url) => !known.has(url));
  const trackerTiers = further.length === 0 ? metainfo.trackerTiers : [further, ...metainfo.trackerTiers];
  return { ...metainfo, trackerTiers, webSeeds: [...new Set([...metainfo.webSeeds, ...webSeeds])] };
}

/** Says before anything is fetched that it could not be kept. */
function requirePlace(metainfo: Metainfo, { place, digest, accept }: WantedByTorrent): void {
  const { info } = metainfo;
  accept?.(metainfo);
  if (digest !== undefined) requireNamed(info, digest);
  if (place.output !== undefined) {
    if (place.data === undefined) return;
    throw nodeError('ERR_USAGE', 'what comes by torrent goes to --output or to the store of --data, not to both');
  }
  if (info.isSingleFile && digestOfTorrentName(info.name) !== undefined) return;
  throw nodeError('ERR_USAGE', 'only the torrent of one blob goes to a store; add --output for this one');
}

async function downloadToStore(
  { engine, progress }: { readonly engine: TorrentEngine; readonly progress: FetchProgress },
  metainfo: Metainfo,
  { place, peers, seed, silenceTimeoutMs }: WantedByTorrent,
  opening: AsyncDisposableStack,
  options: { signal?: AbortSignal | undefined },
): Promise<string> {
  const directory = place.data ?? '';
  const content = opening.use(await openStoppedStore(directory));
  const { info } = metainfo;
  const digest = blobOfTorrent(info);
  progress.totalBytes = info.sizeBytes;
  if (content.blobs.stat(digest) !== undefined) {
    progress.reused(info.sizeBytes);
    progress.phase = 'done';
    return directory;
  }
  const partial = await content.blobs.openPartial(digest, info.sizeBytes);
  const storage = new PartialStorage(info, partial, content.blobs);
  await downloadWatched({ engine, progress }, { metainfo, storage, peers, seed, silenceTimeoutMs }, options);
  return directory;
}

function resultOf(metainfo: Metainfo, name: string, place: string): FetchResult {
  const { info } = metainfo;
  const shown = name.startsWith('magnet:') ? formatMagnet({ ...metainfo, trackerTiers: [], webSeeds: [] }) : name;
  return {
    what: 'torrent',
    name: shown,
    digest: digestOfTorrentName(info.name),
    sizeBytes: info.sizeBytes,
    place,
    skipped: [],
  };
}
