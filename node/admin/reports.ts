/**
 * What a node tells operators about itself: the JSON of the admin server, and what the commands `status`, `peers`,
 * `blobs`, `verify`, `gc`, `webhooks` and `doctor` read. Bytes, milliseconds, and milliseconds since the epoch throughout.
 */
import type { FollowerReport } from '../../src/replication/follower.ts';
import type { CollectionEvent } from '../../src/seed/removal.ts';
import type { ScrubReport } from '../../src/seed/scrubber.ts';
import type { PullReport as JourneyReport } from '../../src/transfer/pull-report.ts';

/** Whether a check went well; `warn` works but should be looked at. */
export type CheckState = 'ok' | 'warn' | 'fail';

/** One finding of the doctor. */
export interface CheckReport {
  readonly name: string;
  readonly state: CheckState;
  /** What was seen. */
  readonly seen: string;
  /** What to do; absent when all is well. */
  readonly remedy?: string | undefined;
}

/** Answer of `/readyz`. */
export interface ReadinessReport {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ready: boolean; readonly seen: string }[];
}

/** The way of one blob to this node: where its bytes came from, and what failures cost. */
export interface PullReport {
  readonly digest: string;
  /** `docker.io/library/alpine`, of the client that asked first. */
  readonly repository: string;
  readonly startedAtMs: number;
  readonly endedAtMs?: number | undefined;
  readonly outcome: JourneyReport['outcome'];
  /** `undefined` until a source has told it. */
  readonly sizeBytes?: number | undefined;
  /** What was here already. */
  readonly localBytes: number;
  readonly peerBytes: number;
  readonly originBytes: number;
  /** Time spent waiting for holders that stalled, lied or went away. */
  readonly lostMs: number;
  readonly holderCount: number;
  readonly error?: string | undefined;
}

/** A blob on its way. */
export interface TransferReport extends PullReport {
  readonly heldPieces: number;
  readonly pieceCount: number;
}

/** A node of the swarm as this one sees it. */
export interface PeerReport {
  readonly peerId: string;
  readonly isSelf: boolean;
  /** Where its data plane listens. */
  readonly addresses: readonly string[];
  readonly topology: string;
}

/** A blob that is held, in whole or in part. */
export interface BlobReport {
  readonly digest: string;
  readonly state: 'complete' | 'partial';
  readonly sizeBytes: number;
  readonly heldBytes: number;
  readonly pinned: boolean;
  readonly lastUsedAtMs?: number | undefined;
}

/** What `verify` found of one blob, and how far it has come. */
export interface VerifyReport {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly state: 'good' | 'damaged' | 'missing';
}

/** What `gc` removes, one thing to a line. */
export type CollectionReport = CollectionEvent;

/** What is about to be preheated. */
export interface PreheatPlanReport {
  readonly kind: 'plan';
  readonly image: string;
  readonly digest: string;
  readonly manifestCount: number;
  readonly blobCount: number;
  readonly sizeBytes: number;
  readonly nodeCount: number;
}

/** How preheating goes at one node. */
export interface PreheatNodeReport {
  readonly kind: 'node';
  readonly peerId: string;
  /** Of its data plane; empty when it tells none. */
  readonly address: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly heldBlobs: number;
  readonly heldBytes: number;
  /** Why it failed. */
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

/** What `preheat` tells, one thing to a line. */
export type PreheatReport = PreheatPlanReport | PreheatNodeReport;

/** How a blob comes by its torrent, one state to a line. */
export interface TorrentReport {
  readonly digest: string;
  readonly state: 'fetching' | 'held';
  readonly sizeBytes: number;
  readonly heldBytes: number;
  readonly peerCount: number;
}

/** A webhook endpoint, and how deliveries to it go. */
export interface WebhookReport {
  readonly name: string;
  /** Without a query, which may hold a secret. */
  readonly url: string;
  readonly disabled: boolean;
  readonly pendingCount: number;
  readonly deadLetterCount: number;
  readonly failuresInARow: number;
  readonly lastFailure?: string | undefined;
  readonly lastFailureAtMs?: number | undefined;
  readonly lastDeliveryAtMs?: number | undefined;
}

/** An event that was given up. */
export interface DeadLetterReport {
  readonly endpoint: string;
  readonly number: number;
  readonly reason: string;
  readonly givenUpAtMs: number;
  /** As it was sent. */
  readonly event: {
    readonly id?: string;
    readonly action?: string;
    readonly target?: { readonly repository?: string; readonly tag?: string; readonly digest?: string };
  };
}

/** Another seed, and how it goes with following its changes. */
export type ReplicationReport = FollowerReport;

/** Answer of `/status`. */
export interface StatusReport {
  readonly version: string;
  readonly pid: number;
  readonly startedAtMs: number;
  readonly dataDirectory: string;
  readonly addresses: {
    readonly facade: string;
    readonly admin: string;
    readonly swarm?: string | undefined;
    readonly data?: string | undefined;
  };
  readonly upstreams: readonly { readonly name: string; readonly url: string; readonly isDefault: boolean }[];
  readonly store: {
    readonly blobCount: number;
    readonly blobBytes: number;
    readonly partialCount: number;
    readonly partialBytes: number;
    readonly maxSizeBytes: number | 'Infinity';
    readonly freeDiskBytes: number;
  };
  readonly swarm: {
    readonly enabled: boolean;
    readonly hasKey: boolean;
    readonly peerId?: string | undefined;
    /** Other nodes thought alive. */
    readonly peerCount: number;
  };
  /** Of a seed: what the search for damage found. */
  readonly scrub?: ScrubReport | undefined;
  /** Of a seed: the others whose images it keeps as well. */
  readonly replication?: readonly ReplicationReport[] | undefined;
  readonly transfers: readonly TransferReport[];
}
