/**
 * A BitTorrent tracker over HTTP and UDP, around the server of bittorrent-tracker: a second way for nodes to find holders,
 * and the meeting point of ordinary torrent clients. Bounded in memory; what it is sent wrongly is answered with a reason.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import Server from 'bittorrent-tracker/server';
import type { Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import { trackerError } from './errors.ts';

/** Peers kept of one blob; the least recently announced is forgotten first. */
const MAX_PEERS_PER_TORRENT = 10_000;

/** Blobs tracked at once; announces of further ones are refused. About 1 KiB each, and 0.5 KiB for each peer. */
const MAX_TORRENTS = 100_000;

/** A request over HTTP is complete within this time, or its connection is closed. */
const HTTP_REQUEST_TIMEOUT_MS = 5_000;

/** Tries for a port that is free over TCP and UDP alike, when any port will do. */
const PORT_TRIES = 10;

export interface TrackerDeps {
  readonly log: Logger;
  readonly metrics: Registry;
}

export interface TrackerConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** How often clients are told to announce. */
  readonly intervalMs: number;
  /** How long a peer is kept after its last announce; more than the interval. */
  readonly peerTtlMs: number;
}

export const TRACKER_DEFAULTS: Pick<TrackerConfig, 'intervalMs' | 'peerTtlMs'> = {
  intervalMs: 120_000,
  peerTtlMs: 300_000,
};

/** Numbers for an operator. */
export interface TrackerStats {
  readonly torrents: number;
  /** Peers that hold all of a blob, and peers that look for it or hold a part; one counts once for each blob. */
  readonly complete: number;
  readonly incomplete: number;
}

/** A running tracker. Whoever opens it closes it. */
export class DockyardTracker implements AsyncDisposable {
  readonly #server: Server;
  readonly #udp: Socket;
  readonly #sweeper: NodeJS.Timeout;
  readonly #deps: TrackerDeps;
  #torrents = 0;
  #closing: Promise<void> | undefined;

