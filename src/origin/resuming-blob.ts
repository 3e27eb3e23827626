/**
 * A blob as it streams from an upstream: when the connection breaks or stalls, it goes on by `Range` at the offset reached,
 * as often as that brings new bytes. The digest names the bytes, so no ETag is needed to know that they are the same.
 */
import type { Logger } from 'pino';
import { contentLength, refuseEncoding } from './answer-reading.ts';
import type { Clock } from './clock.ts';
import { originError } from './errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import type { OriginMetrics } from './origin-metrics.ts';
import { backoffDelayMs } from './retry-delay.ts';
import { TransientFailure } from './transport-failure.ts';
import type { UpstreamClient } from './upstream-client.ts';
import { parseContentRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { DockyardError } from '../oci/error.ts';

/** Bytes of a blob on their way from an upstream. Whoever opens it closes it. */
export interface OriginBlob extends AsyncDisposable {
  /** The length of the whole blob. */
  readonly sizeBytes: number;
  /** Where `body` begins in the blob. */
  readonly start: number;
  /** Where `body` ends, exclusively. */
  readonly end: number;
  /**
   * The bytes from `start` to `end`, in order and not verified; to be iterated once. Throws ERR_ORIGIN_UNAVAILABLE or
   * ERR_ORIGIN_STALLED when resuming brings nothing, ERR_ORIGIN_BAD_ANSWER when the upstream contradicts itself.
   */
  readonly body: AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** Which blob, and how to ask for it. */
export interface BlobTarget {
  readonly client: UpstreamClient;
  readonly path: string;
  readonly scope: string;
  readonly digest: Digest;
}

/** One answer with bytes of a blob. */
export interface BlobSlice {
  readonly answer: HttpAnswer;
  /** Where the answer's bytes begin and end in the blob; `end` is undefined when it was not told. */
  readonly start: number;
  readonly end: number | undefined;
  readonly sizeBytes: number | undefined;
}

function badAnswer(target: BlobTarget, what: string): DockyardError {
  const upstream = target.client.config.name;
  return originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream}' ${what}`, {
    details: { upstream, digest: target.digest },
  });
}

/**
 * Asks for the bytes from `start` to `end` (to the blob's end, if undefined).
 * @returns `undefined` when the upstream does not have the blob
 */
export async function requestSlice(
  target: BlobTarget,
  start: number,
  end: number | undefined,
  options: { readonly signal?: AbortSignal | undefined; readonly patienceMs?: number | undefined },
): Promise<BlobSlice | undefined> {
  const isWhole = start === 0 && end === undefined;
  const range = `bytes=${start}-${end === undefined ? '' : end - 1}`;
  const headers = { accept: '*/*', ...(isWhole ? {} : { range }) };
  const { path, scope } = target;
  const { patienceMs } = options;
  const request = { kind: 'blob', method: 'GET', path, scope, headers, patienceMs } as const;
  return await target.client.perform(request, async (answer) => await readSlice(target, answer, start), options);
}

async function readSlice(target: BlobTarget, answer: HttpAnswer, asked: number): Promise<BlobSlice | undefined> {
  await refuseEncoding(answer, target.client.config.name);
  if (answer.status === 200) {
    const sizeBytes = contentLength(answer);
    return { answer, start: 0, end: sizeBytes, sizeBytes };
  }
  const header = answer.header('content-range') ?? '';
  if (answer.status === 206) {
    const told = parseContentRange(header);
    const length = contentLength(answer);
    const isConsistent = told !== undefined && (length === undefined || length === told.range.end - told.range.start);
    if (isConsistent && told.range.start === asked) return { answer, ...told.range, sizeBytes: told.sizeBytes };
  }
  await answer.discard();
  if (answer.status === 404) return undefined;
  if (answer.status === 206)
    throw badAnswer(target, `answers a request for bytes from ${asked} with '${header.slice(0, 64)}'`);
  if (answer.status === 416) throw badAnswer(target, `has no byte ${asked} of the blob`);
  throw badAnswer(target, `answers a request for a blob with ${answer.status}`);
}

export interface ResumingBlobDeps {
  readonly log: Logger;
  readonly metrics: OriginMetrics;
  readonly clock: Clock;
  readonly random: () => number;
  /** Gives back what the blob occupies. */
  readonly release: () => void;
}

