/**
 * The libp2p host of a node: TCP, the swarm key, noise, yamux, identify, ping and the DHT; who is connected, and streams
 * to others. It decides nothing: whom to speak to is for the membership.
 *
 * Only those who hold the swarm key get through a connection: without it not even the handshake of noise is readable.
 * Health of connections is for the membership too, so libp2p's own pings are off.
 */
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { identify, type Identify } from '@libp2p/identify';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { kadDHT, passthroughMapper, type KadDHT } from '@libp2p/kad-dht';
import { peerIdFromString } from '@libp2p/peer-id';
import { ping, type Ping } from '@libp2p/ping';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type Libp2pOptions } from 'libp2p';
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import { TimeLimit } from '../oci/time-limit.ts';
import { swarmError } from './errors.ts';
import { HOST_LIMITS } from './host-limits.ts';
import { NearbySearch } from './nearby-search.ts';
import type { Identity } from './identity.ts';
import type { PeerId, SocketAddress } from './member.ts';
import { formatSocketAddress, isLoopback } from './socket-address.ts';
import { addressOfMultiaddr, multiaddrOf } from './swarm-multiaddr.ts';
import type { SwarmKey } from './swarm-key.ts';

/** The protocol of the DHT: its own, so that a node never mixes with public networks. */
export const DHT_PROTOCOL = '/dockyard/kad/1.0.0';

export interface Libp2pHostDeps {
  readonly identity: Identity;
  /** Without one the network is open. */
  readonly swarmKey?: SwarmKey | undefined;
  readonly log: Logger;
}

export interface Libp2pHostConfig {
  /** Port 0 takes a free one. */
  readonly listen: SocketAddress;
  /** Where others reach this node; port 0 stands for the port listened on. Default: the addresses of the listener. */
  readonly announce?: SocketAddress | undefined;
  /** Look for others on the local network by multicast DNS. */
  readonly mdns: boolean;
  readonly dht: boolean;
  /** Listen beyond loopback without a key. */
  readonly allowOpenNetwork: boolean;
}

/** A type alias, because an interface has no index signature, which libp2p asks for. */
type HostServices = { identify: Identify; ping: Ping; dht?: KadDHT };

/** Numbers for an operator. */
export interface HostStats {
  readonly connections: number;
  readonly dhtPeers: number;
}

/** A running host. Whoever opens it closes it. */
export class Libp2pHost implements AsyncDisposable {
  readonly #libp2p: Libp2p<HostServices>;
  readonly #dht: KadDHT | undefined;
  readonly #listenPort: number;
  readonly #nearby: NearbySearch | undefined;

  private constructor(libp2p: Libp2p<HostServices>, listenPort: number, nearby: NearbySearch | undefined) {
    this.#libp2p = libp2p;
    this.#nearby = nearby;
    this.#dht = libp2p.services.dht;
    this.#listenPort = listenPort;
  }

  /** @throws {DockyardError} ERR_SWARM_OPEN, ERR_SWARM_LISTEN */
  static async open(deps: Libp2pHostDeps, config: Libp2pHostConfig): Promise<Libp2pHost> {
    const address = formatSocketAddress(config.listen);
    if (deps.swarmKey === undefined && !config.allowOpenNetwork && !isLoopback(config.listen.host)) {
      throw swarmError('ERR_SWARM_OPEN', `refusing to listen on ${address} without a swarm key: anyone could join`);
    }
    const nearby = config.mdns ? new NearbySearch(mdnsTag(deps.swarmKey)) : undefined;
    const libp2p = await startLibp2p(deps, config, nearby).catch((error: unknown) => {
      throw swarmError('ERR_SWARM_LISTEN', `cannot listen on ${address} for the swarm`, { cause: error });
    });
    // Every node can be dialled by the others, so each serves the DHT; by itself it would wait for a public address.
    await libp2p.services.dht?.setMode('server', { force: true });
    const listenPort = libp2p.getMultiaddrs().map(addressOfMultiaddr)[0]?.port ?? config.listen.port;
    return new Libp2pHost(libp2p, listenPort, nearby);
  }

  /** The port of the listener. */
  get listenPort(): number {
    return this.#listenPort;
  }

  /** `undefined` when it is switched off. */
  get dht(): KadDHT | undefined {
    return this.#dht;
  }

