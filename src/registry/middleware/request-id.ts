/** Gives every request an id, which its log entries carry and its answer repeats. */
import type { FacadeContext } from '../facade-state.ts';

/** Short enough for a log line, and free of anything that a log or a header could trip over. */
const SANE_REQUEST_ID = /^[\w.:~-]{1,128}$/;

/** @param newRequestId makes an id for clients that sent none, or none that is sane */
export function requestId(newRequestId: () => string) {
  return (ctx: FacadeContext, next: () => Promise<unknown>): Promise<unknown> => {
    const sent = ctx.req.headers['x-request-id'];
    ctx.state.requestId = typeof sent === 'string' && SANE_REQUEST_ID.test(sent) ? sent : newRequestId();
    ctx.res.setHeader('X-Request-Id', ctx.state.requestId);
    return next();
  };
}
