/** The codes of the tracker process. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../src/oci/error.ts';

export const TRACKER_ERRORS = {
  ERR_TRACKER_LISTEN: {
    meaning: 'The address of the tracker cannot be listened on, over TCP or UDP.',
    remedy:
      'Free the port or choose another with `--listen HOST:PORT`, or `--admin HOST:PORT` for its page and metrics.',
  },
  ERR_TRACKER_STATE: {
    meaning: 'The folder or the file in which the tracker keeps peers and registrations cannot be used.',
    remedy: 'Give the tracker a folder that it may write to with `--data DIR`.',
  },
  ERR_TRACKER_REGISTERED: {
    meaning: 'The file of info-hashes that a closed tracker serves cannot be read, or holds something else.',
    remedy: 'Write one info-hash (40 hexadecimal digits) or magnet link on a line; `#` begins a comment.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type TrackerErrorCode = keyof typeof TRACKER_ERRORS;

/** Makes an error of the tracker process. */
export function trackerError(
  code: TrackerErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<TrackerErrorCode> {
  return new DockyardError(code, message, options);
}
