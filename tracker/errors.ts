/** The codes of the tracker process. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../src/oci/error.ts';

export const TRACKER_ERRORS = {
  ERR_TRACKER_LISTEN: {
    meaning: 'The address of the tracker cannot be listened on, over TCP or UDP.',
    remedy: 'Free the port or choose another with `--listen HOST:PORT`.',
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
