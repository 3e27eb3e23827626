/** What the admin server and the doctor need of the node's parts. The composition root supplies them. */
import type {
  BlobReport,
  CheckReport,
  CollectionReport,
  DeadLetterReport,
  PeerReport,
  PreheatReport,
  PullReport,
  ReplicationReport,
  StatusReport,
  TorrentReport,
  TransferReport,
  VerifyReport,
  WebhookReport,
} from './reports.ts';

/** Journeys of blobs: those under way, and the last that ended, newest last. Answers come from memory. */
export interface TransferReports {
  reports(): { readonly running: readonly TransferReport[]; readonly ended: readonly PullReport[] };
}

/** One thing that must hold before clients are sent here. */
export interface ReadinessCheck {
  readonly name: string;
  /** Resolves to what was seen. @throws what is not ready */
  check(options: { signal: AbortSignal }): Promise<string>;
}

/** What is to be preheated, and where. */
export interface PreheatRequest {
  /** As a client of this node names it. */
  readonly image: string;
  /** All nodes when empty. */
  readonly nodes: readonly string[];
  /** Of an index; all when empty. */
  readonly platforms: readonly string[];
}

/** A torrent of a blob, which is to be fetched. */
export interface TorrentRequest {
  /** The torrent file. */
  readonly torrent: Uint8Array;
  /** To be tried beside those that trackers tell: `HOST:PORT`. */
  readonly peers: readonly string[];
}

/** Everything the admin server shows or sets going. */
export interface AdminSubject {
  status(): Promise<StatusReport>;
  peers(): readonly PeerReport[];
  blobs(): Iterable<BlobReport>;
  /** Who is told of pushes and deletes; nobody on a node that is no seed. */
  webhooks(): readonly WebhookReport[];
  /** Events that were given up, oldest first. */
  deadLetters(): AsyncIterable<DeadLetterReport>;
  /** Delivers once more what was given up for an endpoint. @throws {DockyardError} ERR_WEBHOOK_UNKNOWN */
  retryWebhook(name: string): Promise<{ readonly retried: number }>;
  readonly transfers: TransferReports;
  readonly readiness: readonly ReadinessCheck[];
  /** Hashes again all that is held. */
  verify(options: { signal: AbortSignal }): AsyncIterable<VerifyReport>;
  /** Has nodes fetch an image before it is needed. */
  preheat(request: PreheatRequest, options: { signal: AbortSignal }): AsyncIterable<PreheatReport>;
  /** Fetches a blob by its torrent; absent where torrents are switched off. */
  readonly takeTorrent?:
    ((request: TorrentRequest, options: { signal: AbortSignal }) => AsyncIterable<TorrentReport>) | undefined;
  /** Collects garbage, or says what it would remove; absent where there is no storage of record. */
  readonly collect?:
    ((options: { dryRun: boolean; signal: AbortSignal }) => AsyncIterable<CollectionReport>) | undefined;
  /** The seeds that this one follows; absent on a node that is no seed. */
  readonly replication?:
    | {
        report(): readonly ReplicationReport[];
        /** Compares all that they have with what is here. */
        compare(): void;
      }
    | undefined;
  /** The checks of the doctor that only the node itself can make. */
  examine(options: { signal: AbortSignal }): Promise<readonly CheckReport[]>;
}

/** An upstream as the doctor met it. */
export interface UpstreamFinding {
  readonly name: string;
  readonly state: CheckReport['state'];
  readonly seen: string;
  readonly remedy?: string | undefined;
  /** How far the clock of the upstream is ahead of ours, where its answer tells. */
  readonly clockAheadMs?: number | undefined;
}

/** Asks upstreams for a sign of life, with their credentials. Never throws but for an abort. */
export interface UpstreamProbe {
  probe(options: { signal: AbortSignal }): Promise<readonly UpstreamFinding[]>;
}

/** A test blob that went to a peer and came back. */
export interface SwarmProbeResult {
  readonly peerId: string;
  readonly sizeBytes: number;
  readonly durationMs: number;
  /** How far the clock of the peer is ahead of ours, where the exchange tells. */
  readonly clockAheadMs?: number | undefined;
}

/** Sends a test blob to a peer and gets it back through the data plane. */
export interface SwarmProbe {
  /** `undefined` when there is no other node. @throws {DockyardError} when the way there or back fails */
  probe(options: { signal: AbortSignal }): Promise<SwarmProbeResult | undefined>;
}
