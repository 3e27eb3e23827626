/**
 * Tags and referrers: passed on from the upstream, with links that keep the client at this node.
 * @see OCI distribution-spec v1.1, end-8 and end-12
 */
import { parseDigest } from '../oci/digest.ts';
import { DockyardError } from '../oci/error.ts';
import { formatRepository } from '../oci/repository.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, PathOf, RoutedRequest } from './facade-state.ts';
import { rewriteNextLink } from './next-link.ts';
import type { ListService, PassedDocument } from './ports.ts';

/** What a list needs to know of a request. */
export type ListRequest = Pick<RoutedRequest, 'rawPath' | 'search' | 'namespace'>;

/** Headers of an upstream's list that clients get to see, beside `link`. */
const PASSED_HEADERS = ['oci-filters-applied', 'warning'];

/** Answers a request for the tags of a repository. */
export async function handleTags(
  lists: ListService,
  ctx: FacadeContext,
  request: RoutedRequest<PathOf<'tags'>>,
): Promise<void> {
  pass(ctx, request, requireList(request, await lists.tags(request.search, request.context)));
}

/** Answers a request for the repositories of a seed. */
export async function handleRepositories(
  lists: { repositories(search: string): Promise<PassedDocument> },
  ctx: FacadeContext,
  request: ListRequest,
): Promise<void> {
  pass(ctx, request, await lists.repositories(request.search));
}

/** Answers a request for the referrers of a manifest. */
export async function handleReferrers(
  lists: ListService,
  ctx: FacadeContext,
  request: RoutedRequest<PathOf<'referrers'>>,
): Promise<void> {
  const digest = parseDigest(request.path.digestText);
  pass(ctx, request, requireList(request, await lists.referrers(digest, request.search, request.context)));
}

function requireList(request: RoutedRequest, document: PassedDocument | undefined): PassedDocument {
  if (document !== undefined) return document;
  throw registryError('ERR_LIST_UNKNOWN', `there is no repository ${formatRepository(request.context.repository)}`);
}

function pass(ctx: FacadeContext, request: ListRequest, document: PassedDocument): void {
  refuseStatus(document.status);
  ctx.status = document.status;
  ctx.set('Content-Type', document.contentType);
  for (const name of PASSED_HEADERS) {
    const value = document.headers[name];
    if (value !== undefined) ctx.set(name, value);
  }
  const link = document.headers['link'];
  const next = link === undefined ? undefined : rewriteNextLink(link, request.rawPath, request.namespace);
  if (next !== undefined) ctx.set('Link', next);
  ctx.body = document.bytes;
}

/** Statuses that would mean something else coming from this node: a login here, a retry here, a redirect away. */
function refuseStatus(status: number): void {
  if (status === 401 || status === 403) throw new DockyardError('ERR_ORIGIN_DENIED', `the upstream answered ${status}`);
  if (status === 429) throw new DockyardError('ERR_ORIGIN_RATE_LIMITED', 'the upstream answered 429');
  if (status >= 500) throw new DockyardError('ERR_ORIGIN_UNAVAILABLE', `the upstream answered ${status}`);
  if (status < 200 || (status >= 300 && status < 400)) {
    throw new DockyardError('ERR_ORIGIN_BAD_ANSWER', `the upstream answered ${status}`);
  }
}
