/** Making a folder with all above it. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asError } from '../oci/error.ts';
import { isAbsentError } from './errors.ts';

/**
 * Makes a folder and those above it; holding it already is success. Not Node's own recursive `mkdir`: that never ends below a
 * folder where the system answers ENOENT although the parent is there, as in `/proc`.
 * @throws the error of the file system, with its `code`
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (!isAbsentError(error)) {
      await requireFolder(path, asError(error));
      return;
    }
    const parent = dirname(path);
    if (parent === path) throw error;
    // One that is there by now may have been made meanwhile, so the system is asked once more, and no further.
    if (!(await isFolder(parent))) await makeFolder(parent);
    await mkdir(path).catch((second: unknown) => requireFolder(path, asError(second)));
  }
}

/** Whatever the system says of making it: a folder that is there, made by another process or on a read-only disk, will do. */
async function requireFolder(path: string, error: Error): Promise<void> {
  if (!(await isFolder(path))) throw error;
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
