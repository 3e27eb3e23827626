/** The few file operations of the mirror commands, under a root that tests choose. Writes are atomic. */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, open, readdir, readFile, realpath, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../src/content/make-folder.ts';
import { asError } from '../../src/oci/error.ts';
import { nodeError } from '../errors.ts';

/** Content and rights of a file. */
export interface FileState {
  readonly bytes: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Files below a root; paths begin with `/` and do not contain it. All errors are ERR_MIRROR_ACCESS. */
export class RootedFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** The path as this process sees it. */
  path(path: string): string {
    return join(this.#root, path);
  }

  /** The file, or `undefined` when there is none. Links are followed. */
  read(path: string): Promise<FileState | undefined> {
    return this.#guard(path, async () => {
      try {
        const bytes = await readFile(this.path(path));
        const { mode, uid, gid } = await stat(this.path(path));
        return { bytes, mode: mode & 0o7777, uid, gid };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  /** The text of a file, or `undefined`. */
  async readText(path: string): Promise<string | undefined> {
    return (await this.read(path))?.bytes.toString('utf8');
  }

  /** Names in a folder, sorted; none when there is no folder. */
  list(path: string): Promise<string[]> {
    return this.#guard(path, async () => {
      try {
        return (await readdir(this.path(path))).toSorted();
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    });
  }

  /** Writes a file whole or not at all; a link stays, and the file it leads to is replaced. */
  write(path: string, file: FileState): Promise<void> {
    return this.#guard(path, async () => {
      const target = await realpath(this.path(path)).catch(() => this.path(path));
      const temporary = `${target}.dockyard-${randomBytes(4).toString('hex')}`;
      try {
        await writeDurably(temporary, file);
        await rename(temporary, target);
      } catch (error) {
        await unlink(temporary).catch(() => undefined);
        throw error;
      }
    });
  }

  /** Removes a file; none is fine. */
  remove(path: string): Promise<void> {
    return this.#guard(path, async () => {
      try {
        await unlink(this.path(path));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    });
  }

  /** Makes a folder with all above it; answers which were made, the outermost first. */
  makeFolders(path: string): Promise<string[]> {
    return this.#guard(path, async () => {
      const missing: string[] = [];
      let folder = path;
      while (folder !== '/' && !(await isFolder(this.path(folder)))) {
        missing.unshift(folder);
        folder = dirname(folder);
      }
      await makeFolder(this.path(path));
      return missing;
    });
  }

  /** Removes a folder if it is empty. */
  removeEmptyFolder(path: string): Promise<void> {
    return this.#guard(path, async () => {
      try {
        await rmdir(this.path(path));
      } catch (error) {
        if (!isMissing(error) && errorCode(error) !== 'ENOTEMPTY') throw error;
      }
    });
  }

  async #guard<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw nodeError('ERR_MIRROR_ACCESS', `${this.path(path)}: ${asError(error).message}`, { cause: error });
    }
  }
}

/** The SHA-256 of a file's content, in hexadecimal digits. */
export function contentHash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function writeDurably(path: string, file: FileState): Promise<void> {
  const handle = await open(path, 'wx', file.mode);
  try {
    await handle.writeFile(file.bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // The mode given to open() is cut by the umask; an owner other than ours can be given by root alone.
  await chmod(path, file.mode);
  const { uid, gid } = await stat(path);
  if (uid !== file.uid || gid !== file.gid) await chown(path, file.uid, file.gid);
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function errorCode(error: unknown): string | undefined {
  return (asError(error) as NodeJS.ErrnoException).code;
}

function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR';
}
