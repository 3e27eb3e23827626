/** How requests on the wire are counted. */
import { isAbortError, isDockyardError } from '../oci/error.ts';
import type { RequestOutcome } from './origin-metrics.ts';
import { TransientFailure } from './transport-failure.ts';

/** The outcome of an answer that was read to the asker's content. */
export function outcomeOf(status: number): RequestOutcome {
  if (status >= 200 && status < 300) return 'ok';
  return status === 404 ? 'absent' : 'bad_answer';
}

const OUTCOMES_BY_CODE: Readonly<Record<string, RequestOutcome>> = {
  ERR_ORIGIN_DENIED: 'denied',
  ERR_ORIGIN_RATE_LIMITED: 'rate_limited',
  ERR_ORIGIN_STALLED: 'stalled',
  ERR_ORIGIN_BAD_ANSWER: 'bad_answer',
  ERR_ORIGIN_UNSAFE_TARGET: 'bad_answer',
  ERR_ORIGIN_UNTRUSTED: 'unreachable',
};

/** The outcome of a request that failed. */
export function outcomeOfError(error: unknown): RequestOutcome {
  if (error instanceof TransientFailure) {
    const known = OUTCOMES_BY_CODE[error.final.code];
    return known ?? (error.isUnreachable ? 'unreachable' : 'failed');
  }
  if (isDockyardError(error)) return OUTCOMES_BY_CODE[error.code] ?? 'failed';
  return isAbortError(error) ? 'aborted' : 'failed';
}
