/**
 * One authenticated connection to another node. It carries questions with answers (`request`), and the frames of blob
 * channels, which the layer above gives their meaning. Closed by either end, or when the other falls silent.
 */
import type { TLSSocket } from 'node:tls';
import { asError, DockyardError, isDockyardError } from '../../oci/error.ts';
import { swarmError } from '../errors.ts';
import type { PeerId } from '../member.ts';
import type { LinkRole } from './handshake.ts';
import { decodeMessage, encodeMessage, type LinkMessage } from './link-message.ts';
import type { LinkSocket } from './link-socket.ts';
import {
  encodeChunkHeader,
  encodeFrame,
  FRAME,
  FrameDecoder,
  MAX_FRAME_BYTES,
  type FrameSink,
  type FrameType,
} from './frame.ts';

/** What the layer above does with a link. */
export interface LinkHandler {
  /** Answers a question; an error is sent back as its code and message. */
  onRequest(link: Link, method: string, message: LinkMessage): Promise<{ value: unknown; bytes?: Uint8Array }>;
  /** A frame of a blob channel (`FRAME.join` and above). An error ends the link. */
  onChannelFrame(link: Link, type: number, payload: Buffer): void;
  onChunk(link: Link, channel: number, piece: number, offset: number, length: number): Buffer | undefined;
  onChunkEnd(link: Link, channel: number, piece: number, offset: number, length: number): void;
  /** The link can take more bytes. */
  onDrain(link: Link): void;
  onClose(link: Link): void;
}

interface Waiting {
  readonly resolve: (message: LinkMessage) => void;
  readonly reject: (error: Error) => void;
}

