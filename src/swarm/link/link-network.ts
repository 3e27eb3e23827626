/**
 * The links of this node: a listener, a dialler, and one link kept for each peer in use.
 *
 * Bounds: handshakes that are not finished, the time for one, the number of links; links that nobody uses are closed
 * after a while, the one unused for longest first when room is needed.
 */
import { once } from 'node:events';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import { asError, isAbortError } from '../../oci/error.ts';
import { swarmError } from '../errors.ts';
import type { PeerId, SocketAddress } from '../member.ts';
import { createLinkCertificate } from './certificate.ts';
import { encodeFrame, FRAME } from './frame.ts';
import { checkHello, makeHello, type HandshakeDeps, type LinkRole } from './handshake.ts';
import { Link, type LinkHandler } from './link.ts';
import { LinkSocket } from './link-socket.ts';

/** AES-128-GCM first: with AES instructions it is the cheapest of the three by far. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** Two nodes that dial each other at once end with two links; more of one peer are closed, the oldest first. */
const MAX_LINKS_OF_PEER = 2;

export interface LinkNetworkConfig {
  readonly listen: SocketAddress;
  readonly maxLinks: number;
  /** Connections that came in and have not proved yet who they are; further ones are closed. */
  readonly maxPendingHandshakes: number;
  /** For TCP, TLS and hello together. */
  readonly connectTimeoutMs: number;
  /** A link that nobody used for so long is closed. */
  readonly idleTimeoutMs: number;
  /** A peer that does not even answer pings for so long is gone. */
  readonly silenceTimeoutMs: number;
}

export interface LinkNetworkDeps {
  readonly handshake: HandshakeDeps;
  readonly handler: LinkHandler;
  readonly log: Logger;
  readonly clock: { nowMs(): number };
  /** Peers that are banned are neither dialled nor let in. */
  readonly isBanned: (peerId: PeerId) => boolean;
}

/** Whom to dial: at least one address; `peerId` is checked when given. */
export interface LinkTarget {
  readonly peerId?: PeerId | undefined;
  readonly addresses: readonly SocketAddress[];
}

export class LinkNetwork implements AsyncDisposable {
  readonly #deps: LinkNetworkDeps;
  readonly #config: LinkNetworkConfig;
  readonly #server: Server;
  readonly #links = new Map<PeerId, Link>();
  readonly #all = new Set<Link>();
  readonly #dialling = new Map<string, Promise<Link>>();
  readonly #handler: LinkHandler;
  readonly #sweep: NodeJS.Timeout;
  /** Connections that came in and are not links yet, by remote address and port. */
  readonly #pending = new Map<string, Socket>();
  #closed = false;

