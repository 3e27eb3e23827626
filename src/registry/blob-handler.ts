/**
 * Blobs: GET with ranges and HEAD.
 * @see OCI distribution-spec v1.1, end-2
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { formatContentRange, formatUnsatisfiedRange, parseRange, type ByteRange } from '../oci/byte-range.ts';
import { parseDigest, type Digest } from '../oci/digest.ts';
import { ociError } from '../oci/errors.ts';
import { formatRepository } from '../oci/repository.ts';
import { BodyWriter } from './body-writer.ts';
import { allowsRange, entityTag, matchesIfNoneMatch } from './entity-tag.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps, PathOf, RoutedRequest } from './facade-state.ts';
import type { BlobReading } from './ports.ts';

/** Content named by its digest never changes. */
export const IMMUTABLE_CACHE_CONTROL = 'public,max-age=31536000,immutable';

type BlobHandlerDeps = Pick<HandlerDeps, 'blobs' | 'log' | 'metrics'>;

/** Answers a request for a blob. */
export class BlobHandler {
  readonly #deps: BlobHandlerDeps;
  readonly #config: HandlerConfig;

  constructor(deps: BlobHandlerDeps, config: HandlerConfig) {
    this.#deps = deps;
    this.#config = config;
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
    const reading = await this.#deps.blobs.open(digest, request.context);
    if (reading === undefined) throw blobUnknown(digest, request);
    // A client that leaves frees the source at once, even while a read hangs; `close` is idempotent.
    const onAbort = (): void => {
      this.#closeReading(reading);
    };
    request.context.signal.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#sendReading(ctx, reading, request.context.signal);
    } finally {
      request.context.signal.removeEventListener('abort', onAbort);
      this.#closeReading(reading);
    }
  }

  async #sendReading(ctx: FacadeContext, reading: BlobReading, signal: AbortSignal): Promise<void> {
    const { digest, sizeBytes } = reading;
    const { headers } = ctx.req;
    const range = allowsRange(ctx.get('If-Range'), entityTag(digest)) ? headers.range : undefined;
    const asked = parseRange(range, sizeBytes);
    if (asked.kind === 'unsatisfiable') {
      ctx.set('Content-Range', formatUnsatisfiedRange(sizeBytes));
      throw ociError('ERR_RANGE_INVALID', `the blob has ${sizeBytes} bytes, the range asks for others`);
    }
    if (sizeBytes === 0) {
      ctx.status = 200;
      ctx.set(blobHeaders(digest, 0));
      ctx.body = Buffer.alloc(0);
      return;
    }
    const wanted: ByteRange = asked.kind === 'whole' ? { start: 0, end: sizeBytes } : asked.range;
    const lengthBytes = wanted.end - wanted.start;
    const contentRange = asked.kind === 'range' ? { 'Content-Range': formatContentRange(wanted, sizeBytes) } : {};
    const head = {
      status: asked.kind === 'range' ? 206 : 200,
      headers: { ...blobHeaders(digest, lengthBytes), ...contentRange },
      lengthBytes,
    };
    const writer = new BodyWriter(ctx.res, signal, {
      lingerTimeoutMs: this.#config.lingerTimeoutMs,
      countBytes: this.#deps.metrics.countServedBytes,
      recycle: (chunk) => reading.recycle?.(chunk),
    });
    const outcome = await writer.send(head, reading.read(wanted)[Symbol.asyncIterator]());
    ctx.respond = false;
    ctx.state.sentBytes = outcome.sentBytes;
    if (outcome.end !== 'short') return;
    ctx.state.isShort = true;
    ctx.state.failure = outcome.error;
    this.#deps.metrics.shortBodies.inc();
  }

  #closeReading(reading: BlobReading): void {
    reading.close().catch((error: unknown) => {
      this.#deps.log.warn({ err: error, digest: reading.digest }, 'blob reading did not close');
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
