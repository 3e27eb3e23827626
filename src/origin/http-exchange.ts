/**
 * One request and its answer, watched by lack of progress: the clock runs only while this node waits for the other side,
 * never while a slow client holds the bytes back.
 */
import { Readable } from 'node:stream';
import { request, type Dispatcher } from 'undici';
import { asError } from '../oci/error.ts';
import { originError } from './errors.ts';
import { transportFailure } from './transport-failure.ts';

export interface ExchangeRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is sent as it comes, once; while it gives nothing, the other side is not waited for. */
  readonly body?: string | AsyncIterable<Uint8Array>;
  /** The upstream's name, for errors. */
  readonly upstream: string;
  /** For a connection to come about; the dispatcher keeps to it by itself, and knows better why it did not. */
  readonly connectTimeoutMs: number;
  /** For the next byte, once there is a connection. */
  readonly progressTimeoutMs: number;
  /** The most for either, where the caller has less time than the upstream is allowed. */
  readonly patienceMs?: number | undefined;
}

/** An answer whose body has not been read. Whoever gets it reads the body to its end, or discards it. */
export interface HttpAnswer {
  readonly status: number;
  readonly url: URL;
  header(name: string): string | undefined;
  headerValues(name: string): readonly string[];
  /** The body's bytes; to be iterated once. @throws {TransientFailure} when they break off or stall */
  chunks(): AsyncIterable<Buffer>;
  /** Ends the body unread. The connection is kept if little was left. */
  discard(): Promise<void>;
}

/** By so much a dispatcher may be late with its word on a connection: its timers are coarse. */
const CONNECT_SLACK_MS = 2_000;
/** Bytes of an unwanted body that are read away, to keep the connection; beyond that closing it is cheaper. */
const DISCARD_LIMIT_BYTES = 64 * 1024;
const DISCARD_TIMEOUT_MS = 1_000;

/**
 * Sends one request and waits for the head of its answer. No redirect is followed, nothing is repeated.
 * @throws {TransientFailure} when the same request may succeed later; the signal's reason when it is aborted
 */
export async function exchange(
  dispatcher: Dispatcher,
  sent: ExchangeRequest,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<HttpAnswer> {
  options.signal?.throwIfAborted();
  const watch = new ProgressWatch(sent, options.signal);
  try {
    watch.connecting();
    const { statusCode, headers, body } = await request(sent.url, {
      dispatcher: tellingStart(dispatcher, () => watch.waiting()),
      method: sent.method,
      headers: { ...sent.headers, 'accept-encoding': 'identity', 'user-agent': 'dockyard' },
      body: bodyOf(sent, watch),
      signal: watch.signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    watch.pause();
    return new UndiciAnswer(statusCode, headers, body, sent, watch);
  } catch (error) {
    watch.end();
    options.signal?.throwIfAborted();
    throw transportFailure(error, sent.upstream, { isConnected: false });
  }
}

/** Tells when a request has its connection and goes out. */
function tellingStart(dispatcher: Dispatcher, onStart: () => void): Dispatcher {
  return dispatcher.compose((dispatch) => (options, handler) => {
    const tell = handler.onRequestStart?.bind(handler);
    handler.onRequestStart = (controller, context) => {
      onStart();
      tell?.(controller, context);
    };
    return dispatch(options, handler);
  });
}

function bodyOf({ body }: ExchangeRequest, watch: ProgressWatch): string | Readable | null {
  if (body === undefined || typeof body === 'string') return body ?? null;
  return Readable.from(watched(body, watch), { objectMode: false });
}

async function* watched(body: AsyncIterable<Uint8Array>, watch: ProgressWatch): AsyncGenerator<Uint8Array> {
  watch.pause();
  for await (const chunk of body) {
    watch.waiting();
    yield chunk;
    watch.pause();
  }
  watch.waiting();
}

/** Aborts a request when the other side gives nothing for too long, or when the caller gives up. */
class ProgressWatch {
  readonly #stalled = new AbortController();
  readonly #sent: ExchangeRequest;
  readonly callerSignal: AbortSignal | undefined;
  readonly signal: AbortSignal;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = 0;
  #isWaiting = false;
  #hasEnded = false;

  constructor(sent: ExchangeRequest, callerSignal: AbortSignal | undefined) {
    this.#sent = sent;
    this.callerSignal = callerSignal;
    this.signal =
      callerSignal === undefined ? this.#stalled.signal : AbortSignal.any([this.#stalled.signal, callerSignal]);
  }

  /** A connection is awaited. */
  connecting(): void {
    this.#await(this.#sent.connectTimeoutMs + CONNECT_SLACK_MS);
  }

  /** From now on the other side is awaited. */
  waiting(): void {
    this.#await(this.#sent.progressTimeoutMs);
  }

  pause(): void {
    this.#isWaiting = false;
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  /** Called for every chunk: the same time again costs no new timer. */
  #await(allowedMs: number): void {
    if (this.#hasEnded) return;
    const timeoutMs = Math.min(allowedMs, this.#sent.patienceMs ?? Infinity);
    this.#isWaiting = true;
    if (this.#timer !== undefined && this.#timerMs === timeoutMs) {
      this.#timer.refresh();
      return;
    }
    clearTimeout(this.#timer);
    this.#timerMs = timeoutMs;
    this.#timer = setTimeout(() => this.#onTime(timeoutMs), timeoutMs).unref();
  }

  #onTime(timeoutMs: number): void {
    if (!this.#isWaiting) return;
    const { upstream } = this.#sent;
    const message = `upstream '${upstream}' gave no byte for ${timeoutMs} ms`;
    this.#stalled.abort(originError('ERR_ORIGIN_STALLED', message, { details: { upstream } }));
  }
}

class UndiciAnswer implements HttpAnswer {
  readonly status: number;
  readonly url: URL;
  readonly #headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly #body: Dispatcher.ResponseData['body'];
  readonly #sent: ExchangeRequest;
  readonly #watch: ProgressWatch;

  constructor(
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    body: Dispatcher.ResponseData['body'],
    sent: ExchangeRequest,
    watch: ProgressWatch,
  ) {
    this.status = status;
    this.url = sent.url;
    this.#headers = headers;
    this.#body = body;
    this.#sent = sent;
    this.#watch = watch;
    // A body that fails between two reads would otherwise raise an error that nobody listens to.
    body.on('error', () => watch.end());
  }

  header(name: string): string | undefined {
    return this.headerValues(name)[0];
  }

  headerValues(name: string): readonly string[] {
    const value = this.#headers[name];
    if (value === undefined) return [];
    return Array.isArray(value) ? value : [value];
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    const iterator = this.#body[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.#watch.waiting();
        const next = await iterator.next();
        this.#watch.pause();
        if (next.done === true) return;
        yield next.value as Buffer;
      }
    } catch (error) {
      this.#watch.callerSignal?.throwIfAborted();
      throw transportFailure(error, this.#sent.upstream, { isConnected: true });
    } finally {
      this.#watch.end();
      this.#body.destroy();
    }
  }

  async discard(): Promise<void> {
    this.#watch.end();
    try {
      await this.#body.dump({ limit: DISCARD_LIMIT_BYTES, signal: AbortSignal.timeout(DISCARD_TIMEOUT_MS) });
    } catch (error) {
      this.#body.destroy(asError(error));
    }
  }
}
