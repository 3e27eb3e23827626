/** A single file as the place of a fetch. Until it is whole and verified it lies in a folder beside it. */
import { lstat, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isAbsentError } from '../../src/content/errors.ts';
import { makeFolder } from '../../src/content/make-folder.ts';
import { digestAlgorithm, type Digest } from '../../src/oci/digest.ts';
import { fetchError } from './errors.ts';
import { hashFile } from './hash-file.ts';
import { outputFailure } from './output-failure.ts';
import { WorkFolder } from './work-folder.ts';

/** What `--output` means for a file: itself, or a file of this name where it is a folder or ends as one. */
export async function filePathFor(output: string, name: string): Promise<string> {
  if (/[/\\]$/.test(output)) return join(output, name);
  try {
    return (await stat(output)).isDirectory() ? join(output, name) : output;
  } catch (error) {
    if (isAbsentError(error)) return output;
    throw outputFailure(error, output);
  }
}

/** What is at a path already. */
export type FileState = 'absent' | 'right' | 'other';

/** Whether the file is there with the content that a digest names. @throws {DockyardError} ERR_OUTPUT_IO */
export async function fileState(
  path: string,
  digest: Digest,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<FileState> {
  try {
    if (!(await lstat(path)).isFile()) return 'other';
    return (await hashFile(path, digestAlgorithm(digest), options)).digest === digest ? 'right' : 'other';
  } catch (error) {
    if (isAbsentError(error)) return 'absent';
    throw outputFailure(error, path);
  }
}

/** @throws {DockyardError} ERR_OUTPUT_EXISTS unless the path is free, or `force` lets a file be replaced; ERR_OUTPUT_IO */
export async function requireFree(path: string, { force }: { readonly force: boolean }): Promise<void> {
  try {
    const found = await lstat(path);
    if (force && !found.isDirectory()) return;
  } catch (error) {
    if (isAbsentError(error)) return;
    throw outputFailure(error, path);
  }
  throw fetchError('ERR_OUTPUT_EXISTS', `${path} is there already, and is something else`);
}

/** The folder in which the file grows. Whoever opens it closes it. @throws as `WorkFolder.open` */
export async function openWorkBeside(path: string): Promise<WorkFolder> {
  try {
    await makeFolder(dirname(path));
  } catch (error) {
    throw outputFailure(error, dirname(path));
  }
  return await WorkFolder.open(`${path}.dockyard-fetch`);
}
