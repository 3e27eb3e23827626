/**
 * Writes a blob's bytes to a client. This is the hot path, so chunks go to the response as they are: no stream object
 * in between, no copy. A bounded number of bytes waits for the socket, and the next chunk is read meanwhile.
 *
 * A body that cannot be completed is ended short with a FIN, after what was written has been sent, never by a reset:
 * containerd goes on from there with `Range` after the one and fails the whole pull after the other
 * (docs/decisions/0002-ending-a-body-short.md).
 */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { asError } from '../oci/error.ts';
import { registryError } from './errors.ts';

/** While this much waits for the client's socket, nothing more is read. Memory per client: this and one chunk. */
export const BODY_WINDOW_BYTES = 1024 * 1024;

/** How a body ended, and how much of it the system took for the client. */
export type BodyOutcome =
  | { readonly end: 'complete' | 'client-gone'; readonly sentBytes: number }
  | { readonly end: 'short'; readonly sentBytes: number; readonly error: Error };

/** The head of a response that has a body. */
export interface BodyHead {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly lengthBytes: number;
}

/** What the writer needs. */
export interface BodyWriterConfig {
  /** How long a client whose body was ended short has to close its side, before the socket is destroyed. */
  readonly lingerTimeoutMs: number;
  /** Called with every number of body bytes that the system took. */
  readonly countBytes: (sizeBytes: number) => void;
  /** Called with every chunk that the system took whole: its memory may serve again. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
}

/** Stands for "the client left, or the node ends the request" among the results of a read. */
const ENDED = Symbol('ended');

/** Sends one body; use once. */
export class BodyWriter {
  readonly #response: ServerResponse;
  readonly #config: BodyWriterConfig;
  readonly #signal: AbortSignal;
  #pendingBytes = 0;
  #sentBytes = 0;
  #wake: (() => void) | undefined;

  /** @param signal aborts when the client has left or the node ends the request; a body under way is then ended short */
  constructor(response: ServerResponse, signal: AbortSignal, config: BodyWriterConfig) {
    this.#response = response;
    this.#signal = signal;
    this.#config = config;
  }

  /**
   * Takes the first bytes, then sends the head and the body. Whatever happens, the source is told to stop (`return`)
   * as soon as no more of it is wanted.
   * @throws what the source throws before its first bytes; nothing was sent then
   */
  async send(head: BodyHead, source: AsyncIterator<Uint8Array>): Promise<BodyOutcome> {
    const onAbort = (): void => {
      stopReading(source);
      this.#wake?.();
    };
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      const first = await this.#next(source);
      if (first === ENDED) this.#signal.throwIfAborted();
      if (first === ENDED || first === undefined) throw wrongLength(0, head.lengthBytes);
      if (first.length > head.lengthBytes) throw wrongLength(first.length, head.lengthBytes);
      this.#response.writeHead(head.status, head.headers);
      return await this.#sendBody(first, source, head.lengthBytes);
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      stopReading(source);
    }
  }

  async #sendBody(first: Uint8Array, source: AsyncIterator<Uint8Array>, lengthBytes: number): Promise<BodyOutcome> {
    let leftBytes = lengthBytes;
    let chunk = first;
    try {
      for (;;) {
        leftBytes -= chunk.length;
        this.#write(chunk, leftBytes === 0);
        if (leftBytes === 0) break;
        const next = await this.#next(source);
        if (next === ENDED) return await this.#endEarly();
        if (next === undefined || next.length > leftBytes) throw wrongLength(lengthBytes - leftBytes, lengthBytes);
        chunk = next;
        while (this.#pendingBytes >= BODY_WINDOW_BYTES && !this.#isEnded()) await this.#progress();
        if (this.#isEnded()) return await this.#endEarly();
      }
    } catch (error) {
      if (this.#isEnded()) return await this.#endEarly();
      return await this.#endShort(asError(error));
    }
    // All bytes are handed over, so an abort by the node has nothing left to end.
    while (this.#pendingBytes > 0 && !this.#isClientGone()) await this.#progress();
    if (this.#pendingBytes > 0) return { end: 'client-gone', sentBytes: this.#sentBytes };
    return { end: 'complete', sentBytes: this.#sentBytes };
  }

  #write(chunk: Uint8Array, isLast: boolean): void {
    const sizeBytes = chunk.length;
    this.#pendingBytes += sizeBytes;
    const done = (error?: Error | null): void => {
      // The callback also comes for what a closed socket threw away.
      if (error === undefined || error === null) {
        this.#pendingBytes -= sizeBytes;
        this.#sentBytes += sizeBytes;
        this.#config.countBytes(sizeBytes);
        this.#config.recycle?.(chunk);
      }
      this.#wake?.();
    };
    if (!isLast) {
      this.#response.write(chunk, done);
      return;
    }
    // Written before `end`, whose own callback says nothing of a failure; both go out in one system call.
    this.#response.write(chunk, done);
    this.#response.end();
  }

  /** The next bytes, `undefined` at the end of the source, or ENDED, whichever comes first. */
  async #next(source: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined | typeof ENDED> {
    for (;;) {
      if (this.#isEnded()) return ENDED;
      const chunk = await new Promise<Uint8Array | undefined | typeof ENDED>((resolve, reject) => {
        // One field instead of Promise.race: a race against a long-lived promise would keep every chunk alive.
        this.#wake = () => {
          if (this.#isEnded()) resolve(ENDED);
        };
        source.next().then((result) => {
          resolve(result.done === true ? undefined : result.value);
        }, reject);
      });
      if (chunk === undefined || chunk === ENDED || chunk.length > 0) return chunk;
    }
  }

  #progress(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #isEnded(): boolean {
    return this.#signal.aborted || this.#response.destroyed;
  }

  async #endEarly(): Promise<BodyOutcome> {
    if (this.#isClientGone()) return { end: 'client-gone', sentBytes: this.#sentBytes };
    return this.#endShort(asError(this.#signal.reason));
  }

  /** What was written flows out, then comes the FIN; a client that does not read it out is left to the idle timeout. */
  async #endShort(error: Error): Promise<BodyOutcome> {
    const { socket } = this.#response;
    socket?.end();
    while (this.#pendingBytes > 0 && !this.#isClientGone()) await this.#progress();
    if (socket !== null && !socket.destroyed) {
      const timer = setTimeout(() => socket.destroy(), this.#config.lingerTimeoutMs);
      socket.once('close', () => {
        clearTimeout(timer);
      });
    }
    return { end: 'short', sentBytes: this.#sentBytes, error };
  }

  #isClientGone(): boolean {
    return this.#response.destroyed || this.#response.socket?.destroyed !== false;
  }
}

/** Its result does not matter: the reading is closed by its opener, who hears of failures there. */
function stopReading(source: AsyncIterator<Uint8Array>): void {
  source.return?.().catch(() => undefined);
}

function wrongLength(seenBytes: number, lengthBytes: number): Error {
  return registryError('ERR_BODY_LENGTH', 'a source gave another number of bytes than it promised', {
    details: { seenBytes, lengthBytes },
  });
}
