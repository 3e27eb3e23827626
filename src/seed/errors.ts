/** The codes of a seed's registry: what may not be pushed, deleted or asked for. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of pushing, deleting and listing. */
export const SEED_ERRORS = {
  ERR_NAME_NOT_ALLOWED: {
    meaning: 'The repository is not among those that may be pushed to this seed.',
    remedy: 'Push under a name that `push.names` allows, or let the operator add a pattern.',
  },
  ERR_TAG_IMMUTABLE: {
    meaning: 'The tag is immutable and stands for another manifest already.',
    remedy: 'Push under a new tag; what was released is not changed.',
  },
  ERR_DELETE_FORBIDDEN: {
    meaning: 'Nothing may be deleted through the registry of this seed.',
    remedy: 'The operator allows it with `push.delete: true`.',
  },
  ERR_UPLOAD_UNKNOWN: {
    meaning: 'There is no such upload in the repository: it ended, expired, or belongs to another repository.',
    remedy: 'Begin another upload.',
  },
  ERR_UPLOAD_OFFSET: {
    meaning: 'A chunk does not begin where the upload stands.',
    remedy: 'Ask the upload where it stands, and go on from there.',
  },
  ERR_BLOB_NOT_IN_REPOSITORY: {
    meaning: 'A blob was asked for, or to be deleted, that was neither pushed nor mounted to the repository.',
    remedy: 'Check the digest and the name; a blob of another repository is mounted with `?mount=…&from=…`.',
  },
  ERR_MANIFEST_NOT_IN_REPOSITORY: {
    meaning: 'A manifest or tag that is to be deleted is not in the repository.',
    remedy: 'Check the tag or digest and the name.',
  },
  ERR_MANIFEST_REFUSED: {
    meaning: 'A pushed manifest is not valid, or says of its blobs what is not so.',
    remedy: 'Build and push the image again; the message says what is wrong.',
  },
  ERR_MANIFEST_DIGEST: {
    meaning: 'A pushed manifest does not have the digest under which it was pushed.',
    remedy: 'Push it again: it was changed or damaged on the way.',
  },
  ERR_MANIFEST_NEEDS: {
    meaning: 'A pushed manifest needs a blob or a manifest that is not in the repository.',
    remedy: 'Push what it needs first, or mount it from another repository.',
  },
  ERR_COLLECTION_RUNNING: {
    meaning: 'Garbage is being collected already.',
    remedy: 'Wait until that run has ended; the log of the seed says when a run of its own ends.',
  },
  ERR_PAGE_INVALID: {
    meaning: 'The `n` of a list is not a number, or is negative.',
    remedy: 'Ask with `n=` and a whole number, or without it.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type SeedErrorCode = keyof typeof SEED_ERRORS;

/** Makes an error of this layer. */
export function seedError(
  code: SeedErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<SeedErrorCode> {
  return new DockyardError(code, message, options);
}
