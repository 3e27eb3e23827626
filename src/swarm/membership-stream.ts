/** Messages over a libp2p stream: frames of bounded size, with backpressure and an end to waiting. */
import type { Stream } from '@libp2p/interface';
import { swarmError } from './errors.ts';
import { decodeMessage, encodeMessage, MAX_MESSAGE_BYTES, type MembersMessage } from './membership-messages.ts';

const LENGTH_BYTES = 4;

/** Whoever opens it closes it, with `close` when the exchange went well and `abort` otherwise. */
export class MembersStream {
  readonly #stream: Stream;
  readonly #signal: AbortSignal;
  readonly #chunks: AsyncIterator<{ subarray(): Uint8Array }>;
  readonly #onAbort: () => void;
  #buffered: Buffer = Buffer.alloc(0);

  /** @param signal ends the whole exchange: the stream is reset, and what waits on it fails with the signal's reason */
  constructor(stream: Stream, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#onAbort = () => stream.abort(new Error('membership exchange ended', { cause: signal.reason }));
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** @throws the signal's reason, or what broke the stream */
  async write(message: MembersMessage): Promise<void> {
    const body = encodeMessage(message);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(body.length);
    if (!this.#stream.send(Buffer.concat([length, body]))) await this.#stream.onDrain({ signal: this.#signal });
  }

  /** @throws {DockyardError} ERR_MEMBERS_PROTOCOL; the signal's reason; what broke the stream */
  async read(): Promise<MembersMessage> {
    await this.#fill(LENGTH_BYTES);
    const length = this.#buffered.readUInt32BE(0);
    if (length > MAX_MESSAGE_BYTES) {
      throw swarmError(
        'ERR_MEMBERS_PROTOCOL',
        `a peer sent a message of ${length} bytes; ${MAX_MESSAGE_BYTES} are allowed`,
      );
    }
    await this.#fill(LENGTH_BYTES + length);
    const body = this.#buffered.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
    this.#buffered = this.#buffered.subarray(LENGTH_BYTES + length);
    return decodeMessage(body);
  }

  /** Ends the exchange in good order. */
  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
    await this.#stream.close({ signal: this.#signal });
  }

  /** Ends the exchange at once; the other side sees a reset. */
  abort(error: Error): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#stream.abort(error);
  }

  async #fill(sizeBytes: number): Promise<void> {
    while (this.#buffered.length < sizeBytes) {
      this.#signal.throwIfAborted();
      const next = await this.#next();
      if (next.done === true) throw swarmError('ERR_MEMBERS_PROTOCOL', 'a peer ended an exchange in the middle of it');
      this.#buffered = Buffer.concat([this.#buffered, next.value.subarray()]);
    }
  }

  async #next(): Promise<IteratorResult<{ subarray(): Uint8Array }>> {
    try {
      return await this.#chunks.next();
    } catch (error) {
      this.#signal.throwIfAborted();
      throw error;
    }
  }
}