  private constructor(deps: LinkNetworkDeps, config: LinkNetworkConfig, server: Server) {
    this.#deps = deps;
    this.#config = config;
    this.#server = server;
    this.#handler = this.#forgetting(deps.handler);
    server.on('connection', (socket: Socket) => this.#onConnection(socket));
    server.on('secureConnection', (socket) => void this.#accept(socket));
    server.on('tlsClientError', (error, socket) => {
      deps.log.debug({ err: error }, 'a connection to the data port failed');
      socket.destroy();
    });
    this.#sweep = setInterval(() => this.#sweepLinks(), Math.min(5000, config.silenceTimeoutMs / 3));
    this.#sweep.unref();
  }

  /**
   * Listens; closed by `close`.
   * @throws {DockyardError} ERR_SWARM_LISTEN
   */
  static async open(deps: LinkNetworkDeps, config: LinkNetworkConfig): Promise<LinkNetwork> {
    const certificate = await createLinkCertificate();
    const handshakeTimeout = config.connectTimeoutMs;
    const server = createServer({
      ...certificate,
      minVersion: 'TLSv1.3',
      ciphers: CIPHERS,
      noDelay: true,
      handshakeTimeout,
    });
    try {
      server.listen(config.listen.port, config.listen.host);
      await once(server, 'listening');
    } catch (cause) {
      const { host, port } = config.listen;
      throw swarmError('ERR_SWARM_LISTEN', `the data port cannot listen on ${host}:${port}`, { cause });
    }
    return new LinkNetwork(deps, config, server);
  }

  /** The port that is listened on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get(peerId: PeerId): Link | undefined {
    return this.#links.get(peerId);
  }

  links(): readonly Link[] {
    return [...this.#all];
  }

  /**
   * The link to a peer, dialled if there is none. Requests for one peer share one dial.
   * @throws {DockyardError} ERR_LINK_FAILED, ERR_LINK_REFUSED
   */
  async connect(target: LinkTarget, options: { signal?: AbortSignal | undefined } = {}): Promise<Link> {
    options.signal?.throwIfAborted();
    if (this.#closed) throw swarmError('ERR_LINK_FAILED', 'this node is shutting down');
    const held = target.peerId === undefined ? undefined : this.#links.get(target.peerId);
    if (held !== undefined && !held.isClosed) return held;
    const key = target.peerId ?? target.addresses.map((address) => `${address.host}:${address.port}`).join();
    let dial = this.#dialling.get(key);
    if (dial === undefined) {
      dial = this.#dialAny(target).finally(() => this.#dialling.delete(key));
      this.#dialling.set(key, dial);
    }
    return await waitFor(dial, options.signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweep);
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#pending.values()) socket.destroy();
    for (const link of this.#all) link.close();
    await Promise.allSettled(this.#dialling.values());
    for (const link of this.#all) link.close();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #dialAny(target: LinkTarget): Promise<Link> {
    if (target.peerId !== undefined && this.#deps.isBanned(target.peerId)) {
      throw swarmError('ERR_LINK_REFUSED', `peer ${target.peerId} is banned for a time`);
    }
    const failures: Error[] = [];
    for (const address of target.addresses) {
      try {
        return await this.#dial(address, target.peerId);
      } catch (thrown) {
        failures.push(asError(thrown));
      }
    }
    const name = target.peerId ?? 'at the given address';
    throw swarmError(
      'ERR_LINK_FAILED',
      `peer ${name} could not be reached at any of ${target.addresses.length} addresses`,
      {
        cause: failures.length === 1 ? failures[0] : new AggregateError(failures),
      },
    );
  }

  async #dial(address: SocketAddress, expected: PeerId | undefined): Promise<Link> {
    const { host, port } = address;
    const socket = LinkSocket.dialled({
      host,
      port,
      minVersion: 'TLSv1.3',
      ciphers: CIPHERS,
      rejectUnauthorized: false,
    });
    socket.tls.setNoDelay(true);
    socket.tls.on('error', (error) => this.#deps.log.debug({ err: error }, 'a connection to a peer broke'));
    const timeout = AbortSignal.timeout(this.#config.connectTimeoutMs);
    try {
      await once(socket.tls, 'secureConnect', { signal: timeout });
      return await this.#handshake(socket, 'dialler', expected, timeout);
    } catch (thrown) {
      socket.tls.destroy();
      const cause = asError(thrown);
      if (!isAbortError(cause)) throw cause;
      throw swarmError('ERR_LINK_FAILED', `no link within ${this.#config.connectTimeoutMs} ms`, { cause });
    }
  }

  /** Counted from its first byte on, so that one who never begins with TLS is bounded as well. */
  #onConnection(socket: Socket): void {
    socket.on('error', (error) => this.#deps.log.debug({ err: error }, 'a connection to the data port broke'));
    if (this.#closed || this.#pending.size >= this.#config.maxPendingHandshakes) {
      socket.destroy();
      return;
    }
    const key = nameOf(socket);
    this.#pending.set(key, socket);
    socket.once('close', () => this.#pending.delete(key));
  }

  async #accept(socket: TLSSocket): Promise<void> {
    const { connectTimeoutMs } = this.#config;
    const key = nameOf(socket);
    socket.on('error', (error) => this.#deps.log.debug({ err: error }, 'a connection to the data port broke'));
    try {
      await this.#handshake(LinkSocket.accepted(socket), 'listener', undefined, AbortSignal.timeout(connectTimeoutMs));
      this.#pending.delete(key);
    } catch (thrown) {
      this.#deps.log.warn(
        { err: asError(thrown), address: socket.remoteAddress },
        'a connection to the data port was refused',
      );
      // This side's hello is still sent, so that the other can tell its operator what does not fit.
      socket.setTimeout(connectTimeoutMs, () => socket.destroy());
      socket.destroySoon();
    }
  }

  async #handshake(
    socket: LinkSocket,
    role: LinkRole,
    expected: PeerId | undefined,
    signal: AbortSignal,
  ): Promise<Link> {
    const { handshake, isBanned, clock } = this.#deps;
    socket.tls.write(encodeFrame(FRAME.hello, makeHello(handshake, socket.tls, role)));
    const hello = await socket.readHello(signal);
    const peerId = checkHello(handshake, socket.tls, role === 'dialler' ? 'listener' : 'dialler', hello);
    if (expected !== undefined && peerId !== expected) {
      throw swarmError('ERR_LINK_REFUSED', `peer ${peerId} answered where ${expected} was expected`);
    }
    if (isBanned(peerId)) throw swarmError('ERR_LINK_REFUSED', `peer ${peerId} is banned for a time`);
    if (this.#closed) throw swarmError('ERR_LINK_FAILED', 'this node is shutting down');
    if (socket.tls.destroyed) throw swarmError('ERR_LINK_FAILED', `peer ${peerId} closed the connection`);
    const link = new Link(socket, peerId, this.#handler, () => clock.nowMs());
    this.#makeRoom(peerId);
    this.#all.add(link);
    this.#links.set(peerId, link);
    link.start();
    return link;
  }

  #forgetting(handler: LinkHandler): LinkHandler {
    return {
      onRequest: (link, method, message) => handler.onRequest(link, method, message),
      onChannelFrame: (link, type, payload) => handler.onChannelFrame(link, type, payload),
      onChunk: (link, channel, piece, offset, length) => handler.onChunk(link, channel, piece, offset, length),
      onChunkEnd: (link, channel, piece, offset, length) => handler.onChunkEnd(link, channel, piece, offset, length),
      onDrain: (link) => handler.onDrain(link),
      onClose: (link) => {
        this.#all.delete(link);
        if (this.#links.get(link.peerId) === link) this.#links.delete(link.peerId);
        handler.onClose(link);
      },
    };
  }

  #makeRoom(peerId: PeerId): void {
    const ofPeer = [...this.#all].filter((link) => link.peerId === peerId);
    for (const surplus of ofPeer.slice(0, Math.max(0, ofPeer.length + 1 - MAX_LINKS_OF_PEER))) surplus.close();
    while (this.#all.size >= this.#config.maxLinks) {
      const oldest = [...this.#all].reduce((a, b) => (a.lastUsedAtMs <= b.lastUsedAtMs ? a : b));
      oldest.close();
    }
  }

  #sweepLinks(): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const link of this.#all) {
      const { silenceTimeoutMs, idleTimeoutMs } = this.#config;
      // One who is not listened to cannot be heard; whether it lives shows in what it reads.
      const silentMs = link.isPaused ? 0 : nowMs - link.lastHeardAtMs;
      if (silentMs > silenceTimeoutMs) link.close(swarmError('ERR_LINK_TIMEOUT', `peer ${link.peerId} fell silent`));
      else if (link.stuckMs(nowMs) > silenceTimeoutMs) {
        link.close(swarmError('ERR_LINK_TIMEOUT', `peer ${link.peerId} does not read what it asked for`));
      } else if (nowMs - link.lastUsedAtMs > idleTimeoutMs) link.close();
      else if (silentMs > silenceTimeoutMs / 3) link.ping();
    }
  }
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

/** Waits for shared work; giving up ends only the wait. */
async function waitFor<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(asError(signal.reason));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
