/**
 * The link to the next page of a list. The upstream's points at the upstream; clients must stay at this node, in the
 * form in which they came. Only the query is taken over.
 * @see OCI distribution-spec v1.1, "Listing Tags"; RFC 8288
 */
import { takeNamespaces } from './upstream-route.ts';

const NEXT_LINK = /<([^<>]*)>\s*;[^,<]*\brel="?next"?/i;
const PLAIN_QUERY = /^[!#-;=?-~]*$/;

/**
 * Rewrites a `Link` header.
 * @param header the upstream's header
 * @param clientPath the path that the client asked for
 * @param namespace the value of the client's `ns`, when it sent one
 * @returns the header to send, or `undefined` when the upstream's names no next page in a form that can be passed on
 */
export function rewriteNextLink(header: string, clientPath: string, namespace: string | undefined): string | undefined {
  const target = NEXT_LINK.exec(header)?.[1];
  const question = target?.indexOf('?') ?? -1;
  if (target === undefined || question === -1) return undefined;
  const { rest } = takeNamespaces(target.slice(question + 1).split('#', 1)[0] ?? '');
  if (rest === '' || !PLAIN_QUERY.test(rest)) return undefined;
  const suffix = namespace === undefined ? '' : `&ns=${encodeURIComponent(namespace)}`;
  return `<${clientPath}?${rest}${suffix}>; rel="next"`;
}
