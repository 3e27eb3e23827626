/** The codes of the content store. */
import { DockyardError, isDockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of keeping bytes on disk. */
export const CONTENT_ERRORS = {
  ERR_STORE_FULL: {
    meaning:
      'The store cannot make room: the size limit, the floor of free disk, or the disk itself is reached, and nothing may be evicted.',
    remedy:
      'Raise the size limit, free disk space, or unpin blobs. Clients are still served, without keeping the bytes.',
  },
  ERR_STORE_LOCKED: {
    meaning: 'Another process has the store open.',
    remedy:
      'Stop the node that uses it, or name another data folder with `--data DIR`; `dockyard fetch` needs none with `--output`.',
  },
  ERR_STORE_VERSION: {
    meaning: 'The store was written by a release with another layout, or the directory belongs to something else.',
    remedy: 'Use the release that wrote it, or another directory.',
  },
  ERR_STORE_CLOSED: {
    meaning: 'Something was asked of a store, or of an object of it, after it was closed.',
    remedy: 'None is needed while a node shuts down; otherwise report it as a bug.',
  },
  ERR_STORE_IO: {
    meaning: 'The file system refused a step for a reason other than room; `cause` has its answer.',
    remedy:
      'Look at the permissions of the store directory and at the health of the disk, which may be mounted read-only. While a node runs, its clients are served all the same, and nothing is kept.',
  },
  ERR_PARTIAL_BUSY: {
    meaning: 'A partial blob is open already: one writer gathers it at a time.',
    remedy: 'Wait for the work that is under way.',
  },
  ERR_PIECE_MISSING: {
    meaning: 'Bytes of a partial blob were asked for before the pieces that hold them were there.',
    remedy: 'Ask again when the pieces are held.',
  },
  ERR_CONTENT_MISMATCH: {
    meaning: 'Bytes are not what their digest says.',
    remedy: 'Send or fetch them again: they were damaged or falsified on the way.',
  },
  ERR_BLOB_DAMAGED: {
    meaning: 'A blob on disk is not as it was written; it was set aside and counts as not held.',
    remedy: 'Pull again: it is fetched anew. If it comes back, test the disk, and run `dockyard verify`.',
  },
  ERR_BLOB_NOT_HELD: {
    meaning: 'A blob that is not held complete was to be pinned.',
    remedy: 'Fetch or push it first.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type ContentErrorCode = keyof typeof CONTENT_ERRORS;

/** Makes an error of this layer. */
export function contentError(
  code: ContentErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<ContentErrorCode> {
  return new DockyardError(code, message, options);
}

/** True when bytes could not be kept, for want of room or because the disk refuses: they can be passed on all the same. */
export function isKeepingError(error: unknown): boolean {
  return isDockyardError(error, 'ERR_STORE_FULL') || isDockyardError(error, 'ERR_STORE_IO');
}

/** The `code` that a failed call of the operating system or of level carries (`ENOENT`, …), or `undefined`. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** True when the file system says that there is no room: disk full, quota used up, or a file larger than it allows. */
export function isNoSpaceError(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
}

/** True when the file system says that a file or folder is not there. */
export function isAbsentError(error: unknown): boolean {
  return systemCode(error) === 'ENOENT';
}
