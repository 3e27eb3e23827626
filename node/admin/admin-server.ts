/** The admin server: metrics, health, reports, and a few actions for this machine. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { HostPort } from '../config/address.ts';
import { listenFailure } from '../listen-failure.ts';
import { createAdminApp, type AdminDeps } from './admin-app.ts';

/** How long running answers may take to finish when the server is closed. */
const CLOSE_GRACE_MS = 1_000;

/** Listens from `open` to `close`. */
export class AdminServer implements AsyncDisposable {
  readonly #server: Server;
  /** Where it listens; the port that the system chose when 0 was asked for. */
  readonly address: HostPort;
  #closing: Promise<void> | undefined;

  private constructor(server: Server, address: HostPort) {
    this.#server = server;
    this.address = address;
  }

  /**
   * Starts to listen. Whoever opens it closes it.
   * @throws {DockyardError} ERR_LISTEN_FAILED
   */
  static async open(deps: AdminDeps, config: { readonly listen: HostPort }): Promise<AdminServer> {
    const handle = createAdminApp(deps).callback();
    const server = createServer((request, response) => void handle(request, response));
    await listen(server, config.listen);
    const { port } = server.address() as AddressInfo;
    return new AdminServer(server, { host: config.listen.host, port });
  }

  /** Ends after running answers, or after a second. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const force = setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS);
      this.#server.close(() => {
        clearTimeout(force);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function listen(server: Server, address: HostPort): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(listenFailure('admin', address, cause));
    });
    server.listen({ host: address.host, port: address.port }, resolve);
  });
}
