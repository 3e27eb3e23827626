/**
 * The links of this node: a listener, a dialler, and for each peer in use one link, or two: one that each side dialled. Two
 * are a pair, in which the pieces that a side fetches come over the link that it dialled, since that side of a connection
 * receives cheaper; all else goes over whichever link it was begun on.
 *
 * Bounds: handshakes that are not finished, the time for one, the number of links; links that nobody uses are closed
 * after a while, the one unused for longest first when room is needed.
 */
import { once } from 'node:events';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import { abortable } from '../../oci/abortable.ts';
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
  /** Accepted links whose peer was dialled back, or could not be. */
  readonly #dialledBack = new WeakSet<Link>();
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

  /** When anything last came from a peer, by the injected clock; undefined when there is no link with it. */
  heardAtMs(peerId: PeerId): number | undefined {
    const link = this.#links.get(peerId);
    if (link === undefined) return undefined;
    return Math.max(link.lastHeardAtMs, link.partner?.lastHeardAtMs ?? 0);
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
    return await abortable(this.#dialOnce(key, target), options.signal);
  }

  /**
   * Much is about to come from the peer of a link that it dialled: dials it back once, so that the pieces come over a link of
   * this side's. Where that fails they come over the link that there is.
   */
  dialBack(link: Link, addresses: readonly SocketAddress[]): void {
    if (link.role === 'dialler' || this.#closed || this.#dialledBack.has(link)) return;
    this.#dialledBack.add(link);
    const { peerId } = link;
    if ([...this.#all].some((other) => other.peerId === peerId && other.role === 'dialler')) return;
    const onFailed = (thrown: unknown): void => {
      this.#deps.log.debug({ peer: peerId, err: asError(thrown) }, 'a peer could not be dialled back');
    };
    void this.#dialOnce(`back to ${peerId}`, { peerId, addresses }).then((back) => {
      // What it was dialled for is over.
      if (link.isClosed) back.close();
    }, onFailed);
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

  #dialOnce(key: string, target: LinkTarget): Promise<Link> {
    let dial = this.#dialling.get(key);
    if (dial === undefined) {
      dial = this.#dialAny(target).finally(() => this.#dialling.delete(key));
      this.#dialling.set(key, dial);
    }
    return dial;
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
    const link = new Link(socket, { peerId, role }, this.#handler, () => clock.nowMs());
    this.#makeRoom(link);
    this.#pair(link);
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
      onDrain: (link) => {
        handler.onDrain(link);
        if (link.partner !== undefined) handler.onDrain(link.partner);
      },
      onClose: (link) => {
        this.#onClose(link);
        handler.onClose(link);
      },
    };
  }

  /** A second link that the same side dialled takes the place of the first, which that side has given up. */
  #makeRoom(link: Link): void {
    for (const other of [...this.#all]) if (other.peerId === link.peerId && other.role === link.role) other.close();
    while (this.#all.size >= this.#config.maxLinks) {
      const oldest = [...this.#all].reduce((a, b) => (a.lastUsedAtMs <= b.lastUsedAtMs ? a : b));
      oldest.close();
    }
  }

  #pair(link: Link): void {
    for (const other of this.#all) if (other.peerId === link.peerId) Link.pair(link, other);
  }

  /** The other link of a pair was used for what a closed one began: that is over as well, unless nothing was under way. */
  #onClose(link: Link): void {
    this.#all.delete(link);
    const { partner } = link;
    if (this.#links.get(link.peerId) === link) this.#links.delete(link.peerId);
    if (partner === undefined || partner.isClosed) return;
    this.#dialledBack.delete(partner);
    if (link.error === undefined) this.#links.set(link.peerId, partner);
    else {
      const message = `the other link with peer ${link.peerId} broke`;
      partner.close(swarmError('ERR_LINK_FAILED', message, { cause: link.error }));
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
