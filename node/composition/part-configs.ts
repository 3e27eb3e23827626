/** From the operator's configuration to what each part is told. Pure; what an operator cannot set is named here. */
import { join } from 'node:path';
import type { ContentConfig } from '../../src/content/open-content.ts';
import type { FacadeConfig } from '../../src/registry/facade.ts';
import type { UploadExpiryConfig } from '../../src/seed/upload-expiry.ts';
import type { CollectionTimerConfig } from '../../src/seed/collection-timer.ts';
import type { CollectorConfig } from '../../src/seed/collector.ts';
import type { ScrubberConfig } from '../../src/seed/scrubber.ts';
import type { MinimumCopiesConfig } from '../../src/seed/minimum-copies.ts';
import { MAX_WAIT_MS } from '../../src/replication/change-page.ts';
import type { ReplicationConfig } from '../../src/replication/replication.ts';
import type { SeedRegistryConfig } from '../../src/seed/seed-registry.ts';
import { DEFAULT_FACADE_SERVER_CONFIG, type FacadeServerConfig } from '../../src/registry/facade-server.ts';
import type { LinkNetworkConfig } from '../../src/swarm/link/link-network.ts';
import type { TorrentEngineConfig } from '../../src/torrent/torrent-engine.ts';
import { TORRENT_ENGINE_DEFAULTS } from '../../src/torrent/torrent-engine.ts';
import type { TorrentLibraryConfig } from '../../src/torrent/torrent-library.ts';
import type { SwarmConfig } from '../../src/swarm/swarm.ts';
import { MANIFEST_DEFAULTS, type ManifestConfig } from '../../src/transfer/manifest-ports.ts';
import type { TransferConfig } from '../../src/transfer/transfer-config.ts';
import { formatHostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';

/** A seed takes pushes as well. */
export type NodeRole = 'node' | 'seed';

/** What a client has to send within `push.bodyTimeout`. */
const BODY_PROGRESS_BYTES = 64 * 1024;

/** Tags whose last answer is kept: a few hundred bytes each. */
const MAX_TAGS = 100_000;

/** Bounds of the data plane that nobody needed to set so far. */
const LINK_LIMITS = {
  maxLinks: 1024,
  maxPendingHandshakes: 256,
  connectTimeoutMs: 2_000,
  idleTimeoutMs: 60_000,
  silenceTimeoutMs: 15_000,
} as const;

/** The file of this node's key pair, below the data folder. */
export function identityPath(config: NodeConfig): string {
  return join(config.data, 'identity.key');
}

/** What the content store is told. */
export function contentConfig(config: NodeConfig, role: NodeRole = 'node'): ContentConfig {
  const { maxSizeBytes, minFreeDiskBytes, maxManifestsBytes } = config.store;
  return {
    directory: config.data,
    maxSizeBytes,
    minFreeDiskBytes,
    maxManifestBytes: maxManifestsBytes,
    maxTags: MAX_TAGS,
    // What was pushed is kept whatever the cache may take.
    pinnedIsBeside: role === 'seed',
  };
}

/** What the data plane is told of its sockets. A node outside of any swarm listens where nobody can reach it. */
export function linkConfig(config: NodeConfig): LinkNetworkConfig {
  const listen = config.swarm.enabled ? config.swarm.data : { host: '127.0.0.1', port: 0 };
  return { ...LINK_LIMITS, listen };
}

/** What the swarm is told. @param dataPort where the data plane listens */
export function swarmConfig(config: NodeConfig, dataPort: number): SwarmConfig {
  const { listen, announce, bootstrap, mdns, topology, open, dht, tracker } = config.swarm;
  return {
    listen,
    announce: announce === undefined ? undefined : { host: announce, port: 0 },
    bootstrap,
    mdns,
    topology: topology ?? '',
    dataPort,
    allowOpenNetwork: open,
    dht,
    trackers: tracker,
  };
}

/** What the transfer layer is told. */
export function transferConfig(config: NodeConfig): TransferConfig {
  const { transfer } = config;
  return {
    stallTimeoutMs: transfer.stallTimeoutMs,
    askTimeoutMs: transfer.askTimeoutMs,
    inlineMaxBytes: transfer.inlineMaxBytes,
    maxHolders: transfer.maxHolders,
    maxOriginReaders: transfer.maxOriginReaders,
    maxWindowBytes: transfer.maxWindowBytes,
    recentPiecesBytes: transfer.memoryBudgetBytes,
    uploadSlots: transfer.uploadSlots,
    uploadQueuePieces: transfer.uploadQueue,
    ...transferRates(config),
    banMs: transfer.banTimeMs,
    lingerMs: transfer.lingerMs,
  };
}

/** Limits on bytes per second in the transfer layer's form, in which 0 is no limit. */
export function transferRates(
  config: NodeConfig,
): Pick<TransferConfig, 'uploadRateBytesPerSecond' | 'downloadRateBytesPerSecond'> {
  const { uploadRateBytesPerSecond, downloadRateBytesPerSecond } = config.transfer;
  const finite = (rate: number): number => (rate === Infinity ? 0 : rate);
  return {
    uploadRateBytesPerSecond: finite(uploadRateBytesPerSecond),
    downloadRateBytesPerSecond: finite(downloadRateBytesPerSecond),
  };
}

/** What the torrent engine is told. */
export function torrentEngineConfig(config: NodeConfig): TorrentEngineConfig {
  const { listen, maxPeers, pex, lsd, dht, dhtBootstrap, encryption } = config.torrent;
  const { maxConnections, peerPatienceMs } = TORRENT_ENGINE_DEFAULTS;
  return {
    ...listen,
    ...torrentRates(config),
    maxPeersPerTorrent: maxPeers,
    maxConnections: Math.max(maxConnections, maxPeers),
    peerPatienceMs,
    pex,
    lsd,
    dht,
    dhtBootstrap: dhtBootstrap.map(formatHostPort),
    encryption,
  };
}

/** Limits of torrents in bytes per second, in the engine's form, in which 0 is no limit. */
export function torrentRates(
  config: NodeConfig,
): Pick<TorrentEngineConfig, 'uploadBytesPerSecond' | 'downloadBytesPerSecond'> {
  const { uploadRateBytesPerSecond, downloadRateBytesPerSecond } = config.torrent;
  const finite = (rate: number): number => (rate === Infinity ? 0 : rate);
  return {
    uploadBytesPerSecond: finite(uploadRateBytesPerSecond),
    downloadBytesPerSecond: finite(downloadRateBytesPerSecond),
  };
}

/** What is told to whoever makes and shares torrents. */
export function torrentLibraryConfig(config: NodeConfig, folder: string): TorrentLibraryConfig {
  const { maxTorrents, private: isPrivate } = config.torrent;
  return { folder, maxTorrents, isPrivate, trackers: config.swarm.tracker };
}

/** What the manifest service is told; the time to live is read at every use, so that a reload takes effect. */
export function manifestConfig(current: () => NodeConfig): ManifestConfig {
  return {
    ...MANIFEST_DEFAULTS,
    get tagTtlMs(): number {
      return current().tags.ttlMs;
    },
  };
}

/** What the registry of a seed is told. */
export function seedRegistryConfig(config: NodeConfig): SeedRegistryConfig {
  const { names, immutableTags, delete: allowDelete } = config.push;
  return { names, immutableTags, allowDelete, graceMs: config.gc.graceMs };
}

/** What is told to whoever collects the garbage of a seed. */
export function collectorConfig(config: NodeConfig): CollectorConfig {
  const { keepTags, keepNewest, keepPushedWithinMs, keepPulledWithinMs } = config.retention;
  const { graceMs, untagged } = config.gc;
  return { graceMs, untagged, retention: { keepTags, keepNewest, keepPushedWithinMs, keepPulledWithinMs } };
}

/** How many copies of images are kept. */
export function minimumCopiesConfig({ copies }: NodeConfig): MinimumCopiesConfig {
  return { rules: copies.minimum, intervalMs: copies.everyMs };
}

/** When garbage is collected unasked. */
export function collectionTimerConfig(config: NodeConfig): CollectionTimerConfig {
  return { intervalMs: config.gc.everyMs };
}

/** How other seeds are followed. They are asked to wait for less than it takes to give them up. */
export function replicationConfig({ replication, upstreams }: NodeConfig): ReplicationConfig {
  const { from, keepDeletionsMs } = replication;
  const patience = upstreams.filter(({ name }) => from.includes(name)).map(({ stallTimeoutMs }) => stallTimeoutMs);
  return { waitMs: Math.floor(Math.min(MAX_WAIT_MS, ...patience) / 2), keepDeletionsMs };
}

/** When, and how fast, a seed looks for damage. */
export function scrubberConfig(config: NodeConfig): ScrubberConfig {
  const { everyMs, rateBytesPerSecond, content } = config.scrub;
  return { everyMs, rateBytesPerSecond, content };
}

/** What is told to whoever clears away abandoned uploads. */
export function uploadExpiryConfig(config: NodeConfig): UploadExpiryConfig {
  return { ttlMs: config.push.uploadTtlMs };
}

/** What the facade is told. */
export function facadeConfig(config: NodeConfig): FacadeConfig {
  return {
    lingerTimeoutMs: DEFAULT_FACADE_SERVER_CONFIG.lingerTimeoutMs,
    pace: { timeoutMs: config.push.bodyTimeoutMs, progressBytes: BODY_PROGRESS_BYTES },
  };
}

/** What the facade's server is told. A push may take hours; its pace is watched instead of its length. */
export function facadeServerConfig(config: NodeConfig, role: NodeRole = 'node'): FacadeServerConfig {
  const { maxConnections, headersTimeoutMs } = config.http;
  return {
    ...DEFAULT_FACADE_SERVER_CONFIG,
    maxConnections,
    headersTimeoutMs,
    requestTimeoutMs:
      role === 'seed' || config.push.to.length > 0
        ? 0
        : Math.max(headersTimeoutMs, DEFAULT_FACADE_SERVER_CONFIG.requestTimeoutMs),
  };
}
