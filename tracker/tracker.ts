/**
 * A BitTorrent tracker over HTTP and UDP: a second way for nodes to find holders, and the meeting point of ordinary torrent
 * clients. Bounded in memory, kept over restarts; what it is sent wrongly is answered with a reason. Wires the parts together.
 */
import { randomBytes } from 'node:crypto';
import { access, constants, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { asError } from '../src/oci/error.ts';
import type { TrackerProof } from '../src/swarm/tracker-proof.ts';
import { TrackerAdminServer } from './admin-server.ts';
import { Admission } from './admission.ts';
import { ConnectionIds } from './connection-ids.ts';
import { trackerError } from './errors.ts';
import { HttpTracker } from './http-tracker.ts';
import { PeerTable, type PeerTableStats } from './peer-table.ts';
import type { RateLimits } from './rate-limiter.ts';
import { readRegisteredFile } from './registered-file.ts';
import { Registrations } from './registrations.ts';
import { readStateFile } from './state-file.ts';
import { StateKeeper } from './state-keeper.ts';
import { declareTableMetrics, RequestCounter, StateMetrics } from './tracker-metrics.ts';
import { UdpTracker } from './udp-tracker.ts';

const STATE_FILE = 'tracker.state';

/** Tries for a port that is free over TCP and UDP alike, when any port will do. */
const PORT_TRIES = 10;

export interface TrackerDeps {
  readonly log: Logger;
  readonly metrics: Registry;
  /** By which holders of the swarm key vouch for info-hashes. */
  readonly proof?: TrackerProof | undefined;
}

interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface TrackerConfig {
  /** TCP and UDP alike; port 0 takes one that is free for both. */
  readonly listen: ListenAddress;
  /** Page, metrics, registering. */
  readonly admin: ListenAddress;
  /** The folder in which peers and registrations are kept; `undefined` keeps nothing. */
  readonly dataDirectory: string | undefined;
  /** Serves registered info-hashes alone, and those that a holder of the swarm key vouches for. */
  readonly isClosed: boolean;
  /** The operator's file of info-hashes. */
  readonly registeredFile: string | undefined;
  /** How often clients are told to announce. */
  readonly intervalMs: number;
  /** How long a peer is kept after its last announce; more than the interval. */
  readonly peerTtlMs: number;
  /** How long an info-hash is served after a holder of the key vouched for it. */
  readonly registrationTtlMs: number;
  readonly maxTorrents: number;
  readonly maxPeers: number;
  readonly maxConnections: number;
  readonly rates: RateLimits;
}

/** A running tracker. Whoever opens it closes it. */
export class DockyardTracker implements AsyncDisposable {
  readonly #deps: TrackerDeps;
  readonly #config: TrackerConfig;
  readonly #table: PeerTable;
  readonly #registrations: Registrations;
  readonly #requests: RequestCounter;
  readonly #admission: Admission;
  readonly #running = new AsyncDisposableStack();
  #keeper: StateKeeper | undefined;
  #sweeping = false;
  #closing: Promise<void> | undefined;
  #port = 0;
  #adminPort = 0;

  private constructor(deps: TrackerDeps, config: TrackerConfig) {
    this.#deps = deps;
    this.#config = config;
    const { maxTorrents, maxPeers, peerTtlMs, registrationTtlMs, isClosed, rates } = config;
    const nowMs = (): number => Date.now();
    this.#table = new PeerTable({ nowMs, random: Math.random }, { maxTorrents, maxPeers, peerTtlMs });
    this.#registrations = new Registrations(nowMs, { ttlMs: registrationTtlMs, max: maxTorrents });
    this.#admission = new Admission(
      { nowMs, registrations: this.#registrations, proof: deps.proof },
      { isClosed, rates },
    );
    this.#requests = new RequestCounter(deps.metrics);
    declareTableMetrics(deps.metrics, {
      stats: () => this.stats(),
      registered: () => this.#registrations.counts(),
    });
  }

  /** @throws {DockyardError} ERR_TRACKER_LISTEN, ERR_TRACKER_STATE, ERR_TRACKER_REGISTERED */
  static async open(deps: TrackerDeps, config: TrackerConfig): Promise<DockyardTracker> {
    const tracker = new DockyardTracker(deps, config);
    try {
      await tracker.#start();
      return tracker;
    } catch (error) {
      await tracker.close();
      throw error;
    }
  }

  /** The port of HTTP and UDP. */
  get port(): number {
    return this.#port;
  }

  get adminPort(): number {
    return this.#adminPort;
  }

  stats(): PeerTableStats {
    return this.#table.stats();
  }

  /** Reads the operator's file of info-hashes again. @throws {DockyardError} ERR_TRACKER_REGISTERED */
  async reload(): Promise<void> {
    const { registeredFile } = this.#config;
    if (registeredFile === undefined) return;
    this.#registrations.replaceFiled(await readRegisteredFile(registeredFile));
    this.#deps.log.info(
      { path: registeredFile, ...this.#registrations.counts() },
      'tracker read registered info-hashes',
    );
  }

  /** Closes listeners and connections, and writes the state. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#running.disposeAsync();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    const { log } = this.#deps;
    await this.reload();
    const statePath = await this.#readState();
    // Written last, and only by a tracker that had its port: a second one by mistake leaves the file to the first.
    this.#running.defer(async () => this.#keeper?.close());
    const { host } = this.#config.listen;
    this.#port = await this.#listen();
    if (statePath !== undefined) this.#keeper = this.#keepState(statePath);
    const admin = new TrackerAdminServer(
      {
        table: this.#table,
        registrations: this.#registrations,
        metrics: this.#deps.metrics,
        log,
        keep: async () => this.#keeper?.save(),
      },
      this.#config,
    );
    this.#running.defer(async () => admin.close());
    const adminAt = this.#config.admin;
    this.#adminPort = await admin.listen(adminAt.host, adminAt.port).catch((error: unknown) => {
      throw trackerError(
        'ERR_TRACKER_LISTEN',
        `cannot listen on ${adminAt.host}:${adminAt.port} for the page of the tracker`,
        {
          cause: error,
          details: { purpose: 'admin' },
        },
      );
    });
    const sweeper = setInterval(() => void this.#sweep(), Math.max(1_000, this.#config.peerTtlMs / 5));
    this.#running.defer(() => clearInterval(sweeper));
    log.info(
      { host, port: this.#port, adminPort: this.#adminPort, closed: this.#config.isClosed },
      'tracker listening',
    );
  }

  /** Takes up what was kept; answers where it is kept. */
  async #readState(): Promise<string | undefined> {
    const { dataDirectory } = this.#config;
    if (dataDirectory === undefined) return undefined;
    const path = join(dataDirectory, STATE_FILE);
    const state = { table: this.#table, registrations: this.#registrations };
    try {
      await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
      await access(dataDirectory, constants.W_OK);
      const reading = await readStateFile(path, state);
      if (reading !== undefined && reading.lostBytes > 0)
        this.#deps.log.warn({ path, ...reading }, 'tracker state was damaged; what was readable is taken up');
      else if (reading !== undefined) this.#deps.log.info({ path, ...reading }, 'tracker state read');
      return path;
    } catch (error) {
      const reason = asError(error).message;
      throw trackerError('ERR_TRACKER_STATE', `cannot keep the tracker's state in ${dataDirectory}: ${reason}`, {
        cause: error,
      });
    }
  }

  #keepState(path: string): StateKeeper {
    const { log, metrics } = this.#deps;
    return new StateKeeper(
      { table: this.#table, registrations: this.#registrations, log, metrics: new StateMetrics(metrics) },
      { path, refreshMs: this.#config.peerTtlMs / 5 },
    );
  }

  /** Listens over TCP and UDP on one port, and answers it. */
  async #listen(): Promise<number> {
    const { host, port } = this.#config.listen;
    for (let tries = 1; ; tries += 1) {
      await using opening = new AsyncDisposableStack();
      try {
        const found = await this.#listenOnce(host, port, opening);
        this.#running.use(opening.move());
        return found;
      } catch (error) {
        if (port === 0 && tries < PORT_TRIES && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
        throw trackerError('ERR_TRACKER_LISTEN', `cannot listen on ${host}:${port} for the tracker`, { cause: error });
      }
    }
  }

  async #listenOnce(host: string, port: number, opening: AsyncDisposableStack): Promise<number> {
    const deps = {
      table: this.#table,
      admission: this.#admission,
      requests: this.#requests,
      log: this.#deps.log,
    };
    const http = new HttpTracker(deps, this.#config);
    opening.defer(async () => http.close());
    const found = await http.listen(host, port);
    const connectionIds = new ConnectionIds(() => Date.now(), randomBytes(32));
    const udp = new UdpTracker({ ...deps, connectionIds }, this.#config);
    opening.defer(async () => udp.close());
    await udp.listen(host, found);
    return found;
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    try {
      this.#registrations.sweep();
      await this.#table.sweep(async () => {
        await pause();
      });
    } finally {
      this.#sweeping = false;
    }
  }
}

/** Starts a tracker. @throws {DockyardError} ERR_TRACKER_LISTEN, ERR_TRACKER_STATE, ERR_TRACKER_REGISTERED */
export async function openTracker(deps: TrackerDeps, config: TrackerConfig): Promise<DockyardTracker> {
  return await DockyardTracker.open(deps, config);
}
