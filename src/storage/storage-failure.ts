/** Failures of the content store and of the file system in the terms of storage of record. */
import { isNoSpaceError } from '../content/errors.ts';
import { isAbortError, isDockyardError } from '../oci/error.ts';
import { storageError, type StorageErrorCode } from './errors.ts';

const CODES: Readonly<Record<string, StorageErrorCode>> = {
  ERR_STORE_FULL: 'ERR_STORAGE_FULL',
  ERR_STORE_IO: 'ERR_STORAGE_IO',
  ERR_STORE_CLOSED: 'ERR_STORAGE_CLOSED',
  ERR_BLOB_DAMAGED: 'ERR_STORAGE_DAMAGED',
};

const TEXTS: Readonly<Partial<Record<StorageErrorCode, string>>> = {
  ERR_STORAGE_FULL: 'no room for it',
  ERR_STORAGE_CLOSED: 'the store is closed',
  ERR_STORAGE_DAMAGED: 'it is not as it was written',
};

/**
 * Runs a step for `what`, and translates its failure.
 * @throws {DockyardError} of STORAGE_ERRORS; aborts and programming mistakes as they are
 */
export async function storageFailure<Result>(what: string, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    if (isAbortError(error) || error instanceof RangeError || error instanceof TypeError) throw error;
    const known = isDockyardError(error) ? CODES[error.code] : undefined;
    if (isDockyardError(error) && known === undefined) throw error;
    const code = known ?? (isNoSpaceError(error) ? 'ERR_STORAGE_FULL' : 'ERR_STORAGE_IO');
    throw storageError(code, `${what}: ${TEXTS[code] ?? 'storage failed'}`, { cause: error });
  }
}
