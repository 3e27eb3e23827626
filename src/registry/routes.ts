/**
 * The routes of the facade, and the way from a request to its handler: read the path, find whose repository is meant, call
 * one service. Repositories of upstreams are pulled from alone; those of a seed are pushed to as well.
 */
import type { Repository } from '../oci/repository.ts';
import { HOSTED_HERE } from '../oci/repository.ts';
import { isDockyardError } from '../oci/error.ts';
import { parseRepositoryName } from '../oci/name.ts';
import { BlobHandler } from './blob-handler.ts';
import { parseDistributionPath, parseRequestTarget, type DistributionPath } from './distribution-path.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps, PathOf, RoutedRequest } from './facade-state.ts';
import { HostedRoutes } from './hosted-routes.ts';
import type { HostedRegistry } from './hosted-ports.ts';
import { handleReferrers, handleTags } from './list-handler.ts';
import { handleManifest } from './manifest-handler.ts';
import type { RegistryListener } from './registry-events.ts';
import { isPartOfPush, passOn, type PushTarget } from './push-passing.ts';
import { parseTorrentPath } from './torrent-path.ts';
import type { TorrentService } from './torrent-ports.ts';
import { TorrentRoutes } from './torrent-routes.ts';
import { isBareName, routeUpstream, takeNamespaces } from './upstream-route.ts';

/** One line of the table. */
export interface Route {
  /** What it answers for every repository. */
  readonly methods: readonly string[];
  /** What it answers for a seed's own ones beside that. */
  readonly pushMethods: readonly string[];
  readonly path: string;
  /** The endpoint ids of the specification. */
  readonly endpoints: string;
}

const PULL = ['GET', 'HEAD'];

/** All routes: what they answer, where, and which endpoint of the OCI distribution-spec v1.1 that is. */
export const ROUTES: Readonly<Record<DistributionPath['kind'], Route>> = {
  base: { methods: PULL, pushMethods: [], path: '/v2/', endpoints: 'end-1' },
  catalog: { methods: PULL, pushMethods: [], path: '/v2/_catalog', endpoints: 'of Docker' },
  blob: { methods: PULL, pushMethods: ['DELETE'], path: '/v2/<name>/blobs/<digest>', endpoints: 'end-2, end-10' },
  manifest: {
    methods: PULL,
    pushMethods: ['PUT', 'DELETE'],
    path: '/v2/<name>/manifests/<tag or digest>',
    endpoints: 'end-3, end-7, end-9',
  },
  tags: { methods: PULL, pushMethods: [], path: '/v2/<name>/tags/list', endpoints: 'end-8a, end-8b' },
  referrers: { methods: PULL, pushMethods: [], path: '/v2/<name>/referrers/<digest>', endpoints: 'end-12a, end-12b' },
  // Asked for by GET it is not found where there are no pushes, so that a refused push can be told what is allowed.
  upload: {
    methods: PULL,
    pushMethods: ['POST', 'PATCH', 'PUT', 'DELETE'],
    path: '/v2/<name>/blobs/uploads/[<session>]',
    endpoints: 'end-4 to end-6, end-11, end-13, end-14',
  },
};

const BASE_BODY = Buffer.from('{}');

/** What the dispatcher needs beside its handlers. */
export interface DispatchDeps extends HandlerDeps {
  /** Names of the configured upstreams, the default first; asked at every request, so that a reload takes effect. */
  readonly upstreamNames: () => readonly string[];
  /** What was pushed here; on a seed alone. */
  readonly hosted?: HostedRegistry | undefined;
  /** Told what happens in those repositories. */
  readonly listener?: RegistryListener | undefined;
  /** Torrents of what this node has; left out where there are none. */
  readonly torrents?: TorrentService | undefined;
  /** The seed that pushes are passed on to; asked at every request, so that a reload takes effect. */
  readonly pushTarget?: (() => PushTarget | undefined) | undefined;
}

/**
 * Makes the last middleware.
 * @throws {DockyardError} (the middleware) what the client is to be told
 */
export function dispatch(deps: DispatchDeps, config: HandlerConfig) {
  const distribution = dispatchDistribution(deps, config);
  const { torrents } = deps;
  if (torrents === undefined) return distribution;
  const torrentRoutes = new TorrentRoutes({ ...deps, torrents }, config);
  return async (ctx: FacadeContext): Promise<void> => {
    const { path: rawPath, search } = parseRequestTarget(ctx.req.url ?? '/');
    const path = parseTorrentPath(rawPath);
    if (path === undefined) return await distribution(ctx);
    ctx.state.route = 'torrent';
    refuseMethod(ctx, PULL);
    return await torrentRoutes.handle(ctx, { path, rawPath, search });
  };
}

