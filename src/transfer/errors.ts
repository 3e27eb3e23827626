/** The codes of the transfer layer. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

export const TRANSFER_ERRORS = {
  ERR_TRANSFER_UNAVAILABLE: {
    meaning: 'No peer and no origin can deliver the blob now.',
    remedy: 'Try again; if it stays, look at the upstream and at the peers with `dockyard doctor`.',
  },
  ERR_TRANSFER_BROKEN: {
    meaning: 'A blob could not be delivered to its end: every source failed, stalled or gave wrong bytes.',
    remedy: 'The client may go on by Range where it stopped; what was verified is kept. The log names the sources.',
  },
  ERR_TRANSFER_CORRUPT: {
    meaning: 'The whole of a blob does not have its digest, whatever source it came from.',
    remedy: 'The blob is damaged at its origin: push the image again.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type TransferErrorCode = keyof typeof TRANSFER_ERRORS;

/** Makes an error of this layer. */
export function transferError(
  code: TransferErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<TransferErrorCode> {
  return new DockyardError(code, message, options);
}
