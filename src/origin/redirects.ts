/** Following an upstream's redirects, without following it into traps. */
import { originError } from './errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { TransientFailure } from './transport-failure.ts';
import type { UpstreamConfig } from './upstream-config.ts';
import type { DockyardError } from '../oci/error.ts';

export const MAX_REDIRECTS = 5;

const REDIRECT_STATUS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request and follows where it points.
 * @param send asks one URL; `isOwn` is true for the upstream's own scheme, host and port, the only ones that may see credentials
 * @throws {DockyardError} ERR_ORIGIN_UNSAFE_TARGET, ERR_ORIGIN_BAD_ANSWER
 */
export async function followRedirects(
  first: URL,
  upstream: UpstreamConfig,
  send: (url: URL, isOwn: boolean) => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  let url = first;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
    const isOwn = url.origin === first.origin;
    const answer = await sendElsewhere(send, url, isOwn);
    if (!REDIRECT_STATUS.has(answer.status)) return answer;
    const location = answer.header('location');
    await answer.discard();
    url = redirectTarget(location, url, upstream);
  }
  throw badRedirect(upstream, `redirects more than ${MAX_REDIRECTS} times`);
}

/** Storage that cannot be reached does not make the upstream unreachable. */
async function sendElsewhere(
  send: (url: URL, isOwn: boolean) => Promise<HttpAnswer>,
  url: URL,
  isOwn: boolean,
): Promise<HttpAnswer> {
  try {
    return await send(url, isOwn);
  } catch (error) {
    throw error instanceof TransientFailure && !isOwn ? error.elsewhere() : error;
  }
}

/** Where a `Location` leads. */
export function redirectTarget(location: string | undefined, from: URL, upstream: UpstreamConfig): URL {
  const target = location === undefined ? null : URL.parse(location, from.href);
  if (target === null || (target.protocol !== 'http:' && target.protocol !== 'https:')) {
    throw badRedirect(upstream, 'redirects to what is no URL');
  }
  if (target.username !== '' || target.password !== '')
    throw badRedirect(upstream, 'redirects to a URL with credentials');
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw originError(
      'ERR_ORIGIN_UNSAFE_TARGET',
      `upstream '${upstream.name}' redirects from https to http: ${target.host}`,
      {
        details: { upstream: upstream.name, host: target.host },
      },
    );
  }
  target.hash = '';
  return target;
}

function badRedirect(upstream: UpstreamConfig, what: string): DockyardError {
  return originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream.name}' ${what}`, {
    details: { upstream: upstream.name },
  });
}
