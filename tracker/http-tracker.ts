/**
 * Announces and scrapes over HTTP. Announces are read and answered by the server of bittorrent-tracker, with this project's
 * table of peers and its rules behind it; scrapes and what is refused at the door are answered here: see
 * docs/decisions/0013-tracker-server.md.
 * @see BEP 3, 7, 23, 31 (retry in), 48 (scrape)
 */
import { once } from 'node:events';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Server, { type AnnounceParams, type AnnounceSwarm, type TrackerOptions } from 'bittorrent-tracker/server';
import type { Logger } from 'pino';
import { packAddress, plainHost } from './address.ts';
import type { Admission } from './admission.ts';
import { MAX_ANSWERED_PEERS, Refusal, type Announce, type AnnounceEvent } from './announce.ts';
import { encodeAnswer, encodeFailure, encodeScrape } from './http-answers.ts';
import type { PeerTable } from './peer-table.ts';
import type { RequestCounter } from './tracker-metrics.ts';

/** A scrape of 74 torrents, as many as go into one over UDP, takes 5,500 bytes; what is longer is answered with 431. */
const MAX_HEADER_BYTES = 8 * 1024;

/** A request is complete within this time, or its connection is closed. */
const REQUEST_TIMEOUT_MS = 5_000;
const TIMEOUT_CHECK_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;

const MAX_SCRAPED = 74;

const EVENTS: ReadonlySet<string> = new Set<AnnounceEvent>(['started', 'update', 'completed', 'paused', 'stopped']);

/** What HTTP and UDP have in common. */
export interface ProtocolDeps {
  readonly table: PeerTable;
  readonly admission: Admission;
  readonly requests: RequestCounter;
  readonly log: Logger;
}

export interface HttpTrackerConfig {
  readonly intervalMs: number;
  readonly maxConnections: number;
}

/** The library's server with our table behind it, in the way that it foresees. */
class AnnounceServer extends Server {
  readonly #swarm: AnnounceSwarm;

  constructor(options: TrackerOptions, swarm: AnnounceSwarm) {
    super(options);
    this.#swarm = swarm;
  }

  override getSwarm(_infoHash: string, callback: (error: Error | null, swarm?: AnnounceSwarm) => void): void {
    callback(null, this.#swarm);
  }
}

/** The listener. Whoever opens it closes it. */
export class HttpTracker {
  readonly #deps: ProtocolDeps;
  readonly #config: HttpTrackerConfig;
  readonly #server: AnnounceServer;

  constructor(deps: ProtocolDeps, config: HttpTrackerConfig) {
    this.#deps = deps;
    this.#config = config;
    const http = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    };
    const options = {
      interval: config.intervalMs,
      trustProxy: false,
      http,
      udp: false,
      ws: false,
      stats: false,
    } as const;
    this.#server = new AnnounceServer(options, { announce: (params, callback) => this.#announce(params, callback) });
    this.#server.on('warning', (error: Error) => this.#noteRefusal(error));
    // Errors while listening are reported by the attempt to listen; later ones end no service.
    this.#server.on('error', (error: Error) => deps.log.debug({ err: error }, 'tracker HTTP listener failed'));
    this.#http.maxConnections = config.maxConnections;
    // Ahead of the library's own, which leaves alone what is answered.
    this.#http.on('request', (request, response) => this.#atTheDoor(request, response));
  }

  async listen(host: string, port: number): Promise<number> {
    this.#http.listen(port, host);
    await once(this.#http, 'listening');
    return (this.#http.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(resolve));
    this.#http.closeAllConnections();
    await closed;
  }

  get #http(): HttpServer {
    return this.#server.http;
  }

  /** Answers all but announces that are to be read. */
  #atTheDoor(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? '';
    const path = url.split('?', 1)[0];
    response.setHeader('content-type', 'text/plain');
    if (request.method !== 'GET') {
      response.writeHead(405, { allow: 'GET' }).end('only GET\n');
    } else if (path === '/livez') {
      response.writeHead(200).end('ok\n');
    } else if (path !== '/announce' && path !== '/scrape') {
      response.writeHead(404).end('a BitTorrent tracker: /announce and /scrape\n');
    } else {
      const host = plainHost(request.socket.remoteAddress ?? '');
      const retryAfterSeconds = this.#deps.admission.retryAfterSeconds(host);
      if (retryAfterSeconds > 0) this.#refuseForNow(response, retryAfterSeconds);
      else if (path === '/scrape') this.#scrape(url, response);
    }
  }

