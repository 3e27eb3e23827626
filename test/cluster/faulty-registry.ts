/** An HTTP server before a real registry, which answers for some blobs as a registry does on a bad day. */
import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

/** What goes wrong with the body of an answer, after so many bytes of it. */
export interface BodyFault {
  readonly kind: 'stall' | 'reset' | 'truncate' | 'wrong-bytes';
  readonly afterBytes: number;
}

/** An answer in place of the registry's; `silent` is none at all. */
export type Fault = BodyFault | { readonly kind: 'silent' } | { readonly kind: 'status'; readonly status: number };

interface Plan {
  readonly fault: Fault;
  /** Answers for which it still holds. */
  left: number;
}

/** Close it with `await using`. */
export class FaultyRegistry implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  readonly #plans = new Map<string, Plan>();
  #faultCount = 0;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((request, response) => this.#onRequest(request, response));
  }

  /** Listens on a port of its own on 127.0.0.1. @param targetUrl the registry behind it */
  static async open(targetUrl: string): Promise<FaultyRegistry> {
    const registry = new FaultyRegistry(new URL(targetUrl));
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers that were spoiled. */
  get faultCount(): number {
    return this.#faultCount;
  }

  /** Spoils answers for a blob. @param times `Infinity` for all */
  plan(digest: string, fault: Fault, times: number): void {
    this.#plans.set(digest, { fault, left: times });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const fault = this.#nextFault(request);
    if (fault?.kind === 'silent') return;
    if (fault?.kind === 'status') {
      response.writeHead(fault.status, { 'retry-after': '1' }).end();
      return;
    }
    const path = request.url ?? '/';
    const options = { method: request.method, headers: { ...request.headers, host: this.#target.host } };
    const asked = forward(new URL(path, this.#target), options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      const body = fault === undefined ? answer : answer.pipe(new SpoiledBody(fault, response));
      body.pipe(response);
    });
    asked.on('error', () => response.destroy());
    response.on('close', () => asked.destroy());
    request.pipe(asked);
  }

  #nextFault(request: IncomingMessage): Fault | undefined {
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(request.url ?? '')?.[1] ?? '';
    const plan = this.#plans.get(digest);
    if (plan === undefined || plan.left <= 0 || request.method !== 'GET') return undefined;
    plan.left -= 1;
    this.#faultCount += 1;
    return plan.fault;
  }
}

/** Passes bytes on until the fault, and then does what the fault says. */
class SpoiledBody extends Transform {
  readonly #fault: BodyFault;
  readonly #response: ServerResponse;
  #passedBytes = 0;

  constructor(fault: BodyFault, response: ServerResponse) {
    super();
    this.#fault = fault;
    this.#response = response;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const roomBytes = this.#fault.afterBytes - this.#passedBytes;
    this.#passedBytes += chunk.length;
    if (chunk.length <= roomBytes) done(undefined, chunk);
    else this.#spoil(chunk, Math.max(0, roomBytes), done);
  }

  #spoil(chunk: Buffer, roomBytes: number, done: TransformCallback): void {
    const { socket } = this.#response;
    switch (this.#fault.kind) {
      case 'wrong-bytes':
        done(
          undefined,
          chunk.map((byte) => byte ^ 1),
        );
        return;
      case 'stall':
        // Nothing more is ever asked for, so nothing more comes.
        this.push(chunk.subarray(0, roomBytes));
        return;
      case 'reset':
        this.push(chunk.subarray(0, roomBytes));
        // What was passed on goes out first.
        setImmediate(() => socket?.resetAndDestroy());
        return;
      case 'truncate':
        this.push(chunk.subarray(0, roomBytes));
        setImmediate(() => socket?.end());
    }
  }
}
