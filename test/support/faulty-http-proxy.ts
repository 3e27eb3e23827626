/** An HTTP proxy in front of a server that can be made to fail: it cuts, stalls, loses answers, and answers itself. */
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a request fails. */
export const HTTP_FAULTS = ['cut', 'cut-after-head', 'lost-answer', 'stall', '500', '503'] as const;

/**
 * `cut-midway` lets some of the body through, so that someone who goes on gets further each time; 501 is what a service answers
 * that does not know what it is asked for.
 */
export type HttpFault = (typeof HTTP_FAULTS)[number] | 'cut-midway' | '501';

/** Close it with `await using`. */
export class FaultyHttpProxy implements AsyncDisposable {
  /** Requests so far. */
  count = 0;
  /** How a request fails, by its number from 0; not at all by default. */
  faultOf: (call: number) => HttpFault | undefined = () => undefined;
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };

  private constructor(targetPort: number) {
    this.#target = { host: '127.0.0.1', port: targetPort };
    this.#server = createServer((incoming, response) => this.#pass(incoming, response));
    // Requests of the SDK ask for leave before they send a body.
    this.#server.on('checkContinue', (incoming: IncomingMessage, response: ServerResponse) => {
      response.writeContinue();
      this.#pass(incoming, response);
    });
  }

  /** Listens on a port of its own on 127.0.0.1. */
  static async open(targetPort: number): Promise<FaultyHttpProxy> {
    const proxy = new FaultyHttpProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(incoming: IncomingMessage, response: ServerResponse): void {
    const fault = this.faultOf(this.count);
    this.count += 1;
    if (fault === 'cut') incoming.socket.destroy();
    else if (fault === 'stall') incoming.resume();
    else if (fault === '500') answer(incoming, response, 500, 'InternalError');
    else if (fault === '503') answer(incoming, response, 503, 'SlowDown');
    else if (fault === '501') answer(incoming, response, 501, 'NotImplemented');
    else this.#forward(incoming, response, fault);
  }

  #forward(incoming: IncomingMessage, response: ServerResponse, fault: HttpFault | undefined): void {
    const { method, url, headers } = incoming;
    const { expect: _asked, ...others } = headers;
    const outgoing = request({ ...this.#target, method, path: url, headers: others }, (found) => {
      if (fault === 'lost-answer') {
        found.resume().once('end', () => incoming.socket.destroy());
        return;
      }
      response.writeHead(found.statusCode ?? 502, found.headers);
      if (fault === 'cut-after-head') {
        response.flushHeaders();
        setImmediate(() => incoming.socket.destroy());
        found.destroy();
        return;
      }
      if (fault === 'cut-midway') {
        found.once('data', (chunk: Buffer) => response.write(chunk.subarray(0, Math.floor(chunk.length / 2))));
        found.once('data', () => setImmediate(() => incoming.socket.destroy()));
        incoming.socket.once('close', () => found.destroy());
        return;
      }
      found.pipe(response);
    });
    outgoing.once('error', () => incoming.socket.destroy());
    incoming.pipe(outgoing);
  }
}

/** An error of S3. */
function answer(incoming: IncomingMessage, response: ServerResponse, status: number, code: string): void {
  incoming.resume().once('end', () => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`);
  });
}
