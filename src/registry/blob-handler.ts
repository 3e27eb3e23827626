/**
 * Blobs: GET with ranges and HEAD.
 * @see OCI distribution-spec v1.1, end-2
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { parseDigest, type Digest } from '../oci/digest.ts';
import { formatRepository } from '../oci/repository.ts';
import { entityTag, matchesIfNoneMatch } from './entity-tag.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps, PathOf, RoutedRequest } from './facade-state.ts';
import { ReadingSender } from './reading-sender.ts';

/** Content named by its digest never changes. */
export const IMMUTABLE_CACHE_CONTROL = 'public,max-age=31536000,immutable';

type BlobHandlerDeps = Pick<HandlerDeps, 'blobs' | 'log' | 'metrics'>;

/** Answers a request for a blob. */
export class BlobHandler {
  readonly #deps: BlobHandlerDeps;
  readonly #sender: ReadingSender;

  constructor(deps: BlobHandlerDeps, config: HandlerConfig) {
    this.#deps = deps;
    this.#sender = new ReadingSender(deps, config);
  }

  /** @throws {DockyardError} what the client is to be told, if nothing was sent yet */
  async handle(ctx: FacadeContext, request: RoutedRequest<PathOf<'blob'>>): Promise<void> {
    const digest = parseDigest(request.path.digestText);
    const isCached = matchesIfNoneMatch(ctx.req.headers['if-none-match'], entityTag(digest));
    if (ctx.method !== 'HEAD' && !isCached) {
      await this.#sendBlob(ctx, digest, request);
      return;
    }
    const stat = await this.#deps.blobs.stat(digest, request.context);
    if (stat === undefined) throw blobUnknown(digest, request);
    ctx.status = isCached ? 304 : 200;
    ctx.set(isCached ? cacheHeaders(digest) : blobHeaders(digest, stat.sizeBytes));
  }

  async #sendBlob(ctx: FacadeContext, digest: Digest, request: RoutedRequest): Promise<void> {
    const elsewhere = await this.#deps.blobs.directUrl?.(digest, request.context);
    if (elsewhere !== undefined) {
      ctx.status = 307;
      ctx.set('Location', elsewhere);
      ctx.set('Docker-Content-Digest', digest);
      // The URL is good for some time only.
      ctx.set('Cache-Control', 'no-store');
      return;
    }
    const reading = await this.#deps.blobs.open(digest, request.context);
    if (reading === undefined) throw blobUnknown(digest, request);
    await this.#sender.send(ctx, reading, {
      signal: request.context.signal,
      tag: entityTag(digest),
      headersFor: (lengthBytes) => blobHeaders(digest, lengthBytes),
    });
  }
}

function cacheHeaders(digest: Digest): Record<string, string> {
  return {
    'Docker-Content-Digest': digest,
    ETag: entityTag(digest),
    'Cache-Control': IMMUTABLE_CACHE_CONTROL,
  };
}

function blobHeaders(digest: Digest, lengthBytes: number): Record<string, string> & OutgoingHttpHeaders {
  return {
    ...cacheHeaders(digest),
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(lengthBytes),
    'Accept-Ranges': 'bytes',
  };
}

function blobUnknown(digest: Digest, request: RoutedRequest): Error {
  return registryError('ERR_BLOB_UNKNOWN', `${formatRepository(request.context.repository)} has no blob ${digest}`, {
    details: { digest, repository: formatRepository(request.context.repository) },
  });
}
