/** Why a store could not be opened, in words that say what to do: most people meet these errors on their first start. */
import { contentError, isNoSpaceError, systemCode } from './errors.ts';

const ANOTHER = 'name another data folder with --data DIR';

const REASONS: Readonly<Record<string, string>> = {
  ENOTDIR: `a part of the path is a file, not a folder; ${ANOTHER}`,
  EEXIST: `a file stands where a folder is needed; ${ANOTHER}`,
  ENOENT: `no folder can be made there; ${ANOTHER}`,
  EROFS: `the file system is read-only; mount it writable, or ${ANOTHER}`,
  EACCES: `the user of this process may not write there; give it the folder (chown), or ${ANOTHER}`,
  EPERM: `the user of this process may not write there; give it the folder (chown), or ${ANOTHER}`,
  ELOOP: `its symbolic links lead in a circle; ${ANOTHER}`,
  ENAMETOOLONG: `the path is too long; ${ANOTHER}`,
  EIO: 'the disk reports errors; check it',
  EMFILE: 'this process has too many open files; raise its limit (ulimit -n)',
};

/** The error for a failed step of opening a store; one of this layer passes unchanged. */
export function openingFailure(directory: string, error: unknown): Error {
  if (error instanceof Error && error.name === 'DockyardError') return error;
  const what = `the data folder ${directory} cannot be used`;
  if (isNoSpaceError(error))
    return contentError('ERR_STORE_FULL', `${what}: its disk is full; free some of it, or ${ANOTHER}`, {
      cause: error,
    });
  return contentError('ERR_STORE_IO', `${what}: ${reasonOf(error)}`, { cause: error });
}

function reasonOf(error: unknown): string {
  const code = systemCode(error);
  const reason = code === undefined ? undefined : REASONS[code];
  if (reason !== undefined) return `${code}: ${reason}`;
  return error instanceof Error ? error.message : 'see the log';
}
