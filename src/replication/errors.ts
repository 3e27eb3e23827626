/** The codes of replication. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of keeping the same images as other seeds. */
export const REPLICATION_ERRORS = {
  ERR_REPLICATION_NOT_A_SEED: {
    meaning: 'What is named in `replication.from` answers, and is no seed that tells its changes.',
    remedy: 'Name the upstream of another Dockyard seed, of a release that knows replication.',
  },
  ERR_REPLICATION_ITSELF: {
    meaning: 'A seed is named in its own `replication.from`.',
    remedy: 'Take it out: each seed names the others.',
  },
  ERR_REPLICATION_ANSWER: {
    meaning: 'Another seed answered the question for its changes with what cannot be read.',
    remedy: 'Look whether a proxy on the way changes answers, and whether both seeds have the same release.',
  },
  ERR_REPLICATION_NEEDS: {
    meaning:
      'A blob that an image of another seed needs cannot be had: neither that seed nor anybody else gives it, or it was collected here before the image was whole.',
    remedy:
      'It is tried again. Push the image to that seed again, or delete it there; where blobs are collected too early, raise `gc.grace`.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type ReplicationErrorCode = keyof typeof REPLICATION_ERRORS;

/** Makes an error of this layer. */
export function replicationError(
  code: ReplicationErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<ReplicationErrorCode> {
  return new DockyardError(code, message, options);
}
