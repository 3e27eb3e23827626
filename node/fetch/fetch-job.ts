/** Finds out what a call of `dockyard fetch` means, and has it done. */
import { resolve } from 'node:path';
import type { Digest } from '../../src/oci/digest.ts';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import { parsePlatform } from '../../src/oci/platform.ts';
import { parseImageReference, type ImageReference } from '../../src/oci/reference.ts';
import { nodeError } from '../errors.ts';
import { appOf, fetchApp, fetchAppInstead } from './app-job.ts';
import { fetchNamedBlob, fetchNamedImage, manifestReference } from './fetch-named.ts';
import { openFetchOrigin, type FetchOrigin } from './fetch-origin.ts';
import { finished, silentLog, type FetchedJob, type FetchJob, type JobOptions } from './job.ts';
import { fetchBlobByTorrent, fetchImageByTorrent, fetchTorrentJob } from './torrent-job.ts';
import { parseWanted, type WantedName } from './what.ts';

/** Does it. @throws {DockyardError} of whatever goes wrong */
export async function runFetchJob(job: FetchJob, options: JobOptions): Promise<FetchedJob> {
  const { wanted, workingDirectory } = job;
  refuseStrayFlags(job);
  switch (wanted.kind) {
    case 'magnet':
      return await fetchTorrentJob(job, { kind: 'magnet', uri: wanted.uri }, options);
    case 'torrent':
      return await fetchTorrentJob(
        job,
        wanted.isUrl
          ? { kind: 'url', url: new URL(wanted.location) }
          : { kind: 'file', path: resolve(workingDirectory, wanted.location) },
        options,
      );
    case 'digest':
      return await fetchDigest(wanted.digest, job, options);
    case 'name':
      return await fetchName(wanted, job, options);
  }
}

function refuseStrayFlags({ wanted, flags }: FetchJob): void {
  const refuse = (message: string): never => {
    throw nodeError('ERR_USAGE', message);
  };
  const isTorrent = wanted.kind === 'torrent' || wanted.kind === 'magnet';
  if (flags.seed === true && !isTorrent && flags.p2p !== true) refuse('--seed shares what came by torrent: add --p2p');
  if (flags.from !== undefined && wanted.kind !== 'digest')
    refuse('--from is for a digest alone; an image names its repository');
  if (flags.platform !== undefined && wanted.kind !== 'name') refuse('--platform is for images and apps');
  if (flags.as !== undefined && wanted.kind !== 'name') refuse('--as is for names');
}

async function fetchDigest(digest: Digest, job: FetchJob, options: JobOptions): Promise<FetchedJob> {
  const { config, flags, place, progress } = job;
  if (flags.from === undefined && flags.p2p === true) return await fetchBlobByTorrent(digest, job, options);
  if (flags.from === undefined)
    throw nodeError('ERR_USAGE', 'a digest alone says not where it is: add --from REPOSITORY, or --p2p');
  const named = parseWanted(flags.from);
  if (named.kind !== 'name') throw nodeError('ERR_USAGE', `--from: '${flags.from.slice(0, 160)}' is not a repository`);
  const { scheme, reference } = named;
  if (reference === undefined) throw unreadable(named.text);
  if (flags.p2p === true) {
    const { host, name } = reference;
    const blob = { ...(host === undefined ? {} : { host }), name, digest };
    return await fetchImageByTorrent(blob, named, job, options);
  }
  await using origin = await openFetchOrigin(silentLog(), reference, { config, scheme });
  const { registry: source, repository } = origin;
  return finished(await fetchNamedBlob({ source, progress }, { repository, digest }, place, options));
}

async function fetchName(wanted: WantedName, job: FetchJob, options: JobOptions): Promise<FetchedJob> {
  const { config, flags, place, progress } = job;
  const { reference, scheme } = wanted;
  const app = flags.as === 'image' ? undefined : appOf(wanted, config);
  if (app !== undefined && (flags.as === 'app' || reference === undefined)) return await fetchApp(app, job, options);
  if (reference === undefined) throw unreadable(wanted.text);
  if (flags.as === 'app')
    throw nodeError(
      'ERR_USAGE',
      `'${wanted.text.slice(0, 160)}' is not the name of an app, such as example.com/app:1.0`,
    );
  if (flags.p2p === true && app === undefined) return await fetchImageByTorrent(reference, wanted, job, options);
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  await using origin = await openFetchOrigin(silentLog(), reference, { config, scheme });
  if (app !== undefined && !(await hasManifest(origin, reference, options)))
    return await fetchAppInstead(app, job, options);
  if (flags.p2p === true) return await fetchImageByTorrent(reference, wanted, job, options);
  const { registry: source, repository } = origin;
  return finished(await fetchNamedImage({ source, progress }, { repository, reference, platform }, place, options));
}

/**
 * Whether the host is a registry that has the image. A host that is none says 404, or answers with a page; what keeps it from
 * answering at all is not taken for a no.
 */
async function hasManifest(
  { registry, repository }: FetchOrigin,
  reference: ImageReference,
  options: JobOptions,
): Promise<boolean> {
  try {
    return (await registry.fetchManifest(repository, manifestReference(reference), options)) !== undefined;
  } catch (error) {
    if (isDockyardError(error, 'ERR_ORIGIN_BAD_ANSWER')) return false;
    throw error;
  }
}

/** Says what is wrong with a name, by reading it once more. */
function unreadable(text: string): Error {
  try {
    parseImageReference(text);
  } catch (error) {
    return nodeError('ERR_USAGE', asError(error).message, { cause: error });
  }
  return nodeError('ERR_USAGE', `'${text.slice(0, 160)}' is not the name of an image`);
}
