/**
 * Fetches by BitTorrent into a file or a folder. What is named by digests (a blob, an image layout) and app containers are
 * checked as a whole before they get their name; an interrupted fetch goes on with the pieces that are right.
 */
import { createHash } from 'node:crypto';
import { lstat, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isAbsentError } from '../../src/content/errors.ts';
import { makeFolder } from '../../src/content/make-folder.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { FolderStorage, partPath } from '../../src/torrent/folder-storage.ts';
import { SHA1_BYTES, type Metainfo, type TorrentInfo } from '../../src/torrent/metainfo.ts';
import type { WritableTorrentStorage } from '../../src/torrent/storage.ts';
import type { TorrentEngine } from '../../src/torrent/torrent-engine.ts';
import { fetchError } from './errors.ts';
import { filePathFor } from './file-output.ts';
import { outputFailure } from './output-failure.ts';
import { takeProcessLock } from './process-lock.ts';
import type { FetchProgress } from './progress.ts';
import { downloadWatched } from './watched-download.ts';
import { removeIfEmpty } from './work-folder.ts';

/** Reads all that was fetched; throws when it is not what it should be. */
export type ContentCheck = (
  info: TorrentInfo,
  read: WritableTorrentStorage['read'],
  options: { signal?: AbortSignal | undefined },
) => Promise<void>;

export interface FetchTorrentDeps {
  readonly engine: TorrentEngine;
  readonly progress: FetchProgress;
  readonly check: ContentCheck;
}

/** What to fetch, and where to. */
export interface WantedTorrentContent {
  readonly metainfo: Metainfo;
  /** Absolute; as `--output` was given. */
  readonly output: string;
  /** Mend what is in the way instead of refusing it. */
  readonly force: boolean;
  /** Tried beside those that trackers tell: `HOST:PORT`. */
  readonly peers: readonly string[];
  /** Go on seeding when all is there. */
  readonly seed: boolean;
  /** Give up when nothing came for so long; 0 is never. */
  readonly silenceTimeoutMs: number;
}

/**
 * Fetches the content of a torrent.
 * @returns where it is
 * @throws {DockyardError} ERR_FETCH_STALLED, ERR_FETCH_BUSY, ERR_OUTPUT_EXISTS, ERR_OUTPUT_IO; of the check and the engine
 */
export async function fetchTorrent(
  deps: FetchTorrentDeps,
  wanted: WantedTorrentContent,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<string> {
  const { info } = wanted.metainfo;
  const target = await targetFor(wanted.output, info);
  const lockPath = `${partPath(target)}.lock`;
  try {
    await makeFolder(dirname(target));
    const lock = await takeProcessLock(lockPath);
    if (lock === undefined) throw fetchError('ERR_FETCH_BUSY', `another process is fetching to ${target}`);
    try {
      await settle(deps, wanted, target, options);
      return target;
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw outputFailure(error, target);
  }
}

/** Where the content belongs: itself at the path, or inside of it where that is a folder with other things. */
async function targetFor(output: string, info: TorrentInfo): Promise<string> {
  if (info.isSingleFile) return await filePathFor(output, info.name);
  const [first] = info.files.find(({ isPadding }) => !isPadding)?.path ?? [];
  const holdsContent = first !== undefined && (await kindOf(join(output, first))) !== 'absent';
  const bare = output.replace(/[/\\]+$/, '');
  if (holdsContent || (await kindOf(bare)) !== 'folder') return bare;
  await removeIfEmpty(bare);
  return (await kindOf(bare)) === 'absent' ? bare : join(bare, info.name);
}

async function settle(
  deps: FetchTorrentDeps,
  wanted: WantedTorrentContent,
  target: string,
  options: { signal?: AbortSignal | undefined },
): Promise<void> {
  const { engine, progress } = deps;
  const { metainfo, seed } = wanted;
  const { info } = metainfo;
  progress.totalBytes = info.sizeBytes;
  if ((await kindOf(target)) !== 'absent') {
    progress.phase = 'verifying';
    const storage = await FolderStorage.open(info, target);
    if (await isWhole(info, storage, options)) {
      await deps.check(info, async (range) => await storage.read(range), options);
      progress.reused(info.sizeBytes);
      progress.phase = 'done';
      if (seed) await engine.seed(metainfo, storage);
      return;
    }
    await storage.close();
    await makeWay(target, wanted.force);
  }
  await download(deps, wanted, target, options);
}

async function download(
  deps: FetchTorrentDeps,
  wanted: WantedTorrentContent,
  target: string,
  options: { signal?: AbortSignal | undefined },
): Promise<void> {
  const { info } = wanted.metainfo;
  await refuseLinks(partPath(target), info);
  const storage = await FolderStorage.open(info, target);
  const check = async (): Promise<void> => await deps.check(info, async (range) => await storage.read(range), options);
  try {
    await downloadWatched(deps, { ...wanted, storage, check }, options);
  } catch (error) {
    // What is false as a whole is of no use to a later fetch; nor is a file with nothing in it.
    const hasContent = !storage.isEmpty || deps.progress.doneBytes > 0;
    const isOfUse = !isDockyardError(error, 'ERR_TORRENT_MISMATCH') && hasContent;
    if (!isOfUse) await rm(partPath(target), { recursive: true, force: true });
    throw error;
  }
}

/** Whether every piece is there already. */
async function isWhole(
  info: TorrentInfo,
  storage: FolderStorage,
  options: { signal?: AbortSignal | undefined },
): Promise<boolean> {
  const { pieceSizeBytes, pieceHashes, sizeBytes } = info;
  for (let start = 0, index = 0; start < sizeBytes; start += pieceSizeBytes, index += 1) {
    options.signal?.throwIfAborted();
    // A file that is too short, or not there, is none of the torrent's.
    const piece = await storage
      .read({ start, end: Math.min(start + pieceSizeBytes, sizeBytes) })
      .catch(() => undefined);
    const expected = pieceHashes.subarray(index * SHA1_BYTES, (index + 1) * SHA1_BYTES);
    if (piece === undefined || !createHash('sha1').update(piece).digest().equals(expected)) return false;
  }
  return true;
}

/** What is in the way becomes the part that is mended, so that nothing of it is lost that the torrent does not name. */
async function makeWay(target: string, force: boolean): Promise<void> {
  if (!force || (await kindOf(partPath(target))) !== 'absent') {
    throw fetchError('ERR_OUTPUT_EXISTS', `${target} is there already, and is not what the torrent says`);
  }
  await rename(target, partPath(target));
}

/** A link among the folders of what an earlier process, or a person, left could lead what is written out of the output. */
async function refuseLinks(root: string, info: TorrentInfo): Promise<void> {
  if (info.isSingleFile) return;
  const folders = new Set(
    info.files.flatMap(({ path }) => path.slice(0, -1).map((_, depth) => join(...path.slice(0, depth + 1)))),
  );
  for (const folder of ['', ...folders]) {
    const path = join(root, folder);
    if ((await kindOf(path)) === 'other')
      throw fetchError('ERR_OUTPUT_EXISTS', `${path} is to be a folder, and is none`);
  }
}

async function kindOf(path: string): Promise<'absent' | 'folder' | 'other'> {
  try {
    return (await lstat(path)).isDirectory() ? 'folder' : 'other';
  } catch (error) {
    if (isAbsentError(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return 'absent';
    throw outputFailure(error, path);
  }
}
