/**
 * The routes of the facade, and the way from a request to its handler: read the path, find the upstream, call one
 * service. A seed's push routes will stand in the same table, with their methods.
 */
import { BlobHandler } from './blob-handler.ts';
import { parseDistributionPath, parseRequestTarget, type DistributionPath } from './distribution-path.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps } from './facade-state.ts';
import { handleReferrers, handleTags } from './list-handler.ts';
import { handleManifest } from './manifest-handler.ts';
import { routeUpstream, takeNamespaces } from './upstream-route.ts';

/** One line of the table. */
export interface Route {
  readonly methods: readonly string[];
  readonly path: string;
  /** The endpoint ids of the specification. */
  readonly endpoints: string;
}

/** All routes: what they answer, where, and which endpoint of the OCI distribution-spec v1.1 that is. */
export const ROUTES: Readonly<Record<DistributionPath['kind'], Route>> = {
  base: { methods: ['GET', 'HEAD'], path: '/v2/', endpoints: 'end-1' },
  blob: { methods: ['GET', 'HEAD'], path: '/v2/<name>/blobs/<digest>', endpoints: 'end-2' },
  manifest: { methods: ['GET', 'HEAD'], path: '/v2/<name>/manifests/<tag or digest>', endpoints: 'end-3' },
  tags: { methods: ['GET', 'HEAD'], path: '/v2/<name>/tags/list', endpoints: 'end-8a, end-8b' },
  referrers: { methods: ['GET', 'HEAD'], path: '/v2/<name>/referrers/<digest>', endpoints: 'end-12a, end-12b' },
  // Asked for by GET it is not found, so that a refused push can be told what is allowed.
  upload: {
    methods: ['GET', 'HEAD'],
    path: '/v2/<name>/blobs/uploads/[<session>]',
    endpoints: 'end-4 to end-6, end-11, end-13',
  },
};

const BASE_BODY = Buffer.from('{}');

/** What the dispatcher needs beside its handlers. */
export interface DispatchDeps extends HandlerDeps {
  /** Names of the configured upstreams, the default first; asked at every request, so that a reload takes effect. */
  readonly upstreamNames: () => readonly string[];
}

/**
 * Makes the last middleware.
 * @throws {DockyardError} (the middleware) what the client is to be told
 */
export function dispatch(deps: DispatchDeps, config: HandlerConfig) {
  const blobHandler = new BlobHandler(deps, config);
  return async (ctx: FacadeContext): Promise<void> => {
    const target = parseRequestTarget(ctx.req.url ?? '/');
    const path = parseDistributionPath(target.path);
    if (path === undefined) throw registryError('ERR_ROUTE_UNKNOWN', 'this node serves no such path');
    ctx.state.route = path.kind;
    refuseMethod(ctx, ROUTES[path.kind]);
    if (path.kind === 'base') {
      ctx.set('Content-Type', 'application/json');
      ctx.body = BASE_BODY;
      return;
    }
    const { namespaces, rest: search } = takeNamespaces(target.search);
    const { repository, via } = routeUpstream({ nameText: path.nameText, namespaces }, deps.upstreamNames());
    ctx.state.repository = repository;
    // The draft of the specification's next version asks registries that heed `ns` to say so.
    if (via === 'ns') ctx.set('OCI-Namespace', repository.upstream);
    const context = { repository, signal: ctx.state.signal, requestId: ctx.state.requestId };
    const request = { context, rawPath: target.path, search, namespace: namespaces[0] };
    switch (path.kind) {
      case 'blob':
        return blobHandler.handle(ctx, { ...request, path });
      case 'manifest':
        return handleManifest(deps.manifests, ctx, { ...request, path });
      case 'tags':
        return handleTags(deps.lists, ctx, { ...request, path });
      case 'referrers':
        return handleReferrers(deps.lists, ctx, { ...request, path });
      case 'upload':
        throw registryError('ERR_ROUTE_UNKNOWN', 'this node takes no uploads');
    }
  };
}

function refuseMethod(ctx: FacadeContext, route: Route): void {
  if (route.methods.includes(ctx.method)) return;
  ctx.set('Allow', route.methods.join(', '));
  throw registryError('ERR_METHOD_UNSUPPORTED', 'this node serves pulls only: push to the upstream registry itself');
}
