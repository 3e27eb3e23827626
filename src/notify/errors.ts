/** The codes of notifications. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of telling others what happened to images. */
export const NOTIFY_ERRORS = {
  ERR_WEBHOOK_INVALID: {
    meaning: 'The configuration of a webhook endpoint contradicts itself or cannot be read.',
    remedy: 'Correct the entry that the message names.',
  },
  ERR_WEBHOOK_UNKNOWN: {
    meaning: 'A webhook endpoint was named that is not configured.',
    remedy: '`dockyard webhooks` lists those that are.',
  },
  ERR_WEBHOOK_UNSAFE_TARGET: {
    meaning: 'A webhook endpoint is at a private, loopback or link-local address, and that was not allowed.',
    remedy: 'If the address is right, set `allowPrivate` of the endpoint.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type NotifyErrorCode = keyof typeof NOTIFY_ERRORS;

/** Makes an error of this layer. */
export function notifyError(
  code: NotifyErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<NotifyErrorCode> {
  return new DockyardError(code, message, options);
}
