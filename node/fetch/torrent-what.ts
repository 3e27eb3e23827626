/** What a person wants a torrent of: a path, an image or a blob, found on disk, in a registry or in the store of a node. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pino } from 'pino';
import { isDigest, type Digest } from '../../src/oci/digest.ts';
import { HOSTED_HERE, type Repository } from '../../src/oci/repository.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import type { TorrentSource } from '../../src/torrent/make-torrent.ts';
import { openStoppedStore } from '../composition/stopped-store.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { fetchError } from './errors.ts';
import { manifestReference } from './fetch-named.ts';
import type { ImageSource } from './fetch-image.ts';
import { openFetchOrigin } from './fetch-origin.ts';
import { planImage } from './image-plan.ts';
import { StoreSource } from './store-place.ts';
import { torrentOfBlob, torrentOfImage, torrentOfPath } from './torrent-content.ts';
import { parseWanted, type WantedName } from './what.ts';

/** What was asked for. */
export interface WantedTorrent {
  readonly what: string;
  /** The repository of a blob. */
  readonly from: string | undefined;
  /** Look into the store of the configured data folder, and nowhere else. */
  readonly usesStore: boolean;
  readonly workingDirectory: string;
}

/** Content that is open for reading. Whoever opened it closes it. */
export interface OpenedTorrentSource extends AsyncDisposable {
  readonly source: TorrentSource;
}

/**
 * Finds the content. What exists as a path is taken as one; a digest or an image of the same name would need a file called so.
 * @throws {DockyardError} ERR_USAGE, ERR_FETCH_ABSENT, and those of the registry or the store
 */
export async function openTorrentSource(
  wanted: WantedTorrent,
  config: NodeConfig,
  options: { signal?: AbortSignal | undefined },
): Promise<OpenedTorrentSource> {
  const path = resolve(wanted.workingDirectory, wanted.what);
  if (!isDigest(wanted.what) && existsSync(path)) {
    return { source: await torrentOfPath(path), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  await using opening = new AsyncDisposableStack();
  const parsed = parseWanted(wanted.what);
  if (parsed.kind !== 'digest' && parsed.kind !== 'name') {
    throw nodeError('ERR_USAGE', `there is no file ${path}, and a torrent is not made of a torrent`);
  }
  const named = parsed.kind === 'name' ? parsed : namedBy(wanted);
  const { source, repository } = await openSource(named, wanted, config, opening);
  const found =
    parsed.kind === 'digest'
      ? await torrentOfBlob(source, { repository, digest: parsed.digest }, options)
      : await imageTorrent(source, repository, parsed, options);
  if (found === undefined) throw fetchError('ERR_FETCH_ABSENT', `there is no ${wanted.what}, and no such path`);
  const opened = opening.move();
  return { source: found, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

function namedBy({ from, usesStore }: WantedTorrent): WantedName | undefined {
  if (from === undefined && usesStore) return undefined;
  if (from === undefined) {
    throw nodeError('ERR_USAGE', 'a digest alone says not where it is: add --from REPOSITORY, or --data for a store');
  }
  const parsed = parseWanted(from);
  if (parsed.kind === 'name') return parsed;
  throw nodeError('ERR_USAGE', `--from: '${from.slice(0, 160)}' is not a repository`);
}

async function openSource(
  named: WantedName | undefined,
  { usesStore }: WantedTorrent,
  config: NodeConfig,
  opening: AsyncDisposableStack,
): Promise<{ source: ImageSource; repository: Repository }> {
  if (named === undefined) {
    const source = new StoreSource(opening.use(await openStoppedStore(config.data)));
    return { source, repository: { upstream: HOSTED_HERE, name: parseRepositoryName('any') } };
  }
  if (named.reference === undefined) throw nodeError('ERR_USAGE', `'${named.text}' is neither a path nor an image`);
  const { scheme } = named;
  const log = pino({ level: 'silent' });
  const origin = opening.use(await openFetchOrigin(log, named.reference, { config, scheme }));
  const source = usesStore ? new StoreSource(opening.use(await openStoppedStore(config.data))) : origin.registry;
  return { source, repository: origin.repository };
}

async function imageTorrent(
  source: ImageSource,
  repository: Repository,
  { reference }: WantedName,
  options: { signal?: AbortSignal | undefined },
): Promise<TorrentSource | undefined> {
  if (reference === undefined) return undefined;
  const held = (_digest: Digest): Promise<undefined> => Promise.resolve(undefined);
  const plan = await planImage({ source, held }, { repository, reference: manifestReference(reference) }, options);
  return plan === undefined ? undefined : await torrentOfImage(source, repository, plan);
}
