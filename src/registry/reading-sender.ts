/** Sends content that is open for reading: whole, or the range that is asked for; and closes it whatever happens. */
import type { OutgoingHttpHeaders } from 'node:http';
import { formatContentRange, formatUnsatisfiedRange, parseRange, type ByteRange } from '../oci/byte-range.ts';
import { ociError } from '../oci/errors.ts';
import { BodyWriter } from './body-writer.ts';
import { allowsRange } from './entity-tag.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps } from './facade-state.ts';
import type { BlobReading } from './ports.ts';

/** What is sent about the content. */
export interface ReadingHead {
  /** Ends the work for this client. */
  readonly signal: AbortSignal;
  /** The entity tag, to compare with `If-Range`. */
  readonly tag: string;
  /** All headers of a body of that length, but for `Content-Range`. */
  readonly headersFor: (lengthBytes: number) => Record<string, string> & OutgoingHttpHeaders;
}

/** Sends readings to clients. */
export class ReadingSender {
  readonly #deps: Pick<HandlerDeps, 'log' | 'metrics'>;
  readonly #config: HandlerConfig;

  constructor(deps: Pick<HandlerDeps, 'log' | 'metrics'>, config: HandlerConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** @throws {DockyardError} ERR_RANGE_INVALID, and what the reading throws before its first byte */
  async send(ctx: FacadeContext, reading: BlobReading, head: ReadingHead): Promise<void> {
    // A client that leaves frees the source at once, even while a read hangs; `close` is idempotent.
    const onAbort = (): void => {
      this.#close(reading);
    };
    head.signal.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#send(ctx, reading, head);
    } finally {
      head.signal.removeEventListener('abort', onAbort);
      this.#close(reading);
    }
  }

  async #send(ctx: FacadeContext, reading: BlobReading, { headersFor, signal, tag }: ReadingHead): Promise<void> {
    const { sizeBytes } = reading;
    const range = allowsRange(ctx.get('If-Range'), tag) ? ctx.req.headers.range : undefined;
    const asked = parseRange(range, sizeBytes);
    if (asked.kind === 'unsatisfiable') {
      ctx.set('Content-Range', formatUnsatisfiedRange(sizeBytes));
      throw ociError('ERR_RANGE_INVALID', `the blob has ${sizeBytes} bytes, the range asks for others`);
    }
    if (sizeBytes === 0) {
      ctx.status = 200;
      ctx.set(headersFor(0));
      ctx.body = Buffer.alloc(0);
      return;
    }
    const wanted: ByteRange = asked.kind === 'whole' ? { start: 0, end: sizeBytes } : asked.range;
    const lengthBytes = wanted.end - wanted.start;
    const contentRange = asked.kind === 'range' ? { 'Content-Range': formatContentRange(wanted, sizeBytes) } : {};
    const writer = new BodyWriter(ctx.res, signal, {
      lingerTimeoutMs: this.#config.lingerTimeoutMs,
      countBytes: this.#deps.metrics.countServedBytes,
      recycle: (chunk) => reading.recycle?.(chunk),
    });
    const status = asked.kind === 'range' ? 206 : 200;
    const outcome = await writer.send(
      { status, headers: { ...headersFor(lengthBytes), ...contentRange }, lengthBytes },
      reading.read(wanted)[Symbol.asyncIterator](),
    );
    ctx.respond = false;
    ctx.state.sentBytes = outcome.sentBytes;
    if (outcome.end !== 'short') return;
    ctx.state.isShort = true;
    ctx.state.failure = outcome.error;
    this.#deps.metrics.shortBodies.inc();
  }

  #close(reading: BlobReading): void {
    reading.close().catch((error: unknown) => {
      this.#deps.log.warn({ err: error, digest: reading.digest }, 'blob reading did not close');
    });
  }
}
