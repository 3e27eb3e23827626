/** Lists that are passed on from an upstream: tags and referrers. */
import { originError } from './errors.ts';
import { readBounded } from './answer-reading.ts';
import type { HttpAnswer } from './http-exchange.ts';

/** The longest list that is passed on; lists have pages. */
export const LIST_LIMIT_BYTES = 8 * 1024 * 1024;

/** A page of a list, as the upstream gave it. */
export interface OriginList {
  readonly status: number;
  readonly contentType: string;
  /** Headers to pass on, lower-case names; never `link`, whose URL would lead past this node. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
  /** The query of the next page (`n=100&last=v2`), from which the facade makes its own `Link`; `undefined` on the last. */
  readonly nextSearch: string | undefined;
}

const PASSED_HEADERS = ['oci-filters-applied', 'warning'] as const;

/** The query string to send on: re-encoded, without what was meant for this node. Empty, or beginning with `?`. */
export function listSearch(search: string): string {
  const parameters = new URLSearchParams(search);
  parameters.delete('ns');
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

/**
 * The query of the link to the next page, `undefined` when there is none.
 * @see RFC 8288; distribution-spec v1.1, "Listing Tags"
 */
export function nextSearchOf(link: string | undefined, from: URL): string | undefined {
  for (const match of (link ?? '').matchAll(/<([^<>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:"[^"]*"|[^\s;,"]+))*)/g)) {
    const [, target = '', parameters = ''] = match;
    if (!/;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?![\w-]))/i.test(parameters)) continue;
    const search = URL.parse(target, from.href)?.search.slice(1) ?? '';
    return search === '' ? undefined : search;
  }
  return undefined;
}

/**
 * Reads the answer to a request for a list; `undefined` for 404.
 * @throws {DockyardError} ERR_ORIGIN_BAD_ANSWER for a page beyond the limit, and for anything but 200 and 400
 */
export async function readList(answer: HttpAnswer, upstream: string): Promise<OriginList | undefined> {
  const { status } = answer;
  if (status !== 200 && status !== 400) {
    await answer.discard();
    if (status === 404) return undefined;
    throw originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream}' answers a request for a list with ${status}`, {
      details: { upstream },
    });
  }
  const bytes = await readBounded(answer, LIST_LIMIT_BYTES, upstream);
  const headers = PASSED_HEADERS.flatMap((name) => {
    const value = answer.header(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    status,
    contentType: answer.header('content-type') ?? 'application/json',
    headers: Object.fromEntries(headers),
    bytes,
    nextSearch: nextSearchOf(answer.header('link'), answer.url),
  };
}
