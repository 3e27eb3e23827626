/** Counts and logs each request once, at its end: failures of this node as warnings, the rest for debugging. */
import type { Logger } from 'pino';
import { formatRepository } from '../../oci/repository.ts';
import type { FacadeContext, MonotonicClock } from '../facade-state.ts';
import type { FacadeMetrics } from '../facade-metrics.ts';

/** What the middleware needs. */
export interface AccessLogDeps {
  readonly log: Logger;
  readonly metrics: FacadeMetrics;
  readonly clock: MonotonicClock;
}

/** Methods that get a label of their own; anything else a client may invent is `OTHER`. */
const NAMED_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The status that stands for "the client left before an answer", as nginx logs it. */
const CLIENT_GONE_STATUS = 499;

export function accessLog(deps: AccessLogDeps) {
  const { log, metrics, clock } = deps;
  return async (ctx: FacadeContext, next: () => Promise<unknown>): Promise<void> => {
    const startMs = clock.nowMs();
    metrics.inFlight.inc();
    try {
      await next();
    } finally {
      metrics.inFlight.dec();
      const durationMs = clock.nowMs() - startMs;
      const { route } = ctx.state;
      const method = NAMED_METHODS.has(ctx.method) ? ctx.method : 'OTHER';
      const status = ctx.res.destroyed && !ctx.res.headersSent ? CLIENT_GONE_STATUS : ctx.res.statusCode;
      metrics.requests.inc({ route, method, status });
      metrics.durations.observe({ route, method }, durationMs / 1000);
      writeEntry(log, ctx, { method, status, durationMs });
    }
  };
}

function writeEntry(
  log: Logger,
  ctx: FacadeContext,
  seen: { method: string; status: number; durationMs: number },
): void {
  const isFailure = ctx.state.isShort || seen.status >= 500;
  if (!isFailure && !log.isLevelEnabled('debug')) return;
  const { requestId, route, repository, sentBytes, failure } = ctx.state;
  const fields = {
    requestId,
    route,
    ...seen,
    path: ctx.path,
    repository: repository === undefined ? undefined : formatRepository(repository),
    sentBytes,
    userAgent: ctx.req.headers['user-agent'],
    client: ctx.req.socket.remoteAddress,
    err: failure,
  };
  if (ctx.state.isShort) log.warn(fields, 'response body ended short');
  else if (seen.status >= 500) log.warn(fields, 'request failed');
  else log.debug(fields, 'request');
}