/** Chunks are only written while less than this waits in the process, so that control frames do not wait long. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** Questions that one peer may have open at this node at once. */
const MAX_OPEN_REQUESTS = 256;
/** While more than this waits for the peer to read it, nothing more is read from the peer, its questions included. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024;

export class Link implements FrameSink {
  readonly peerId: PeerId;
  /** Which end of the connection this side is. */
  readonly role: LinkRole;
  readonly #linkSocket: LinkSocket;
  readonly #socket: TLSSocket;
  readonly #handler: LinkHandler;
  readonly #decoder: FrameDecoder;
  readonly #waiting = new Map<number, Waiting>();
  #answeringCount = 0;
  readonly #nowMs: () => number;
  #nextId = 1;
  #closed = false;
  #error: Error | undefined;
  #lastHeardAtMs: number;
  #lastUsedAtMs: number;
  #leftBytes = 0;
  #leftAtMs: number;
  #isPaused = false;
  #partner: Link | undefined;
  /** Frames of this turn of the event loop: a write for each would cost a record and a system call for each. */
  #gathered: Buffer[] = [];

  /** Takes the socket over; nothing is received before `start`. */
  constructor(
    linkSocket: LinkSocket,
    { peerId, role }: { peerId: PeerId; role: LinkRole },
    handler: LinkHandler,
    nowMs: () => number,
  ) {
    const socket = linkSocket.tls;
    this.#linkSocket = linkSocket;
    this.#socket = socket;
    this.peerId = peerId;
    this.role = role;
    this.#handler = handler;
    this.#nowMs = nowMs;
    this.#lastHeardAtMs = nowMs();
    this.#lastUsedAtMs = this.#lastHeardAtMs;
    this.#leftAtMs = this.#lastHeardAtMs;
    this.#decoder = new FrameDecoder(this, MAX_FRAME_BYTES);
    socket.on('drain', () => this.#onDrain());
    socket.on('error', (error: Error) => this.close(error));
    socket.on('end', () => this.close());
    socket.on('close', () => this.close());
  }

  /** Makes a pair of two links with one peer; one that was paired before is free again. */
  static pair(a: Link, b: Link): void {
    for (const link of [a, b]) if (link.#partner !== undefined) link.#partner.#partner = undefined;
    a.#partner = b;
    b.#partner = a;
  }

  /** The other link with the same peer. */
  get partner(): Link | undefined {
    return this.#partner;
  }

  /** The link over which the bytes of pieces go to the peer: the one that it dialled, if there is such a one. */
  get forChunks(): Link {
    const partner = this.#partner;
    return this.role === 'dialler' && partner?.role === 'listener' && !partner.isClosed ? partner : this;
  }

  /** Begins to receive. */
  start(): void {
    this.#linkSocket.setSink((data, end) => this.#onData(data, end));
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Why the link was closed, if by a fault. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** When the last byte came in; milliseconds of the injected clock. */
  get lastHeardAtMs(): number {
    return this.#lastHeardAtMs;
  }

  /** When either side last used the link for more than a sign of life. */
  get lastUsedAtMs(): number {
    return this.#lastUsedAtMs;
  }

  /** True while the peer is not listened to, because it does not read what it asked for. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** For how long the peer has taken nothing of what waits for it, in milliseconds; 0 when nothing waits. Asked in turns. */
  stuckMs(nowMs: number): number {
    const leftBytes = this.#socket.bytesWritten - this.#socket.writableLength;
    if (this.#socket.writableLength === 0 || leftBytes !== this.#leftBytes) {
      this.#leftBytes = leftBytes;
      this.#leftAtMs = nowMs;
    }
    return nowMs - this.#leftAtMs;
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** True while chunks may be sent; otherwise `onDrain` tells when. */
  get canSendChunk(): boolean {
    return !this.#closed && this.#socket.writableLength < MAX_QUEUED_BYTES && !this.#socket.writableNeedDrain;
  }

  /**
   * Asks the peer. `timeoutMs` bounds the wait for the whole answer.
   * @throws {DockyardError} ERR_LINK_TIMEOUT, ERR_LINK_FAILED when the link breaks, or the code that the peer answers
   */
  async request(
    method: string,
    value: unknown,
    options: { timeoutMs: number; signal?: AbortSignal | undefined; bytes?: Uint8Array },
  ): Promise<LinkMessage> {
    options.signal?.throwIfAborted();
    if (this.#closed) throw this.#closedError();
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
    this.#lastUsedAtMs = this.#nowMs();
    const { promise, resolve, reject } = Promise.withResolvers<LinkMessage>();
    this.#waiting.set(id, { resolve, reject });
    const timer = setTimeout(() => {
      reject(
        swarmError('ERR_LINK_TIMEOUT', `peer ${this.peerId} did not answer '${method}' within ${options.timeoutMs} ms`),
      );
    }, options.timeoutMs);
    const onAbort = (): void => reject(asError(options.signal?.reason));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      this.#write(FRAME.request, encodeMessage(id, { method, value }, options.bytes));
      return await promise;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      this.#waiting.delete(id);
    }
  }

  /** Sends a frame of a blob channel, together with others of this turn of the event loop. */
  send(type: FrameType, payload: Uint8Array): void {
    if (this.#closed) return;
    this.#lastUsedAtMs = this.#nowMs();
    if (this.#gathered.length === 0) setImmediate(() => this.#flush());
    this.#gathered.push(encodeFrame(type, payload));
  }

  /** Sends bytes of a piece. The buffer must not change until `onLeft` is called; it is not when the link breaks before. */
  sendChunk(channel: number, piece: number, offset: number, bytes: Uint8Array, onLeft?: () => void): void {
    if (this.#closed) return;
    this.#flush();
    this.#lastUsedAtMs = this.#nowMs();
    this.#socket.cork();
    this.#socket.write(encodeChunkHeader(channel, piece, offset, bytes.length));
    this.#socket.write(bytes, (error) => {
      if (error === undefined || error === null) onLeft?.();
    });
    this.#socket.uncork();
  }

  /** Asks for a sign of life; the answer shows in `lastHeardAtMs`. */
  ping(): void {
    this.#write(FRAME.ping, Buffer.alloc(0));
  }

  /** Closes the link; idempotent. `error` is what open questions end with. */
  close(error?: Error): void {
    if (this.#closed) return;
    if (error === undefined) this.#flush();
    this.#closed = true;
    this.#error = error;
    const closedError = this.#closedError();
    for (const waiting of this.#waiting.values()) waiting.reject(closedError);
    this.#waiting.clear();
    this.#socket.destroy();
    this.#handler.onClose(this);
  }

  #closedError(): Error {
    return swarmError('ERR_LINK_FAILED', `the link to peer ${this.peerId} is closed`, { cause: this.#error });
  }

  #write(type: FrameType, payload: Uint8Array): void {
    if (this.#closed) return;
    this.#gathered.push(encodeFrame(type, payload));
    this.#flush();
  }

  #flush(): void {
    if (this.#closed || this.#gathered.length === 0) return;
    const [first = Buffer.alloc(0)] = this.#gathered;
    this.#socket.write(this.#gathered.length === 1 ? first : Buffer.concat(this.#gathered));
    this.#gathered = [];
    if (this.#isPaused || this.#socket.writableLength <= MAX_UNREAD_BYTES) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  #onDrain(): void {
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#socket.resume();
    }
    this.#handler.onDrain(this);
  }

  #onData(data: Buffer, end: number): void {
    if (this.#closed) return;
    this.#lastHeardAtMs = this.#nowMs();
    try {
      this.#decoder.push(data, end);
    } catch (thrown) {
      this.close(asError(thrown));
    }
  }

  /** Part of the decoder's contract. */
  onChunk(channel: number, piece: number, offset: number, length: number): Buffer | undefined {
    return this.#handler.onChunk(this, channel, piece, offset, length);
  }

  /** Part of the decoder's contract. */
  onChunkEnd(channel: number, piece: number, offset: number, length: number): void {
    this.#lastUsedAtMs = this.#nowMs();
    this.#handler.onChunkEnd(this, channel, piece, offset, length);
  }

  /** Part of the decoder's contract. */
  onFrame(type: number, payload: Buffer): void {
    if (this.#closed) return;
    if (type !== FRAME.ping && type !== FRAME.pong) this.#lastUsedAtMs = this.#nowMs();
    if (type >= FRAME.join && type <= FRAME.others) this.#handler.onChannelFrame(this, type, payload);
    else if (type === FRAME.request) this.#onRequest(payload);
    else if (type === FRAME.reply || type === FRAME.failure) this.#onAnswer(type, payload);
    else if (type === FRAME.ping) this.#write(FRAME.pong, Buffer.alloc(0));
    else if (type !== FRAME.pong) throw swarmError('ERR_LINK_PROTOCOL', `a frame of unknown type ${type} came`);
  }

  #onAnswer(type: number, payload: Buffer): void {
    const { id, value, bytes } = decodeMessage(payload);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    if (type === FRAME.reply) return waiting.resolve({ value, bytes });
    const failure = value as { code?: unknown; message?: unknown };
    const code =
      typeof failure.code === 'string' && /^ERR_[A-Z_]{1,60}$/.test(failure.code) ? failure.code : 'ERR_LINK_FAILED';
    const message = typeof failure.message === 'string' ? failure.message.slice(0, 500) : 'no reason given';
    waiting.reject(new DockyardError(code, `peer ${this.peerId}: ${message}`));
  }

  #onRequest(payload: Buffer): void {
    const { id, value, bytes } = decodeMessage(payload);
    const question = value as { method?: unknown; value?: unknown };
    if (typeof question.method !== 'string') throw swarmError('ERR_LINK_PROTOCOL', 'a question without a method came');
    if (this.#answeringCount >= MAX_OPEN_REQUESTS) throw swarmError('ERR_LINK_PROTOCOL', 'too many open questions');
    this.#answeringCount += 1;
    void this.#answer(id, question.method, { value: question.value, bytes });
  }

  async #answer(id: number, method: string, message: LinkMessage): Promise<void> {
    try {
      const given = await this.#handler.onRequest(this, method, message);
      this.#write(FRAME.reply, encodeMessage(id, given.value, given.bytes));
    } catch (thrown) {
      this.#write(FRAME.failure, encodeMessage(id, describeFailure(thrown)));
    } finally {
      this.#answeringCount -= 1;
    }
  }
}

function describeFailure(thrown: unknown): { code: string; message: string } {
  if (isDockyardError(thrown)) return { code: thrown.code, message: thrown.message };
  return { code: 'ERR_LINK_FAILED', message: 'the peer failed to answer' };
}