  stats(): HostStats {
    const table = this.#dht as { routingTable?: { size: number } } | undefined;
    return { connections: this.#libp2p.getConnections().length, dhtPeers: table?.routingTable?.size ?? 0 };
  }

  connectedPeers(): PeerId[] {
    return this.#libp2p.getPeers().map(String);
  }

  isConnected(peerId: PeerId): boolean {
    return this.#openConnection(peerId) !== undefined;
  }

  /** Addresses that connections are open to or from. */
  connectedAddresses(): SocketAddress[] {
    return this.#libp2p.getConnections().flatMap((connection) => addressOfMultiaddr(connection.remoteAddr) ?? []);
  }

  /** Connects to whoever listens there. @throws what libp2p throws; the signal's reason */
  async dialAddress(address: SocketAddress, options: { signal: AbortSignal }): Promise<PeerId> {
    const connection = await this.#libp2p.dial(multiaddrOf(address), options);
    return connection.remotePeer.toString();
  }

  /** A stream to a member, over a new connection if there is none. @throws what libp2p throws; the signal's reason */
  async openStream(
    target: { readonly peerId: PeerId; readonly addresses: readonly SocketAddress[] },
    protocol: string,
    options: { signal: AbortSignal },
  ): Promise<Stream> {
    const existing = this.#openConnection(target.peerId);
    const connection = existing ?? (await this.#dialMember(dialTargets(target), options.signal));
    return await connection.newStream(protocol, options);
  }

  /** One address after the other; only the last has all the time that is left. */
  async #dialMember(addresses: readonly Multiaddr[], signal: AbortSignal): Promise<Connection> {
    for (const address of addresses.slice(0, -1)) {
      const limit = new TimeLimit(HOST_LIMITS.otherAddressTimeout, signal);
      try {
        return await this.#libp2p.dial(address, { signal: limit.signal });
      } catch {
        signal.throwIfAborted();
      } finally {
        limit[Symbol.dispose]();
      }
    }
    return await this.#libp2p.dial(addresses.slice(-1), { signal });
  }

  /** Serves a protocol; `handler` deals with its own errors. */
  async handle(protocol: string, handler: (stream: Stream, peerId: PeerId) => void): Promise<void> {
    await this.#libp2p.handle(protocol, (stream, connection) => handler(stream, connection.remotePeer.toString()), {
      maxInboundStreams: HOST_LIMITS.maxStreamsPerProtocol,
      maxOutboundStreams: HOST_LIMITS.maxStreamsPerProtocol,
    });
  }

  /** Stops to serve a protocol. */
  async unhandle(protocol: string): Promise<void> {
    await this.#libp2p.unhandle(protocol);
  }

  /** Tells of every connection that opens; `outbound` when this node dialled. */
  onConnect(listener: (peerId: PeerId, direction: 'inbound' | 'outbound') => void): void {
    this.#libp2p.addEventListener('connection:open', ({ detail }) =>
      listener(detail.remotePeer.toString(), detail.direction),
    );
  }

  /** Tells when the last connection to a peer has closed. */
  onDisconnect(listener: (peerId: PeerId) => void): void {
    this.#libp2p.addEventListener('peer:disconnect', ({ detail }) => listener(detail.toString()));
  }

  /** Tells of nodes that multicast DNS or the DHT came upon. */
  onDiscover(listener: (peerId: PeerId, addresses: SocketAddress[]) => void): void {
    this.#libp2p.addEventListener('peer:discovery', ({ detail }) => {
      const addresses = detail.multiaddrs.flatMap((entry: Multiaddr) => addressOfMultiaddr(entry) ?? []);
      listener(detail.id.toString(), addresses);
    });
  }

  /** Asks the local network who is there, where that is switched on; `onDiscover` tells of the answers. */
  async searchNearby(): Promise<void> {
    await this.#nearby?.ask();
  }

  /** Drops all connections to a peer, without waiting for it: it is taken to be gone. */
  disconnect(peerId: PeerId, reason: string): void {
    for (const connection of this.#libp2p.getConnections(peerIdFromString(peerId))) connection.abort(new Error(reason));
  }

  /** Closes connections to a peer in good order, unless something is using them. */
  async release(peerId: PeerId, options: { signal: AbortSignal }): Promise<void> {
    for (const connection of this.#libp2p.getConnections(peerIdFromString(peerId))) {
      if (connection.streams.length > 0) continue;
      await connection.close(options).catch((error: unknown) => connection.abort(asError(error)));
    }
  }

  /** Closes all connections and stops listening. */
  async close(): Promise<void> {
    await this.#libp2p.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #openConnection(peerId: PeerId): Connection | undefined {
    return this.#libp2p.getConnections(peerIdFromString(peerId)).find((connection) => connection.status === 'open');
  }
}

function dialTargets(target: { readonly peerId: PeerId; readonly addresses: readonly SocketAddress[] }): Multiaddr[] {
  return target.addresses.map((address) => multiaddrOf(address, target.peerId));
}

async function startLibp2p(
  deps: Libp2pHostDeps,
  config: Libp2pHostConfig,
  nearby: NearbySearch | undefined,
): Promise<Libp2p<HostServices>> {
  const options: Libp2pOptions<HostServices> = {
    nodeInfo: { name: 'dockyard', userAgent: 'dockyard' },
    privateKey: deps.identity.privateKey,
    addresses: { listen: [multiaddrOf(config.listen).toString()], announceFilter: (found) => announced(found, config) },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { ...HOST_LIMITS.connectionManager },
    connectionMonitor: { enabled: false },
    peerDiscovery: nearby === undefined ? [] : [nearby.service()],
    services: { identify: identify(), ping: ping(), ...(config.dht ? { dht: dhtService() } : {}) },
  };
  if (deps.swarmKey !== undefined)
    options.connectionProtector = preSharedKey({ psk: Buffer.from(deps.swarmKey.toFileText()) });
  return await createLibp2p(options);
}

function dhtService(): ReturnType<typeof kadDHT> {
  return kadDHT({
    protocol: DHT_PROTOCOL,
    clientMode: false,
    // Members stand in private networks: without this their addresses are dropped.
    peerInfoMapper: passthroughMapper,
    allowQueryWithZeroPeers: true,
    ...HOST_LIMITS.dht,
  });
}

/** Swarms with different keys on one network do not see each other. A DNS-SD service name has at most 15 characters. */
function mdnsTag(swarmKey: SwarmKey | undefined): string {
  const name = swarmKey === undefined ? 'open' : swarmKey.deriveKey('mdns').toString('hex', 0, 4);
  return `_dockyard-${name.slice(0, 5)}._udp.local`;
}

function announced(found: Multiaddr[], config: Libp2pHostConfig): Multiaddr[] {
  if (config.announce === undefined) return found;
  const port =
    config.announce.port === 0 ? (found.map(addressOfMultiaddr)[0]?.port ?? config.listen.port) : config.announce.port;
  return port === 0 ? [] : [multiaddr(multiaddrOf({ host: config.announce.host, port }))];
}
