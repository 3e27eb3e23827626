/** The body of a request: read at the pace of whoever takes it, and given up when the client is too slow. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { registryError } from './errors.ts';

/** A client has this long to send the next so many bytes; the time in which this node is not ready for them does not count. */
export interface BodyPace {
  readonly timeoutMs: number;
  readonly progressBytes: number;
}

/** Use once. */
export class RequestBody {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #pace: BodyPace;

  constructor(request: IncomingMessage, response: ServerResponse, pace: BodyPace) {
    this.#request = request;
    this.#response = response;
    this.#pace = pace;
  }

  /** What the client says that it sends; undefined when it does not say. */
  get declaredBytes(): number | undefined {
    const text = this.#request.headers['content-length'];
    if (text !== undefined) return Number(text);
    return this.#request.headers['transfer-encoding'] === undefined ? 0 : undefined;
  }

  /**
   * The bytes, as they come. Leaving early leaves the connection as it is, so that an answer can still be given.
   * @throws {DockyardError} ERR_BODY_SLOW; the error of the connection when it breaks
   */
  async *chunks(): AsyncGenerator<Uint8Array> {
    if (this.declaredBytes === 0) return;
    // Only now is it sure that the body is wanted.
    if (this.#request.headers.expect !== undefined) this.#response.writeContinue();
    const chunks = this.#request.iterator({ destroyOnReturn: false });
    let leftMs = this.#pace.timeoutMs;
    let progressBytes = 0;
    try {
      for (;;) {
        const beganAtMs = performance.now();
        const next = await within(leftMs, chunks.next() as Promise<IteratorResult<Uint8Array, undefined>>);
        if (next.done === true) return;
        leftMs -= performance.now() - beganAtMs;
        progressBytes += next.value.length;
        if (progressBytes >= this.#pace.progressBytes) {
          progressBytes = 0;
          leftMs = this.#pace.timeoutMs;
        }
        yield next.value;
      }
    } finally {
      // Not awaited: after a timeout it would wait for the bytes that do not come.
      chunks.return?.().catch(() => undefined);
    }
  }

  /** All of it. @throws {DockyardError} ERR_BODY_TOO_LARGE, and as `chunks` */
  async whole(limitBytes: number): Promise<Buffer> {
    const tooLarge = (): Error =>
      registryError('ERR_BODY_TOO_LARGE', `the body is larger than ${limitBytes} bytes, which is the limit here`);
    if ((this.declaredBytes ?? 0) > limitBytes) throw tooLarge();
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of this.chunks()) {
      sizeBytes += chunk.length;
      if (sizeBytes > limitBytes) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

/**
 * Gives the memory of a chunk of a body back at once; the chunk is empty afterwards. Left to the collector, chunks that pass by
 * make it mark the whole heap for every forty megabytes, which costs more than all else that a push does.
 */
export function recycleChunk({ buffer, byteLength }: Uint8Array): void {
  // Small chunks may lie in memory that others share.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

async function within<Result>(timeoutMs: number, work: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(registryError('ERR_BODY_SLOW', 'the body of the request did not arrive in time')),
    Math.max(1, timeoutMs),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
