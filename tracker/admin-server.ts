/**
 * The tracker's admin server, on an address of its own: whoever knows an info-hash can ask for its peers, so lists of them are
 * not for all who announce. Page for people, metrics, health, counts; registering and forgetting, for this machine alone.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { isLoopback, plainHost } from './address.ts';
import { PAGE_TORRENTS, renderPage, type PageTorrent } from './page.ts';
import { countsOf, type PeerTable } from './peer-table.ts';
import { parseInfoHash, type Registrations } from './registrations.ts';

const REQUEST_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 256;

/** The page needs its style and nothing else; nobody may put it into a frame. */
const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

export interface AdminServerDeps {
  readonly table: PeerTable;
  readonly registrations: Registrations;
  readonly metrics: Registry;
  readonly log: Logger;
  /** Writes registrations to disk, where the tracker keeps its state. */
  readonly keep: () => Promise<void>;
}

/** The listener. Whoever opens it closes it. */
export class TrackerAdminServer {
  readonly #deps: AdminServerDeps;
  readonly #isClosed: boolean;
  readonly #server: Server;

  constructor(deps: AdminServerDeps, config: { readonly isClosed: boolean }) {
    this.#deps = deps;
    this.#isClosed = config.isClosed;
    this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('request', (request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        deps.log.error({ err: error }, 'tracker admin request failed');
        if (!response.headersSent) sendJson(response, 500, errorBody('the tracker failed; its log says why'));
        response.end();
      });
    });
  }

  async listen(host: string, port: number): Promise<number> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://tracker');
    const [, registered] = /^\/torrents\/([^/]*)$/.exec(url.pathname) ?? [];
    if (registered !== undefined) {
      await this.#changeRegistration(request, response, registered);
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else if (url.pathname === '/') {
      response.writeHead(200, PAGE_HEADERS).end(this.#page(url.searchParams));
    } else if (url.pathname === '/metrics') {
      const text = await this.#deps.metrics.metrics();
      response.writeHead(200, { 'content-type': this.#deps.metrics.contentType }).end(text);
    } else if (url.pathname === '/stats') {
      sendJson(response, 200, { ...this.#deps.table.stats(), registered: this.#deps.registrations.counts() });
    } else if (url.pathname === '/livez' || url.pathname === '/readyz') {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    } else {
      sendJson(
        response,
        404,
        errorBody('no such page; there are /, /metrics, /stats, /livez and /torrents/<info-hash>'),
      );
    }
  }

  #page(query: URLSearchParams): string {
    const { table, registrations } = this.#deps;
    const prefix = /^[0-9a-f]{0,40}$/.exec((query.get('q') ?? '').toLowerCase())?.[0] ?? '';
    const asked = Number(query.get('page') ?? '1');
    const found = [...table.entries()].filter(([infoHash]) => infoHash.startsWith(prefix));
    const pages = Math.max(1, Math.ceil(found.length / PAGE_TORRENTS));
    const page = Number.isInteger(asked) ? Math.min(Math.max(1, asked), pages) : 1;
    const torrents = found
      .slice((page - 1) * PAGE_TORRENTS, page * PAGE_TORRENTS)
      .map(([infoHash, torrent]): PageTorrent => ({
        infoHash,
        ...countsOf(torrent),
        downloaded: torrent.downloaded,
        registeredBy: registrations.by(infoHash),
      }));
    const registered = registrations.counts();
    return renderPage({ isClosed: this.#isClosed, stats: table.stats(), registered, prefix, page, pages, torrents });
  }

  async #changeRegistration(request: IncomingMessage, response: ServerResponse, text: string): Promise<void> {
    const { registrations, table, keep } = this.#deps;
    const infoHash = parseInfoHash(text);
    const refusal = refusalOfChange(request);
    if (request.method !== 'PUT' && request.method !== 'DELETE')
      response.writeHead(405, { allow: 'PUT, DELETE' }).end();
    else if (refusal !== undefined) sendJson(response, 403, errorBody(refusal));
    else if (infoHash === undefined) sendJson(response, 400, errorBody('an info-hash has 40 hexadecimal digits'));
    else if (request.method === 'PUT') {
      if (!registrations.add(infoHash)) {
        sendJson(response, 507, errorBody('this tracker has no room for further torrents'));
        return;
      }
      await keep();
      sendJson(response, 200, { infoHash, registeredBy: registrations.by(infoHash) });
    } else {
      const wasThere = registrations.remove(infoHash);
      // One of the operator's file stays until it is taken out of that.
      const by = registrations.by(infoHash);
      if (by === undefined) table.forget(infoHash);
      await keep();
      sendJson(response, wasThere || by !== undefined ? 200 : 404, { infoHash, registeredBy: by ?? null });
    }
  }
}

/** Requests of other machines, and of web pages that a browser here follows: browsers put `Origin` on these. */
function refusalOfChange(request: IncomingMessage): string | undefined {
  if ((request.headers.origin ?? '') !== '') return 'requests of web pages are refused';
  if (isLoopback(plainHost(request.socket.remoteAddress ?? ''))) return undefined;
  return 'only requests from this machine may do this; run the command on the host of the tracker';
}

function errorBody(message: string): object {
  return { error: { message } };
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
