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
  ERR_PREHEAT_UNKNOWN: {
    meaning: 'An image that is to be preheated, or a part of it, is not there.',
    remedy: 'Check the name; it is read as this node would read it from a client: `seed.lan/team/app:v1`.',
  },
  ERR_PREHEAT_NODE_UNKNOWN: {
    meaning: 'No live node is of the name that was given.',
    remedy: '`dockyard peers` lists the nodes; name one by its address, its id or its place.',
  },
  ERR_PREHEAT_BUSY: {
    meaning: 'A node has thousands of blobs to preheat already.',
    remedy: 'Wait until those are there.',
  },
  ERR_PREHEAT_NOT_KEPT: {
    meaning: 'A node fetched a blob and could not keep it: its store or its disk is full.',
    remedy: 'Raise `store.maxSize` there, or make room on its disk.',
  },
  ERR_PREHEAT_STALLED: {
    meaning: 'A node that is to preheat an image gets no further.',
    remedy: 'Look at its log, and at its upstreams and peers with `dockyard doctor`.',
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
