/** Every limit of the libp2p host, named in one place. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

export const HOST_LIMITS = {
  /** An address of a peer that has others: the next is to have its turn before a probe is over. */
  otherAddressTimeout: SECOND_MS,
  /** Connections that the membership lets stand; beyond, the least recently used are closed. */
  softMaxConnections: 96,
  /** Streams of one protocol on one connection, each way. */
  maxStreamsPerProtocol: 32,
  connectionManager: {
    /** Beyond, libp2p closes connections by itself. Far above what the membership lets stand. */
    maxConnections: 1_024,
    /** New connections a second from one address. libp2p's 5 refuses hosts behind one address, and tests on loopback. */
    inboundConnectionThreshold: 500,
    /** Inbound connections in their handshake at once: the swarm may start all at once. */
    maxIncomingPendingConnections: 256,
    /** Inbound handshakes; a stranger without the key holds a place for no longer. */
    inboundUpgradeTimeout: 5 * SECOND_MS,
    /** All addresses of a peer together. */
    dialTimeout: 5 * SECOND_MS,
    /** One address, handshake included, which takes its time where processors are short. See also `otherAddressTimeout`. */
    addressDialTimeout: 5 * SECOND_MS,
    maxPeerAddrsToDial: 8,
    maxParallelDials: 32,
    maxDialQueueLength: 256,
    /** The membership reconnects; libp2p would do so without knowing who is dead. */
    reconnectRetries: 0,
  },
  dht: {
    kBucketSize: 20,
    /** Peers asked at once in a query. */
    alpha: 6,
    disjointPaths: 2,
    maxInboundStreams: 32,
    maxOutboundStreams: 64,
    /** Records of holders that are not renewed vanish; DhtDiscovery renews its own well before. */
    reprovide: {
      validity: 60 * MINUTE_MS,
      threshold: 0,
      interval: 10 * MINUTE_MS,
      concurrency: 2,
      maxQueueSize: 1_024,
    },
  },
} as const;