  #refuseForNow(response: ServerResponse, retryAfterSeconds: number): void {
    this.#deps.requests.count('http', 'limited');
    // Not 429: clients show the reason of a failure that comes with 200, and nothing of any other status.
    response.writeHead(200, { 'retry-after': String(retryAfterSeconds) });
    response.end(encodeFailure(`too many announces: try again in ${retryAfterSeconds} s`, retryAfterSeconds));
  }

  #announce(params: AnnounceParams, callback: (error: Error | null, answer?: object) => void): void {
    const isCompact = params.compact !== 0;
    // The answer is encoded as it is: the library would write peer ids as UTF-8, and addresses one by one.
    params.compact = -1;
    try {
      const announce = readAnnounce(params);
      this.#deps.admission.admit(announce);
      const answer = this.#deps.table.announce(announce);
      this.#deps.requests.count('http', announce.event);
      callback(null, encodeAnswer(answer, { intervalMs: this.#config.intervalMs, isCompact }));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      callback(error);
    }
  }

  #scrape(url: string, response: ServerResponse): void {
    const asked = [...url.matchAll(/[?&]info_hash=([^&]*)/g)].map(([, text = '']) => unescape(text));
    const infoHashes = asked.map((text) => Buffer.from(text, 'latin1').toString('hex'));
    // Without any, all torrents are asked for: an answer without bound, and of no use to a client that knows its own.
    const wrong =
      infoHashes.length === 0
        ? 'info_hash is missing'
        : infoHashes.some((infoHash) => infoHash.length !== 40)
          ? 'invalid info_hash'
          : infoHashes.length > MAX_SCRAPED
            ? `more than ${MAX_SCRAPED} info_hash in one scrape`
            : undefined;
    if (wrong !== undefined) {
      this.#deps.requests.count('http', 'malformed');
      response.writeHead(200).end(encodeFailure(wrong));
      return;
    }
    this.#deps.requests.count('http', 'scrape');
    const served = infoHashes.filter((infoHash) => this.#deps.admission.isServed(infoHash));
    const files = new Map(served.map((infoHash) => [infoHash, this.#deps.table.scrape(infoHash)]));
    response.writeHead(200).end(encodeScrape(files));
  }

  #noteRefusal(error: Error): void {
    this.#deps.requests.count('http', error instanceof Refusal ? error.kind : 'malformed');
    this.#deps.log.debug({ err: error }, 'tracker refused a request');
  }
}

/** @throws {Refusal} malformed, for what the library lets through */
function readAnnounce(params: AnnounceParams): Announce {
  const { info_hash: infoHash, peer_id: peerId, port, left, numwant, proof } = params;
  if (!/^[0-9a-f]{40}$/.test(infoHash)) throw new Refusal('malformed', 'invalid info_hash');
  if (!/^[0-9a-f]{40}$/.test(peerId)) throw new Refusal('malformed', 'invalid peer_id');
  if (!Number.isInteger(port)) throw new Refusal('malformed', 'invalid port');
  const event = typeof params.event === 'string' ? params.event : '';
  if (!isEvent(event)) throw new Refusal('malformed', 'invalid event');
  const address = packAddress(plainHost(params.ip), port);
  if (address === undefined) throw new Refusal('malformed', 'invalid address');
  // The library takes a 0 for nothing said.
  const wantsNone = /[?&]numwant=0(?:&|$)/.test(params.httpReq.url ?? '');
  return {
    infoHash,
    peerId: Buffer.from(peerId, 'hex'),
    address,
    event,
    isComplete: left === 0,
    wantedPeers: wantsNone ? 0 : Math.max(0, Math.min(Math.floor(numwant), MAX_ANSWERED_PEERS)),
    proof: typeof proof === 'string' ? proof : undefined,
  };
}

function isEvent(text: string): text is AnnounceEvent {
  return EVENTS.has(text);
}
