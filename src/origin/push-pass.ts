/**
 * A client's push, passed on to an upstream: sent once, as it comes, with the credentials of this node's configuration and
 * never with those of the client. The answer goes back as it is, but for where it sends the client: that stays at this node.
 */
import { asError } from '../oci/error.ts';
import { readBounded } from './answer-reading.ts';
import { originError } from './errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { TransientFailure } from './transport-failure.ts';
import type { UpstreamClient } from './upstream-client.ts';

/** What a client asks of a repository. */
export interface PassedRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** What stands behind the name, with the query: `blobs/uploads/?mount=…`. */
  readonly rest: string;
  /** Those of the client that are about the content; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the upstream said to go on, in place of `rest`: `continueAt` of an earlier answer, with a query of one's own. */
  readonly at?: URL | undefined;
  /** Absent where there is none. */
  readonly body?: AsyncIterable<Uint8Array> | undefined;
}

/** What the upstream answered. */
export interface PassedAnswer {
  readonly status: number;
  /** Those that clients need, lower-case names; `location` is a path at this node, or a URL elsewhere. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the upstream itself says to go on. */
  readonly continueAt?: URL | undefined;
  /** At most 64 KiB: answers to pushes are errors at most. */
  readonly bytes: Buffer;
}

/** Headers of the answer that clients of pushes read. */
const ANSWER_HEADERS = [
  'content-type',
  'docker-content-digest',
  'docker-upload-uuid',
  'etag',
  'oci-chunk-max-length',
  'oci-chunk-min-length',
  'oci-subject',
  'oci-tag',
  'range',
  'retry-after',
  'warning',
];
const MAX_ANSWER_BYTES = 64 * 1024;
/** Nothing may come for so long: a blob of many gigabytes is made durable before it is acknowledged. */
const ANSWER_TIMEOUT_MS = 600_000;

/**
 * Passes a request on.
 * @param name the repository as the client named it; `client` may put a prefix before it
 * @throws {DockyardError} ERR_ORIGIN_UNAVAILABLE, ERR_ORIGIN_DENIED, ERR_ORIGIN_STALLED; what the body throws
 */
export async function passPush(
  client: UpstreamClient,
  name: string,
  request: PassedRequest,
  options: { signal?: AbortSignal | undefined },
): Promise<PassedAnswer> {
  const prefix = client.config.repositoryPrefix;
  const fullName = prefix === '' ? name : `${prefix}/${name}`;
  const action = request.method === 'DELETE' ? 'delete' : 'pull,push';
  const source = request.body === undefined ? undefined : watchSource(request.body);
  const sent = {
    method: request.method,
    at: request.at,
    path: `${fullName}/${request.rest}`,
    scope: `repository:${fullName}:${action}`,
    headers: request.headers,
    body: source?.chunks,
    sourceFailure: source?.failure,
    timeoutMs: ANSWER_TIMEOUT_MS,
  };
  try {
    const answer = await client.pass(sent, options);
    if (answer.status === 401) {
      await answer.discard();
      throw originError('ERR_ORIGIN_DENIED', `upstream '${client.config.name}' refused the credentials of this node`, {
        details: { upstream: client.config.name, status: 401 },
      });
    }
    const isHead = request.method === 'HEAD';
    const bytes = isHead ? Buffer.alloc(0) : await readBounded(answer, MAX_ANSWER_BYTES, client.config.name);
    const continueAt = URL.parse(answer.header('location') ?? '', answer.url.href) ?? undefined;
    return { status: answer.status, headers: answerHeaders(answer, { name, fullName }), continueAt, bytes };
  } catch (error) {
    throw error instanceof TransientFailure ? error.final : error;
  }
}

/** A body whose own failure can be told from that of the upstream. */
function watchSource(body: AsyncIterable<Uint8Array>): {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly failure: () => Error | undefined;
} {
  let failure: Error | undefined;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      failure = asError(error);
      throw failure;
    }
  }
  return { chunks: chunks(), failure: () => failure };
}

function answerHeaders(
  answer: HttpAnswer,
  names: { readonly name: string; readonly fullName: string },
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const header of ANSWER_HEADERS) {
    const values = answer.headerValues(header);
    if (values.length > 0) headers[header] = values.join(', ');
  }
  const length = answer.header('content-length');
  if (length !== undefined) headers['content-length'] = length;
  const location = answer.header('location');
  if (location !== undefined) headers['location'] = locationHere(location, answer.url, names);
  return headers;
}

/** Where an upload goes on: at this node if it would at the upstream. Uploads that lead elsewhere are left to the client. */
function locationHere(
  location: string,
  asked: URL,
  { name, fullName }: { readonly name: string; readonly fullName: string },
): string {
  const url = URL.parse(location, asked.href);
  if (url === null || url.host !== asked.host) return location;
  const path = asked.pathname.slice(0, asked.pathname.indexOf(`/v2/${fullName}/`));
  const below = `${path}/v2/${fullName}/`;
  if (!url.pathname.startsWith(below)) return location;
  return `/v2/${name}/${url.pathname.slice(below.length)}${url.search}`;
}
