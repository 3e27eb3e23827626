/** Fetches what a digest names, a blob or else a manifest, into a file. */
import { dirname } from 'node:path';
import { nodeDisk, writeNewFile } from '../../src/content/disk.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { formatRepository, type Repository } from '../../src/oci/repository.ts';
import { fetchError } from './errors.ts';
import type { ImageSource } from './fetch-image.ts';
import { fileState, openWorkBeside, requireFree } from './file-output.ts';
import { gatherBlob } from './gather-blob.ts';
import { outputFailure } from './output-failure.ts';
import type { FetchProgress } from './progress.ts';
import type { WorkFolder } from './work-folder.ts';

export interface FetchBlobDeps {
  readonly source: ImageSource;
  readonly progress: FetchProgress;
}

/** Which blob, and where to. */
export interface WantedBlobFile {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly path: string;
  /** Replace a file that is in the way. */
  readonly force: boolean;
}

/**
 * Fetches a blob; a file that has its content already is left alone.
 * @throws {DockyardError} ERR_FETCH_ABSENT, ERR_FETCH_MISMATCH, ERR_OUTPUT_EXISTS, ERR_OUTPUT_IO, and those of the source
 */
export async function fetchBlobFile(
  { source, progress }: FetchBlobDeps,
  wanted: WantedBlobFile,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { repository, digest, path } = wanted;
  if ((await fileState(path, digest, options)) === 'right') {
    progress.phase = 'done';
    return;
  }
  await requireFree(path, wanted);
  const stat = await source.statBlob(repository, digest, options);
  await using work = await openWorkBeside(path);
  if (stat === undefined) await fetchManifestFile({ source, progress }, wanted, work, options);
  else {
    progress.totalBytes = stat.sizeBytes;
    progress.phase = 'fetching';
    const paths = { part: work.partOf(digest), final: path };
    const open: Parameters<typeof gatherBlob>[2] = async (range, { signal }) =>
      await source.openBlob(repository, digest, { range, signal });
    try {
      if (!(await gatherBlob({ digest, ...stat }, paths, open, progress, options))) throw absent(wanted);
    } catch (error) {
      throw outputFailure(error, path);
    }
  }
  await work.remove();
  progress.phase = 'done';
}

async function fetchManifestFile(
  { source, progress }: FetchBlobDeps,
  wanted: WantedBlobFile,
  work: WorkFolder,
  options: { signal?: AbortSignal | undefined },
): Promise<void> {
  const { repository, digest, path } = wanted;
  const manifest = await source.fetchManifest(repository, { kind: 'digest', digest }, options);
  if (manifest === undefined) {
    await work.remove();
    throw absent(wanted);
  }
  progress.totalBytes = manifest.bytes.length;
  const part = work.partOf(digest);
  try {
    await nodeDisk.removeTree(part);
    await writeNewFile(nodeDisk, part, manifest.bytes);
    await nodeDisk.rename(part, path);
    await nodeDisk.syncFolder(dirname(path));
  } catch (error) {
    throw outputFailure(error, path);
  }
  progress.received(manifest.bytes.length);
}

function absent({ repository, digest }: WantedBlobFile): Error {
  return fetchError('ERR_FETCH_ABSENT', `${formatRepository(repository)} has neither a blob nor a manifest ${digest}`, {
    details: { digest },
  });
}
