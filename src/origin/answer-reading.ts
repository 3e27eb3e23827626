/** Reading answers: bounded bodies, lengths, and what a status means. */
import type { Clock } from './clock.ts';
import { originError } from './errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { parseRetryAfter } from './retry-delay.ts';
import { TransientFailure } from './transport-failure.ts';
import type { DockyardError } from '../oci/error.ts';

/** How much of an error's text is read, and how much of that is kept for the operator. */
const ERROR_BODY_LIMIT_BYTES = 16 * 1024;
const ERROR_TEXT_LIMIT = 200;

/**
 * Reads a body whole.
 * @throws {DockyardError} ERR_ORIGIN_BAD_ANSWER when it is longer than `limitBytes`
 */
export async function readBounded(answer: HttpAnswer, limitBytes: number, upstream: string): Promise<Buffer> {
  const announced = contentLength(answer);
  if (announced !== undefined && announced > limitBytes) {
    await answer.discard();
    throw tooLong(limitBytes, upstream);
  }
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.chunks()) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) throw tooLong(limitBytes, upstream);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLong(limitBytes: number, upstream: string): DockyardError {
  return originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream}' answers with more than ${limitBytes} bytes`, {
    details: { upstream },
  });
}

/** The announced length of a body, or `undefined` when there is none or it is nonsense. */
export function contentLength(answer: HttpAnswer): number | undefined {
  const text = answer.header('content-length') ?? '';
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const sizeBytes = Number(text);
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}

/**
 * Refuses an answer whose bytes are encoded: digests and lengths are of the bytes as they were pushed.
 * @throws {DockyardError} ERR_ORIGIN_BAD_ANSWER
 */
export async function refuseEncoding(answer: HttpAnswer, upstream: string): Promise<void> {
  const encoding = answer.header('content-encoding')?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return;
  await answer.discard();
  throw originError(
    'ERR_ORIGIN_BAD_ANSWER',
    `upstream '${upstream}' applied the Content-Encoding '${encoding.slice(0, 32)}' unasked`,
    {
      details: { upstream },
    },
  );
}

const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** True for an answer that is a failure whatever was asked. 404, 405, 416 and the like are the asker's to judge. */
export function isFailureStatus(status: number): boolean {
  return status === 401 || status === 403 || status === 408 || status === 429 || status >= 500;
}

/** The error that a failure status stands for. Reads or discards the body. */
export async function statusFailure(
  answer: HttpAnswer,
  upstream: string,
  clock: Pick<Clock, 'nowMs'>,
): Promise<TransientFailure | DockyardError> {
  const { status } = answer;
  const reason = await errorReason(answer, upstream);
  const details = { upstream, status, reason };
  if (status === 401 || status === 403) {
    return originError('ERR_ORIGIN_DENIED', `upstream '${upstream}' refuses access (${status})`, { details });
  }
  const final =
    status === 429
      ? originError('ERR_ORIGIN_RATE_LIMITED', `upstream '${upstream}' refuses for load (429)`, { details })
      : originError('ERR_ORIGIN_UNAVAILABLE', `upstream '${upstream}' answers ${status}`, { details });
  if (!TRANSIENT_STATUS.has(status)) return final;
  const retryAfterMs = parseRetryAfter(answer.header('retry-after'), clock.nowMs());
  return new TransientFailure(final, { isUnreachable: false, retryAfterMs });
}

/** The code and message of an OCI error document, shortened and without control characters; undefined if there is none. */
async function errorReason(answer: HttpAnswer, upstream: string): Promise<string | undefined> {
  try {
    const bytes = await readBounded(answer, ERROR_BODY_LIMIT_BYTES, upstream);
    const document: unknown = JSON.parse(bytes.toString('utf8'));
    const [first] = (document as { errors?: { code?: unknown; message?: unknown }[] }).errors ?? [];
    const text = [first?.code, first?.message].filter((part) => typeof part === 'string').join(': ');
    return text === '' ? undefined : text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, ERROR_TEXT_LIMIT);
  } catch {
    // The status says enough; its explanation is a courtesy that many servers do not offer.
    return undefined;
  }
}
