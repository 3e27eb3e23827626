/**
 * The TLS socket of a link and where its bytes go. On the side that dials, what comes in is put into one buffer that is used
 * again and again; this halves the cost of receiving, since Node otherwise makes a fresh buffer of 16 KiB for every TLS
 * record, and the collector runs after them. Node offers this to the dialling side only, which is the side that fetches.
 */
import type { OnReadOpts } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { asError } from '../../oci/error.ts';
import { swarmError } from '../errors.ts';
import { FRAME, FrameDecoder } from './frame.ts';
import { MAX_HELLO_BYTES } from './handshake.ts';

const RECEIVE_BUFFER_BYTES = 64 * 1024;

/** Takes what came in: the bytes of `data` before `end`. They may be overwritten when it returns. */
export type ByteSink = (data: Buffer, end: number) => void;

export class LinkSocket {
  readonly tls: TLSSocket;
  #sink: ByteSink | undefined;
  /** What came before there was a sink. */
  #early: Buffer[] = [];

  private constructor(tls: TLSSocket) {
    this.tls = tls;
  }

  /** A socket that a listener accepted. */
  static accepted(tls: TLSSocket): LinkSocket {
    const socket = new LinkSocket(tls);
    tls.on('data', (data: Buffer) => socket.#receive(data, data.length));
    return socket;
  }

  /** Dials; `secureConnect` of `tls` tells when it is connected. */
  static dialled(options: ConnectionOptions): LinkSocket {
    const received: { deliver: ByteSink } = { deliver: () => undefined };
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
    const onread: OnReadOpts = {
      buffer,
      callback: (length: number): boolean => {
        received.deliver(buffer, length);
        return true;
      },
    };
    // Node's types leave `onread` out of TLS options; its documentation does not.
    const withBuffer: ConnectionOptions & { onread: OnReadOpts } = { ...options, onread };
    const socket = new LinkSocket(connect(withBuffer));
    received.deliver = (data, end) => socket.#receive(data, end);
    return socket;
  }

  /** From now on bytes go to `sink`; those that came before come first. */
  setSink(sink: ByteSink): void {
    this.#sink = sink;
    for (const early of this.#early.splice(0)) sink(early, early.length);
  }

  /**
   * Reads the one frame that comes before a peer is known; what stands behind it waits for the next sink.
   * @throws {DockyardError} ERR_LINK_REFUSED, ERR_LINK_PROTOCOL, ERR_LINK_FAILED; the reason of `signal`
   */
  async readHello(signal: AbortSignal): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const noHello = (): Error => swarmError('ERR_LINK_REFUSED', 'the peer was refused: it did not begin with a hello');
    let isRead = false;
    const decoder = new FrameDecoder(
      {
        onFrame: (type, payload) => {
          if (type !== FRAME.hello) throw noHello();
          isRead = true;
          resolve(payload);
        },
        onChunk: () => {
          throw noHello();
        },
        onChunkEnd: () => undefined,
      },
      MAX_HELLO_BYTES,
    );
    const onEnd = (): void =>
      reject(swarmError('ERR_LINK_FAILED', 'the peer closed the connection before it said who it is'));
    const onError = (error: Error): void => reject(error);
    const onAbort = (): void => reject(asError(signal.reason));
    this.tls.once('end', onEnd).once('close', onEnd).once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    this.setSink((data, end) => {
      try {
        for (let at = 0; at < end; at += 1) {
          decoder.push(data.subarray(at, at + 1));
          if (!isRead) continue;
          this.#sink = undefined;
          if (at + 1 < end) this.#early.push(Buffer.from(data.subarray(at + 1, end)));
          return;
        }
      } catch (thrown) {
        reject(asError(thrown));
      }
    });
    try {
      return await promise;
    } catch (error) {
      // What else comes from a stranger while the connection is being closed is not kept.
      this.setSink(() => undefined);
      throw error;
    } finally {
      this.tls.off('end', onEnd).off('close', onEnd).off('error', onError);
      signal.removeEventListener('abort', onAbort);
    }
  }

  #receive(data: Buffer, end: number): void {
    if (this.#sink === undefined) this.#early.push(Buffer.from(data.subarray(0, end)));
    else this.#sink(data, end);
  }
}
