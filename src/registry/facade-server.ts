/**
 * The HTTP server that the facade is reached through: its limits, and its orderly end. Every limit is a setting, and
 * stands in docs/LIMITS.md.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import type { Facade } from './facade.ts';
import { errorBody } from './middleware/error-response.ts';

/** Collaborators of the server. */
export interface FacadeServerDeps {
  readonly facade: Facade;
  readonly log: Logger;
  /** Called when no more requests are taken: who is kept waiting on purpose is to be let go. */
  readonly onClosing?: (() => void) | undefined;
}

/** Limits of the server, all resolved. */
export interface FacadeServerConfig {
  /** Connections beyond this are closed as they come. */
  readonly maxConnections: number;
  /** Request line and headers together; larger ones are answered 431. */
  readonly maxHeaderSizeBytes: number;
  /** Time for the head of a request to arrive; later it is answered 408. */
  readonly headersTimeoutMs: number;
  /** Time for a request with its body to arrive. Pulls have none. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection is kept for a next request. */
  readonly keepAliveTimeoutMs: number;
  /** A connection on which nothing moves for this long, in either direction, is closed, a request under way or not. */
  readonly idleTimeoutMs: number;
  /** After the grace time, how long ended bodies may take to flow out before their sockets are destroyed. */
  readonly lingerTimeoutMs: number;
}

/** Settings that suit a node on the host of its clients. */
export const DEFAULT_FACADE_SERVER_CONFIG: FacadeServerConfig = {
  maxConnections: 4096,
  maxHeaderSizeBytes: 32 * 1024,
  headersTimeoutMs: 15_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 65_000,
  // containerd's image_pull_progress_timeout: whoever waits longer has given up.
  idleTimeoutMs: 300_000,
  lingerTimeoutMs: 2_000,
};

/** Listens for clients. Whoever opens it closes it. */
export class FacadeServer implements AsyncDisposable {
  readonly #facade: Facade;
  readonly #log: Logger;
  readonly #config: FacadeServerConfig;
  readonly #server: Server;
  readonly #onClosing: () => void;
  readonly #answering = new Map<Duplex, Set<ServerResponse>>();
  #address: AddressInfo | undefined;
  #closed: Promise<void> | undefined;
  #isDown = true;
  #graceTimer: NodeJS.Timeout | undefined;
  #graceEndsAtMs = Number.POSITIVE_INFINITY;

  constructor(deps: FacadeServerDeps, config: FacadeServerConfig) {
    this.#facade = deps.facade;
    this.#log = deps.log.child({ component: 'registry' });
    this.#config = config;
    this.#onClosing = deps.onClosing ?? (() => undefined);
    this.#server = createServer({
      maxHeaderSize: config.maxHeaderSizeBytes,
      headersTimeout: config.headersTimeoutMs,
      requestTimeout: config.requestTimeoutMs,
      keepAliveTimeout: config.keepAliveTimeoutMs,
      connectionsCheckingInterval: Math.min(5_000, config.headersTimeoutMs),
      noDelay: true,
    });
    this.#server.maxConnections = config.maxConnections;
    this.#server.timeout = config.idleTimeoutMs;
    this.#listenToServer(this.#facade.app.callback());
  }

  /**
   * Starts to listen.
   * @param listen port 0 takes any free one
   * @returns the address in use
   * @throws {Error} of node:net, EADDRINUSE above all
   */
  open(listen: { host: string; port: number }): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: listen.host, port: listen.port, backlog: 1024 }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => {
          this.#log.error({ err: error }, 'facade server failed');
        });
        this.#address = this.#server.address() as AddressInfo;
        this.#isDown = false;
        resolve(this.#address);
      });
    });
  }

  /** Where it listens; `undefined` before `open`. */
  get address(): AddressInfo | undefined {
    return this.#address;
  }

  /**
   * Stops to listen, lets running requests end, and ends them by itself after the grace time. Idempotent; a later call
   * with a shorter grace time shortens the wait.
   */
  close(graceMs: number): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => {
        this.#isDown = true;
        clearTimeout(this.#graceTimer);
        resolve();
      });
      for (const response of this.#responses()) response.shouldKeepAlive = false;
      this.#onClosing();
      this.#server.closeIdleConnections();
    });
    this.#endGraceIn(graceMs);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0);
  }

  #endGraceIn(graceMs: number): void {
    const endsAtMs = performance.now() + graceMs;
    if (this.#isDown || endsAtMs >= this.#graceEndsAtMs) return;
    this.#graceEndsAtMs = endsAtMs;
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => {
      if (this.#answering.size > 0)
        this.#log.warn({ requests: this.#answering.size }, 'requests outlasted the grace time');
      this.#facade.abortRequests();
      this.#graceTimer = setTimeout(() => {
        this.#server.closeAllConnections();
      }, this.#config.lingerTimeoutMs);
    }, graceMs);
  }

  #listenToServer(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): void {
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#trackAnswer(request.socket, response);
      answer(request, response).catch((error: unknown) => {
        this.#log.error({ err: asError(error) }, 'request was left without an answer');
        request.socket.destroy();
      });
    };
    this.#server.on('request', onRequest);
    // A body that nobody will read is not asked for: the answer comes at once.
    this.#server.on('checkContinue', onRequest);
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      this.#answerBrokenRequest(error, socket);
    });
    this.#server.on('drop', () => {
      this.#log.warn({ maxConnections: this.#config.maxConnections }, 'connection refused: too many are open');
    });
  }

  #trackAnswer(socket: Socket, response: ServerResponse): void {
    const running = this.#answering.get(socket) ?? new Set();
    this.#answering.set(socket, running.add(response));
    if (this.#closed !== undefined) response.shouldKeepAlive = false;
    response.once('close', () => {
      running.delete(response);
      if (running.size === 0) this.#answering.delete(socket);
      if (this.#closed !== undefined) this.#server.closeIdleConnections();
    });
  }

  #responses(): ServerResponse[] {
    return [...this.#answering.values()].flatMap((responses) => [...responses]);
  }

  /** What the HTTP parser refused never reaches the app; it is told here, unless another answer is on its way. */
  #answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable || error.code === 'ECONNRESET' || this.#answering.has(socket)) {
      socket.destroy();
      return;
    }
    const [status, message] = BROKEN_REQUESTS[error.code ?? ''] ?? ['400 Bad Request', 'the request is not valid HTTP'];
    const body = errorBody('UNSUPPORTED', message, {});
    const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
    socket.end(Buffer.concat([Buffer.from(head), body]));
  }
}

const BROKEN_REQUESTS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the headers of the request are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request did not arrive in time'],
};
