/**
 * Answers errors in the form of the specification.
 * @see OCI distribution-spec v1.1, "Error Codes"
 */
import { isAbortError, isDockyardError } from '../../oci/error.ts';
import { toPublicError, type PublicError } from '../error-table.ts';
import { registryError } from '../errors.ts';
import type { FacadeContext } from '../facade-state.ts';

/** Headers of an answer that was being prepared when it failed; none of them is true of the error. */
const STALE_HEADERS = ['Docker-Content-Digest', 'ETag', 'Cache-Control', 'Accept-Ranges'];

export function errorResponse() {
  return async (ctx: FacadeContext, next: () => Promise<unknown>): Promise<void> => {
    try {
      await next();
    } catch (thrown) {
      ctx.state.failure = thrown;
      if (ctx.res.headersSent || ctx.res.destroyed) {
        ctx.respond = false;
        return;
      }
      answer(ctx, toPublicError(isAbortError(thrown) ? stopping(thrown) : thrown));
    }
  };
}

/** The client is still there, so it was the node that ended the request. */
function stopping(cause: unknown): Error {
  return registryError('ERR_FACADE_STOPPING', 'the request was ended', { cause });
}

function answer(ctx: FacadeContext, error: PublicError & { readonly message: string }): void {
  for (const name of STALE_HEADERS) ctx.remove(name);
  leaveBody(ctx, error.status);
  const detail = {
    ...(isDockyardError(ctx.state.failure) ? { code: ctx.state.failure.code } : {}),
    requestId: ctx.state.requestId,
  };
  ctx.status = error.status;
  if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
  ctx.set('Content-Type', 'application/json');
  ctx.body = errorBody(error.code, error.message, detail);
}

/** How long a client may go on sending what nobody wants any more. */
const UNWANTED_BODY_TIMEOUT_MS = 30_000;

/** The body itself was what failed: there is no use in waiting for the rest. */
const BODY_SLOW_STATUS = 408;

/** Lets the rest of a refused body flow by, so that the client can read the answer: many send all before they listen. */
export function leaveBody({ req, res }: FacadeContext, status: number): void {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
  if (!hasBody || req.complete) return;
  if (status === BODY_SLOW_STATUS) {
    res.setHeader('Connection', 'close');
    res.once('finish', () => req.socket.destroySoon());
    return;
  }
  // Who waits to be asked for the body will not send it; what comes next on the connection cannot be told from it.
  if (req.headers.expect !== undefined) res.setHeader('Connection', 'close');
  req.resume();
  const timer = setTimeout(() => req.socket.destroy(), UNWANTED_BODY_TIMEOUT_MS);
  req.once('close', () => clearTimeout(timer));
}

/** The body of an error answer. */
export function errorBody(code: string, message: string, detail: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify({ errors: [{ code, message, detail }] }));
}
