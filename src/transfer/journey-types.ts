/** What a journey is for, and what it works with. */
import type { Logger } from 'pino';
import type { BlobStore } from '../content/blob-store.ts';
import type { BufferPool } from '../content/buffer-pool.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { LinkIdentity } from '../swarm/link/handshake.ts';
import type { ExchangeHub } from './exchange-hub.ts';
import type { HolderSearch } from './holder-search.ts';
import type { RecentPieces } from './local-pieces.ts';
import type { OriginBlobs } from './origin-feed.ts';
import type { Peers } from './peers.ts';
import type { RateLimit } from './rate-limit.ts';
import type { TransferMetrics } from './transfer-metrics.ts';

/** Collaborators of every journey of a node. */
export interface JourneyDeps {
  readonly memory: BufferPool;
  readonly hub: ExchangeHub;
  readonly store: BlobStore;
  readonly recent: RecentPieces;
  readonly peers: Peers;
  readonly search: HolderSearch;
  readonly origin: OriginBlobs;
  readonly identity: LinkIdentity;
  readonly downloadRate: RateLimit;
  readonly metrics: TransferMetrics;
  readonly clock: { nowMs(): number };
  readonly random: () => number;
  readonly log: Logger;
  /** The journey is over and this node holds the blob. */
  readonly onComplete: (digest: Digest) => void;
}

/** What a journey is for. */
export interface JourneyPurpose {
  readonly digest: Digest;
  readonly repository: Repository;
  /** From a manifest; undefined when unknown. */
  readonly sizeBytes: number | undefined;
}

/** How a journey ends. */
export type JourneyEnd = 'complete' | 'absent' | 'failed' | 'stopped';

/** The scheduler's name for the origin; holders have names above it. */
export const ORIGIN_KEY = 0;