function dispatchDistribution(deps: DispatchDeps, config: HandlerConfig) {
  const { hosted } = deps;
  const blobHandler = new BlobHandler(deps, config);
  const hostedRoutes = hosted === undefined ? undefined : new HostedRoutes({ ...deps, hosted }, config);
  return async (ctx: FacadeContext): Promise<void> => {
    const { path: rawPath, search: rawSearch } = parseRequestTarget(ctx.req.url ?? '/');
    const path = parseDistributionPath(rawPath);
    if (path === undefined) throw registryError('ERR_ROUTE_UNKNOWN', 'this node serves no such path');
    ctx.state.route = path.kind;
    if (path.kind === 'base') {
      refuseMethod(ctx, ROUTES[path.kind].methods);
      ctx.set('Content-Type', 'application/json');
      ctx.body = BASE_BODY;
      return;
    }
    const { namespaces, rest: search } = takeNamespaces(rawSearch);
    if (path.kind === 'catalog') {
      refuseMethod(ctx, ROUTES[path.kind].methods);
      if (hostedRoutes === undefined) throw registryError('ERR_ROUTE_UNKNOWN', 'this node keeps no repositories');
      return await hostedRoutes.handleCatalog(ctx, { rawPath, search, namespace: namespaces[0] });
    }
    const shared = { rawPath, search, namespace: namespaces[0] };
    const isBareHere = namespaces.length === 0 && isBareName(path.nameText, deps.upstreamNames());
    // On a seed, such a name may be about to be pushed for the first time.
    const isBare = hosted !== undefined && isBareHere;
    if (hostedRoutes !== undefined && isBare && (await isHosted(hosted, ctx.method, path))) {
      const route = ROUTES[path.kind];
      refuseMethod(ctx, [...route.methods, ...route.pushMethods]);
      const repository: Repository = { upstream: HOSTED_HERE, name: parseRepositoryName(path.nameText) };
      return await hostedRoutes.handle(ctx, { ...shared, path, context: contextOf(ctx, repository) });
    }
    const target = deps.pushTarget?.();
    const isPassed = target !== undefined && isBareHere && isPartOfPush(ctx.method, path);
    if (!isPassed) refuseMethod(ctx, ROUTES[path.kind].methods);
    const question = { nameText: path.nameText, namespaces };
    const { repository, via } = routeUpstream(question, deps.upstreamNames(), target?.upstream);
    // The draft of the specification's next version asks registries that heed `ns` to say so.
    if (via === 'ns') ctx.set('OCI-Namespace', repository.upstream);
    const request = { ...shared, path, context: contextOf(ctx, repository) };
    if (isPassed && (await passOn(target, config.pace, ctx, request))) return;
    if (isBare) await pullOrNothing(ctx, request, deps, blobHandler);
    else await pull(ctx, request, deps, blobHandler);
  };
}

type NamedPath = Exclude<DistributionPath, { kind: 'base' | 'catalog' }>;

/** A push always means this seed; a pull does where the seed has the repository. */
async function isHosted(
  hosted: HostedRegistry | undefined,
  method: string,
  { kind, nameText }: NamedPath,
): Promise<boolean> {
  if (hosted === undefined) return false;
  return kind === 'upload' || ROUTES[kind].pushMethods.includes(method) || (await hosted.answersFor(nameText));
}

/**
 * A pull from the default upstream, of a name that somebody may be about to push here. Clients ask for blobs and manifests
 * before they push, and give up at any answer but "not found": so an upstream that denies or cannot be reached counts as one
 * that has nothing. Blobs they ask for by HEAD, which no pull does; the name is then not even told to the upstream.
 */
async function pullOrNothing(
  ctx: FacadeContext,
  request: RoutedRequest<NamedPath>,
  deps: HandlerDeps,
  blobHandler: BlobHandler,
): Promise<void> {
  const { kind, nameText } = request.path;
  if (kind === 'blob' && ctx.method === 'HEAD') throw registryError('ERR_BLOB_UNKNOWN', `${nameText} is not here`);
  try {
    await pull(ctx, request, deps, blobHandler);
  } catch (cause) {
    if (kind === 'blob' || !isDockyardError(cause) || !cause.code.startsWith('ERR_ORIGIN_')) throw cause;
    const code = kind === 'manifest' ? 'ERR_MANIFEST_UNKNOWN' : 'ERR_LIST_UNKNOWN';
    throw registryError(code, `${nameText} is not here, and its upstream does not give it`, { cause });
  }
}

async function pull(
  ctx: FacadeContext,
  request: RoutedRequest<NamedPath>,
  deps: HandlerDeps,
  blobHandler: BlobHandler,
): Promise<void> {
  const { path } = request;
  switch (path.kind) {
    case 'blob':
      return await blobHandler.handle(ctx, { ...request, path });
    case 'manifest':
      return await handleManifest(deps.manifests, ctx, { ...request, path });
    case 'tags':
      return await handleTags(deps.lists, ctx, { ...request, path });
    case 'referrers':
      return await handleReferrers(deps.lists, ctx, { ...request, path });
    case 'upload':
      throw registryError('ERR_ROUTE_UNKNOWN', 'this node takes no uploads');
  }
}

function contextOf(ctx: FacadeContext, repository: Repository): RoutedRequest<PathOf<'blob'>>['context'] {
  ctx.state.repository = repository;
  return { repository, signal: ctx.state.signal, requestId: ctx.state.requestId };
}

function refuseMethod(ctx: FacadeContext, methods: readonly string[]): void {
  if (methods.includes(ctx.method)) return;
  ctx.set('Allow', methods.join(', '));
  throw registryError('ERR_METHOD_UNSUPPORTED', 'this node serves pulls only: push to the upstream registry itself');
}