export interface ResumingBlobConfig {
  readonly target: BlobTarget;
  /** The first answer, unread. */
  readonly first: BlobSlice;
  readonly sizeBytes: number;
  readonly start: number;
  readonly end: number;
  /** Ends all requests; `abort` is called by `close`. */
  readonly controller: AbortController;
  readonly signal: AbortSignal;
}

export class ResumingBlob implements OriginBlob {
  readonly sizeBytes: number;
  readonly start: number;
  readonly end: number;
  readonly body: AsyncIterable<Buffer>;
  readonly #deps: ResumingBlobDeps;
  readonly #config: ResumingBlobConfig;
  #position: number;
  /** Attempts since the last byte came. */
  #idleAttempts = 0;
  #isRead = false;

  constructor(deps: ResumingBlobDeps, config: ResumingBlobConfig) {
    this.#deps = deps;
    this.#config = config;
    this.sizeBytes = config.sizeBytes;
    this.start = config.start;
    this.end = config.end;
    this.#position = config.start;
    this.body = { [Symbol.asyncIterator]: () => this.#read() };
  }

  async close(): Promise<void> {
    this.#config.controller.abort();
    if (!this.#isRead) await this.#config.first.answer.discard();
    this.#isRead = true;
    this.#deps.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#read(): AsyncGenerator<Buffer, void, undefined> {
    if (this.#isRead) throw new TypeError('the body of a blob can be read once');
    this.#isRead = true;
    let slice = this.#config.first;
    try {
      for (;;) {
        try {
          yield* this.#take(slice);
          if (this.#position >= this.end) return;
          this.#prepareResume(this.#truncated());
        } catch (error) {
          if (!(error instanceof TransientFailure)) throw error;
          if (this.#position >= this.end) return;
          this.#prepareResume(error);
        }
        slice = await this.#resume();
      }
    } finally {
      this.#deps.release();
    }
  }

  /** The bytes of one answer that are still wanted. */
  async *#take(slice: BlobSlice): AsyncGenerator<Buffer, void, undefined> {
    let offset = slice.start;
    for await (const chunk of slice.answer.chunks()) {
      const from = Math.max(0, this.#position - offset);
      const to = Math.min(chunk.length, this.end - offset);
      offset += chunk.length;
      this.#deps.metrics.received(this.#config.target.client.config.name, chunk.length);
      if (offset > this.sizeBytes)
        throw badAnswer(this.#config.target, `gives more than the ${this.sizeBytes} bytes that it told`);
      if (to > from) {
        this.#position += to - from;
        this.#idleAttempts = 0;
        yield to - from === chunk.length ? chunk : chunk.subarray(from, to);
      }
      // An answer whose length was told ends by itself now, and its connection can be used again.
      if (this.#position >= this.end && slice.end !== this.end) return;
    }
  }

  #truncated(): TransientFailure {
    const { name } = this.#config.target.client.config;
    const final = originError(
      'ERR_ORIGIN_UNAVAILABLE',
      `upstream '${name}' ended a blob ${this.end - this.#position} bytes short`,
      {
        details: { upstream: name, digest: this.#config.target.digest },
      },
    );
    return new TransientFailure(final, { isUnreachable: false });
  }

  /** @throws what broke the stream, when too many attempts brought nothing */
  #prepareResume(failure: TransientFailure): void {
    const { config } = this.#config.target.client;
    if (this.#idleAttempts > config.maxRetries) throw failure.final;
    this.#deps.metrics.retried(config.name, 'blob');
    this.#deps.log.info(
      { upstream: config.name, digest: this.#config.target.digest, offset: this.#position, err: failure.final },
      'blob is resumed from its upstream',
    );
  }

  async #resume(): Promise<BlobSlice> {
    const { target, signal } = this.#config;
    // The first attempt after new bytes goes out at once: most breaks are of one connection alone.
    const delayMs = this.#idleAttempts === 0 ? 0 : backoffDelayMs(this.#idleAttempts - 1, this.#deps.random());
    this.#idleAttempts += 1;
    await this.#deps.clock.sleep(delayMs, { signal });
    const wanted = this.end === this.sizeBytes ? undefined : this.end;
    const slice = await requestSlice(target, this.#position, wanted, { signal });
    if (slice === undefined) throw badAnswer(target, 'no longer has a blob that it was giving');
    if (slice.sizeBytes !== undefined && slice.sizeBytes !== this.sizeBytes) {
      await slice.answer.discard();
      throw badAnswer(target, `tells ${slice.sizeBytes} bytes of a blob, and told ${this.sizeBytes} before`);
    }
    return slice;
  }
}
