/** The codes of `dockyard fetch` and `dockyard torrent`. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../../src/oci/error.ts';

/** Errors of fetching to a file, a folder or a store. */
export const FETCH_ERRORS = {
  ERR_FETCH_ABSENT: {
    meaning: 'What was to be fetched is not where it was looked for.',
    remedy: 'Check the name, the tag or the digest, and the registry; `--from` names the repository of a digest.',
  },
  ERR_FETCH_UNSUPPORTED: {
    meaning: 'An image has a form that cannot be fetched, or lacks what was asked of it.',
    remedy: 'Choose one of the platforms that the message names, or push the image again with a current client.',
  },
  ERR_FETCH_MISMATCH: {
    meaning: 'Bytes came that are not what the digest says, also when they were fetched anew. They were thrown away.',
    remedy: 'Fetch from elsewhere: what the message names gives damaged or false bytes.',
  },
  ERR_FETCH_BUSY: {
    meaning: 'Another process is fetching to the same place.',
    remedy: 'Wait for it, or choose another `--output`.',
  },
  ERR_FETCH_INTERRUPTED: {
    meaning: 'The command was ended by a signal. What had come is kept.',
    remedy: 'Run the same command again to go on.',
  },
  ERR_FETCH_STALLED: {
    meaning: 'Neither peers nor web seeds of a torrent gave anything for as long as `--timeout` allows.',
    remedy: 'Name a tracker (`--tracker`) or a peer (`--peer`) that has it, or try again later: what had come is kept.',
  },
  ERR_OUTPUT_EXISTS: {
    meaning: 'Something is in the way at `--output`, and it is no part of the same fetch.',
    remedy: 'Choose another place, or let it be replaced with `--force`.',
  },
  ERR_OUTPUT_IO: {
    meaning: 'The file system refused to write, or to read back, what was fetched.',
    remedy: 'Look at the permissions and the room at `--output`, and run the command again: what had come is kept.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type FetchErrorCode = keyof typeof FETCH_ERRORS;

/** Makes an error of this part. */
export function fetchError(
  code: FetchErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<FetchErrorCode> {
  return new DockyardError(code, message, options);
}
