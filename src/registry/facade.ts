/**
 * The facade: the registry HTTP interface that clients on this host talk to. It never knows where bytes come from; it
 * asks its services for a blob and a range. What a request passes, in order: id, log and metrics, errors, dispatch.
 */
import type { ServerResponse } from 'node:http';
import Koa from 'koa';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { registryError } from './errors.ts';
import { createFacadeMetrics } from './facade-metrics.ts';
import type { FacadeContext, FacadeState, HandlerConfig, MonotonicClock } from './facade-state.ts';
import type { HostedRegistry } from './hosted-ports.ts';
import type { PushTarget } from './push-passing.ts';
import type { RegistryListener } from './registry-events.ts';
import { accessLog } from './middleware/access-log.ts';
import { errorResponse } from './middleware/error-response.ts';
import { requestId } from './middleware/request-id.ts';
import type { BlobService, ListService, ManifestService } from './ports.ts';
import { dispatch } from './routes.ts';
import { sideDoors, type SideDoor } from './side-door.ts';
import type { TorrentService } from './torrent-ports.ts';

/** Collaborators of the facade. */
export interface FacadeDeps {
  readonly blobs: BlobService;
  readonly manifests: ManifestService;
  readonly lists: ListService;
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
  /** Rooms that answer paths beside the registry's own. */
  readonly sideDoors?: readonly SideDoor[] | undefined;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: MonotonicClock;
  /** Makes an id for a request; ids should be hard to guess and short. */
  readonly newRequestId: () => string;
}

/** Settings of the facade, all resolved. */
export type FacadeConfig = HandlerConfig;

/** A facade that can be listened with. */
export interface Facade {
  /** The Koa app; `app.callback()` answers requests without a server of ours. */
  readonly app: Koa<FacadeState>;
  /** Ends all running requests: with 503 before the first byte, with a short body after it. New ones go on. */
  abortRequests(): void;
}

/** Makes the facade. Nothing is opened; a FacadeServer listens. */
export function createFacade(deps: FacadeDeps, config: FacadeConfig): Facade {
  const log = deps.log.child({ component: 'registry' });
  const metrics = createFacadeMetrics(deps.metrics);
  const running = new Set<AbortController>();
  const app = new Koa<FacadeState>();
  app.use(requestScope(running));
  app.use(requestId(deps.newRequestId));
  app.use(accessLog({ log, metrics, clock: deps.clock }));
  app.use(errorResponse());
  app.use(sideDoors({ doors: deps.sideDoors ?? [], listener: deps.listener, log, metrics }, config));
  app.use(dispatch({ ...deps, log, metrics }, config));
  // Only what Koa itself raises comes here, a socket that broke while an answer was written above all.
  app.on('error', (error: unknown) => {
    log.debug({ err: error }, 'response could not be written');
  });
  return {
    app,
    abortRequests: () => {
      for (const controller of running) controller.abort(stoppingError());
    },
  };
}

/** Fills `ctx.state`, and ties the request's signal to its connection. */
function requestScope(running: Set<AbortController>) {
  return (ctx: FacadeContext, next: () => Promise<unknown>): Promise<unknown> => {
    const controller = new AbortController();
    Object.assign(ctx.state, {
      requestId: '',
      route: 'other',
      repository: undefined,
      signal: controller.signal,
      sentBytes: undefined,
      failure: undefined,
      isShort: false,
    } satisfies FacadeState);
    running.add(controller);
    ctx.res.once('close', () => {
      running.delete(controller);
      if (!isAnswered(ctx.res)) controller.abort();
    });
    ctx.res.setHeader('Docker-Distribution-Api-Version', 'registry/2.0');
    return next();
  };
}

function isAnswered(response: ServerResponse): boolean {
  return response.writableFinished;
}

function stoppingError(): Error {
  return registryError('ERR_FACADE_STOPPING', 'this node is shutting down');
}
