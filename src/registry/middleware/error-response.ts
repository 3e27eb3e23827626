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
  const detail = {
    ...(isDockyardError(ctx.state.failure) ? { code: ctx.state.failure.code } : {}),
    requestId: ctx.state.requestId,
  };
  ctx.status = error.status;
  if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds));
  ctx.set('Content-Type', 'application/json');
  ctx.body = errorBody(error.code, error.message, detail);
}

/** The body of an error answer. */
export function errorBody(code: string, message: string, detail: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify({ errors: [{ code, message, detail }] }));
}
