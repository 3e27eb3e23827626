/**
 * Pushes through a plain node: passed on to its seed as they come. What clients ask before a push is passed on too: whether
 * a blob is there, the seed knows, and not the store of this node, which holds blobs of any repository.
 */
import { isDockyardError } from '../oci/error.ts';
import { isTag, type Tag } from '../oci/name.ts';
import type { DistributionPath } from './distribution-path.ts';
import type { FacadeContext, RoutedRequest } from './facade-state.ts';
import type { RequestContext } from './ports.ts';
import { RequestBody, type BodyPace } from './request-body.ts';

/** A request as it goes on. */
export interface PassingRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** What stands behind the name, with the query. */
  readonly rest: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
}

/** The seed that pushes are passed on to. */
export interface PushTarget {
  /** By which name it is configured. */
  readonly upstream: string;
  pass(
    request: PassingRequest,
    context: RequestContext,
  ): Promise<{ readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly bytes: Buffer }>;
  /** Told of tags that may have moved: what is remembered of them is no longer so. */
  onTagsChanged(tags: readonly Tag[], context: RequestContext): Promise<void>;
}

type NamedPath = Exclude<DistributionPath, { kind: 'base' | 'catalog' }>;

/** Headers that say what the content is; credentials are not among them. */
const PASSED_HEADERS = ['content-type', 'content-length', 'content-range', 'accept'];
const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE'] as const;

/** True for what a push consists of, and for what clients ask before it. */
export function isPartOfPush(method: string, path: NamedPath): boolean {
  if (path.kind === 'upload') return METHODS.some((known) => known === method);
  if (path.kind === 'blob') return method === 'DELETE' || method === 'HEAD';
  if (path.kind !== 'manifest') return false;
  return method === 'PUT' || method === 'DELETE' || (method === 'HEAD' && path.referenceText.includes(':'));
}

/**
 * Passes a request on and answers what came back. False when the seed failed a question that this node can answer as well.
 * @throws {DockyardError} what the client is to be told
 */
export async function passOn(
  target: PushTarget,
  pace: BodyPace,
  ctx: FacadeContext,
  request: RoutedRequest<NamedPath>,
): Promise<boolean> {
  const method = METHODS.find((known) => known === ctx.method);
  if (method === undefined) return false;
  const body = new RequestBody(ctx.req, ctx.res, pace);
  try {
    const answer = await target.pass(
      {
        method,
        rest: restOf(request),
        headers: passedHeaders(ctx),
        body: body.declaredBytes === 0 ? undefined : body.chunks(),
      },
      request.context,
    );
    await forgetTags(target, answer.status, method, request);
    ctx.status = answer.status;
    ctx.body = answer.bytes;
    ctx.remove('Content-Type');
    for (const [name, value] of Object.entries(answer.headers)) ctx.set(name, value);
    // Koa would count the bytes of an answer to HEAD, which has none.
    if (method === 'HEAD') ctx.respond = false;
    if (method === 'HEAD') ctx.res.end();
    return true;
  } catch (error) {
    if (method !== 'HEAD' || !isDockyardError(error) || !error.code.startsWith('ERR_ORIGIN_')) throw error;
    return false;
  }
}

/** What stands behind the name in the path of the client. */
function restOf({ path, rawPath, search }: RoutedRequest<NamedPath>): string {
  const rest = rawPath.slice(`/v2/${path.nameText}/`.length);
  return search === '' ? rest : `${rest}?${search}`;
}

function passedHeaders({ req }: FacadeContext): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of PASSED_HEADERS) {
    const value = req.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  // A request without a body is sent without a length, but for those of which registries expect one.
  if (headers['content-length'] === '0' && (req.method === 'HEAD' || req.method === 'GET'))
    delete headers['content-length'];
  return headers;
}

async function forgetTags(
  target: PushTarget,
  status: number,
  method: string,
  { context, path, search }: RoutedRequest<NamedPath>,
): Promise<void> {
  if (path.kind !== 'manifest' || method === 'HEAD' || status >= 300) return;
  const named = [path.referenceText, ...new URLSearchParams(search).getAll('tag')].filter((text) => isTag(text));
  if (named.length > 0) await target.onTagsChanged(named, context);
}