  private constructor(deps: TrackerDeps, config: TrackerConfig) {
    this.#deps = deps;
    this.#server = new Server({
      interval: config.intervalMs,
      peersCacheTtl: config.peerTtlMs,
      peersCacheLength: MAX_PEERS_PER_TORRENT,
      trustProxy: false,
      http: true,
      // The library binds both families to one host, which fails for every address but a wildcard: the socket is ours.
      udp: false,
      ws: false,
      // Its page of statistics shows what clients send without escaping it.
      stats: false,
      filter: (infoHash, _params, callback) => callback(this.#refusal(infoHash)),
    });
    const family = isIPv6(config.listen.host) ? 'udp6' : 'udp4';
    this.#udp = createSocket(family);
    if (family === 'udp6') this.#server.udp6 = this.#udp;
    else this.#server.udp4 = this.#udp;
    this.#sweeper = setInterval(() => this.#sweep(), config.peerTtlMs / 2);
    this.#listenToEvents();
    this.#declareMetrics();
  }

  /** @throws {DockyardError} ERR_TRACKER_LISTEN */
  static async open(deps: TrackerDeps, config: TrackerConfig): Promise<DockyardTracker> {
    const { host, port } = config.listen;
    for (let tries = 1; ; tries += 1) {
      const tracker = new DockyardTracker(deps, config);
      try {
        await tracker.#listen(host, port);
        return tracker;
      } catch (error) {
        await tracker.close();
        if (port === 0 && tries < PORT_TRIES && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
        throw trackerError('ERR_TRACKER_LISTEN', `cannot listen on ${host}:${port} for the tracker`, { cause: error });
      }
    }
  }

  /** The port of both listeners. */
  get port(): number {
    return (this.#server.http.address() as AddressInfo).port;
  }

  stats(): TrackerStats {
    const swarms = Object.values(this.#server.torrents);
    return {
      torrents: swarms.length,
      complete: swarms.reduce((sum, swarm) => sum + swarm.complete, 0),
      incomplete: swarms.reduce((sum, swarm) => sum + swarm.incomplete, 0),
    };
  }

  /** Closes both listeners and all connections. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#stop();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(host: string, port: number): Promise<void> {
    this.#server.http.requestTimeout = HTTP_REQUEST_TIMEOUT_MS;
    this.#server.http.headersTimeout = HTTP_REQUEST_TIMEOUT_MS;
    this.#server.http.listen(port, host);
    await once(this.#server.http, 'listening');
    this.#udp.bind(this.port, host);
    await once(this.#udp, 'listening');
    this.#deps.log.info({ host, port: this.port }, 'tracker listening');
  }

  #listenToEvents(): void {
    // Errors while listening are reported by the attempt to listen; later ones end no service.
    this.#server.on('error', (error: Error) => this.#deps.log.debug({ err: error }, 'tracker listener failed'));
    this.#server.on('warning', (error: Error) => this.#deps.log.debug({ err: error }, 'tracker refused a request'));
    this.#udp.on('error', (error) => this.#deps.log.debug({ err: error }, 'tracker UDP listener failed'));
    this.#udp.on('message', (message, from) => this.#server.onUdpRequest(message, from));
    this.#server.http.on('request', (request, response) => this.#serveOwnPages(request, response));
  }

  /** Ahead of the library, which answers everything else, and leaves alone what is answered. */
  #serveOwnPages(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path === '/livez') response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    if (path === '/stats')
      response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(this.stats())}\n`);
    if (path === '/metrics') this.#serveMetrics(response);
    // All torrents at once: an answer without bound, and of no use to a client that knows its own.
    if (path === '/scrape' && !(request.url ?? '').includes('info_hash='))
      response.writeHead(200).end('d14:failure reason19:info_hash is missinge');
  }

  #serveMetrics(response: ServerResponse): void {
    const { metrics, log } = this.#deps;
    // The head goes out before the text is gathered: it is what tells the library that this request is answered.
    response.writeHead(200, { 'content-type': metrics.contentType });
    response.flushHeaders();
    metrics.metrics().then(
      (text) => response.end(text),
      (error: unknown) => {
        log.error({ err: error }, 'metrics failed');
        response.destroy();
      },
    );
  }

  #refusal(infoHash: string): Error | undefined {
    if (this.#server.torrents[infoHash] !== undefined) return undefined;
    if (this.#torrents >= MAX_TORRENTS) return new Error('this tracker has no room for further torrents');
    this.#torrents += 1;
    return undefined;
  }

  /** Forgets peers whose time is over, and torrents without peers: the library would keep both for ever. */
  #sweep(): void {
    const { torrents } = this.#server;
    for (const [infoHash, swarm] of Object.entries(torrents)) {
      for (const key of [...swarm.peers.keys]) swarm.peers.peek(key);
      if (swarm.peers.keys.length === 0) delete torrents[infoHash];
    }
    this.#torrents = Object.keys(torrents).length;
  }

  #declareMetrics(): void {
    const registers = [this.#deps.metrics];
    const stats = (): TrackerStats => this.stats();
    new Gauge({
      name: 'dockyard_tracker_torrents',
      help: 'Blobs that the tracker knows peers of.',
      registers,
      collect() {
        this.set(stats().torrents);
      },
    });
    new Gauge({
      name: 'dockyard_tracker_peers',
      help: 'Peers that the tracker knows, once for each blob, by whether they hold all of it.',
      labelNames: ['state'],
      registers,
      collect() {
        const { complete, incomplete } = stats();
        this.set({ state: 'complete' }, complete);
        this.set({ state: 'incomplete' }, incomplete);
      },
    });
    const requests = new Counter({
      name: 'dockyard_tracker_requests_total',
      help: 'Requests to the tracker by outcome; refused ones were malformed or beyond its limits.',
      labelNames: ['outcome'],
      registers,
    });
    for (const event of ['start', 'update', 'complete', 'stop'])
      this.#server.on(event, () => requests.inc({ outcome: event }));
    this.#server.on('warning', () => requests.inc({ outcome: 'refused' }));
  }

  async #stop(): Promise<void> {
    clearInterval(this.#sweeper);
    const closed = new Promise<void>((resolve) => this.#server.close(resolve));
    this.#server.http.closeAllConnections();
    await closed;
  }
}

/** Starts a tracker. @throws {DockyardError} ERR_TRACKER_LISTEN */
export async function openTracker(deps: TrackerDeps, config: TrackerConfig): Promise<DockyardTracker> {
  return await DockyardTracker.open(deps, config);
}
