/** What the file system says of an output, in words of the command. */
import { asError, isAbortError, isDockyardError } from '../../src/oci/error.ts';
import { systemCode } from '../../src/content/errors.ts';
import { fetchError } from './errors.ts';

/** The error to throw for one of the file system; ours and aborts pass through unchanged. */
export function outputFailure(error: unknown, path: string): Error {
  if (isDockyardError(error) || isAbortError(error) || systemCode(error) === undefined) return asError(error);
  return fetchError('ERR_OUTPUT_IO', `${path}: ${reasonOf(error)}`, { cause: error, details: { path } });
}

function reasonOf(error: unknown): string {
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full';
    case 'EACCES':
    case 'EPERM':
      return 'permission is denied';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ENOTDIR':
      return 'a part of the path is a file, not a folder';
    default:
      return asError(error).message;
  }
}
