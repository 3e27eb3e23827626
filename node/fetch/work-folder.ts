/**
 * Where a fetch keeps what is not finished: a folder beside or in the output, held by one process at a time. It stays when
 * the process dies, so that the next one goes on from there, and goes away when all is done.
 */
import { lstat, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../src/content/make-folder.ts';
import { systemCode } from '../../src/content/errors.ts';
import { digestAlgorithm, digestHex, type Digest } from '../../src/oci/digest.ts';
import { fetchError } from './errors.ts';
import { outputFailure } from './output-failure.ts';
import { takeProcessLock, type ProcessLock } from './process-lock.ts';

/** A folder that this process holds. Whoever opens it closes it. */
export class WorkFolder implements AsyncDisposable {
  readonly path: string;
  readonly #lock: ProcessLock;
  #isOpen = true;

  private constructor(path: string, lock: ProcessLock) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Makes the folder, or takes up the one that an earlier process left.
   * @throws {DockyardError} ERR_FETCH_BUSY, ERR_OUTPUT_EXISTS when something else is there, ERR_OUTPUT_IO
   */
  static async open(path: string): Promise<WorkFolder> {
    try {
      await requireFolderOrNothing(path);
      await makeFolder(path);
      const lock = await takeProcessLock(join(path, 'lock'));
      if (lock !== undefined) return new WorkFolder(path, lock);
    } catch (error) {
      throw outputFailure(error, path);
    }
    throw fetchError('ERR_FETCH_BUSY', `another process is fetching to the same place: it holds ${path}`);
  }

  /** Where the part of a blob lies. */
  partOf(digest: Digest): string {
    return this.pathOf(`${digestAlgorithm(digest)}-${digestHex(digest)}`);
  }

  /** Where a file of this name lies. */
  pathOf(name: string): string {
    return join(this.path, name);
  }

  /** Gives the folder up; what is in it stays, and with nothing in it, it goes. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#lock.release();
    await removeIfEmpty(this.path);
  }

  /** Gives the folder up and takes it away. */
  async remove(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await rm(this.path, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Takes a folder away that has nothing in it; any other is left. */
export async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw error;
  }
}

/** A link there could lead out of the output. */
async function requireFolderOrNothing(path: string): Promise<void> {
  try {
    if ((await lstat(path)).isDirectory()) return;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  throw fetchError('ERR_OUTPUT_EXISTS', `${path} is in the way: it is to be a folder for unfinished parts`);
}
