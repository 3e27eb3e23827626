/** The codes of storage of record. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of keeping what was pushed. */
export const STORAGE_ERRORS = {
  ERR_STORAGE_FULL: {
    meaning: 'There is no room for what is being pushed: the disk, the quota or the bucket is full.',
    remedy: 'Free space or delete images; what was acknowledged is kept, and the push may go on where it stopped.',
  },
  ERR_STORAGE_IO: {
    meaning: 'Storage of record refused a step for a reason other than room; `cause` has its answer.',
    remedy: 'Look at the health of the disk or of the storage service, and at what this node is allowed to do there.',
  },
  ERR_STORAGE_DAMAGED: {
    meaning: 'A blob of record is not as it was written.',
    remedy: 'It is fetched anew from a peer that holds it; if none does, push the image again, and test the disk.',
  },
  ERR_STORAGE_TAKEN: {
    meaning: 'Another seed keeps its blobs in the same place of the bucket.',
    remedy:
      'Give each seed a `storage.s3.prefix` of its own. If that seed is gone for good and this one has its catalog, delete the object that is named.',
  },
  ERR_STORAGE_CLOSED: {
    meaning: 'Something was asked of storage after it was closed.',
    remedy: 'None is needed while a node shuts down; otherwise report it as a bug.',
  },
  ERR_DIGEST_MISMATCH: {
    meaning: 'What was uploaded is not what its digest says.',
    remedy: 'Push it again: it was damaged on the way, or named by the digest of something else.',
  },
  ERR_UPLOAD_BUSY: {
    meaning: 'Two requests wanted to write to one upload at the same time.',
    remedy: 'Send one chunk after the other; ask the upload where it stands and go on from there.',
  },
  ERR_UPLOAD_ENDED: {
    meaning: 'The upload was finished, cancelled, or given up because nothing had come for long.',
    remedy: 'Begin another upload.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type StorageErrorCode = keyof typeof STORAGE_ERRORS;

/** Makes an error of this layer. */
export function storageError(
  code: StorageErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<StorageErrorCode> {
  return new DockyardError(code, message, options);
}
