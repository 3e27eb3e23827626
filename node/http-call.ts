/**
 * One HTTP request to a node, over node:http. Not `fetch`: that refuses "bad ports" (6000, 5060 and about eighty others),
 * on which a node may well listen.
 * @see Fetch Standard, "Port blocking"
 */
import { request as requestPlain, type IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { asError } from '../src/oci/error.ts';

/** How a request is made. */
export interface HttpCall {
  readonly method?: string | undefined;
  readonly body?: Uint8Array | undefined;
  /** Ends the request and the answer. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a request on a connection of its own, and resolves with the head of the answer; the caller reads or
 * destroys its body. No redirect is followed.
 * @throws the error of the connection, or the signal's reason
 */
export function callHttp(url: string, { method = 'GET', body, signal }: HttpCall = {}): Promise<IncomingMessage> {
  const send = new URL(url).protocol === 'https:' ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const options = { method, agent: false, ...(signal === undefined ? {} : { signal }) };
    const sent = send(url, options, resolve);
    sent.on('error', (error) => reject(signal?.aborted === true ? asError(signal.reason) : error));
    sent.end(body);
  });
}

/** The body of an answer as text. @throws the error of the connection, or the reason of `signal` */
export async function readBody(answer: IncomingMessage, signal?: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of answer) chunks.push(chunk as Buffer);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Why a connection failed, in few words: `connect ECONNREFUSED 127.0.0.1:5001`. */
export function connectionReason(error: unknown): string {
  // A name with several addresses fails with an error of its own, whose message is empty.
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(connectionReason))].join('; ');
  }
  const { message, name } = asError(error);
  if (name === 'TimeoutError') return 'it takes too long to answer';
  return message === '' ? ((error as NodeJS.ErrnoException).code ?? name) : message;
}
