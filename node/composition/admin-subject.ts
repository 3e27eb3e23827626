/** What the admin server shows of this node, gathered from its parts. */
import type { PieceGeometry } from '../../src/content/geometry.ts';
import type { OpenedContent } from '../../src/content/open-content.ts';
import { notifyError } from '../../src/notify/errors.ts';
import type { Notifier } from '../../src/notify/notifier.ts';
import type { Scrubber } from '../../src/seed/scrubber.ts';
import type { MemberDirectory } from '../../src/swarm/member.ts';
import type { AdminSubject, ReadinessCheck, SwarmProbe, TransferReports, UpstreamProbe } from '../admin/ports.ts';
import type { BlobReport, DeadLetterReport, PeerReport, StatusReport, WebhookReport } from '../admin/reports.ts';
import { formatHostPort, reachable, type HostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import { examineNode } from '../doctor/node-checks.ts';
import { callHttp } from '../http-call.ts';
import { showCount, showSize } from '../text-forms.ts';

/** The parts that are asked. */
export interface AdminSubjectDeps {
  readonly version: string;
  readonly config: () => NodeConfig;
  readonly content: OpenedContent;
  readonly members: MemberDirectory;
  /** Of a seed. */
  readonly notifier: Notifier | undefined;
  readonly transfers: TransferReports;
  readonly upstreams: UpstreamProbe;
  readonly swarmProbe: SwarmProbe;
  /** Of a seed. */
  readonly collect: AdminSubject['collect'];
  /** Of a seed. */
  readonly scrubber: Pick<Scrubber, 'report'> | undefined;
  readonly preheat: AdminSubject['preheat'];
  readonly facade: HostPort;
  readonly swarm: { readonly swarm: HostPort; readonly data: HostPort } | undefined;
  /** Known only once the admin server listens. */
  readonly admin: () => HostPort;
}

/** Puts the subject together. */
export function createAdminSubject(deps: AdminSubjectDeps): AdminSubject {
  const startedAtMs = Date.now();
  return {
    status: () => readStatus(deps, startedAtMs),
    peers: () => listPeers(deps.members),
    blobs: () => listBlobs(deps.content),
    webhooks: () => (deps.notifier?.report() ?? []).map(withoutQuery),
    deadLetters: () => listDeadLetters(deps.notifier),
    retryWebhook: (name) => retryWebhook(deps.notifier, name),
    transfers: deps.transfers,
    readiness: readinessChecks(deps),
    verify: (options) => deps.content.blobs.verify(options),
    collect: deps.collect,
    preheat: deps.preheat,
    examine: (options) => examineNode(deps, options),
  };
}

async function readStatus(deps: AdminSubjectDeps, startedAtMs: number): Promise<StatusReport> {
  const { content, members, scrubber, swarm, transfers } = deps;
  const config = deps.config();
  const { maxSizeBytes, ...usage } = await content.blobs.usage();
  return {
    version: deps.version,
    pid: process.pid,
    startedAtMs,
    dataDirectory: config.data,
    addresses: {
      facade: formatHostPort(deps.facade),
      admin: formatHostPort(deps.admin()),
      swarm: swarm === undefined ? undefined : formatHostPort(swarm.swarm),
      data: swarm === undefined ? undefined : formatHostPort(swarm.data),
    },
    upstreams: config.upstreams.map(({ name, url }, index) => ({ name, url, isDefault: index === 0 })),
    // JSON has no Infinity.
    store: { ...usage, maxSizeBytes: maxSizeBytes === Infinity ? 'Infinity' : maxSizeBytes },
    swarm: {
      enabled: config.swarm.enabled,
      hasKey: config.swarm.key !== undefined,
      peerId: members.self.peerId,
      peerCount: members.alive().length - 1,
    },
    scrub: scrubber?.report(),
    transfers: transfers.reports().running,
  };
}

function listPeers(members: MemberDirectory): PeerReport[] {
  return members.alive().map(({ peerId, dataAddresses, topology }) => ({
    peerId,
    isSelf: peerId === members.self.peerId,
    addresses: dataAddresses.map(formatHostPort),
    topology,
  }));
}

function* listBlobs({ blobs }: OpenedContent): Generator<BlobReport> {
  for (const { digest, sizeBytes, pinned, lastUsedAtMs } of blobs.list()) {
    yield { digest, state: 'complete', sizeBytes, heldBytes: sizeBytes, pinned, lastUsedAtMs };
  }
  for (const { digest, geometry, heldCount } of blobs.listPartials()) {
    yield {
      digest,
      state: 'partial',
      sizeBytes: geometry.sizeBytes,
      heldBytes: heldBytes(geometry, heldCount),
      pinned: false,
    };
  }
}

/** Receivers are often told who calls by a token in the query. */
function withoutQuery(report: WebhookReport): WebhookReport {
  const url = new URL(report.url);
  return url.search === '' ? report : { ...report, url: `${url.origin}${url.pathname}?…` };
}

async function* listDeadLetters(notifier: Notifier | undefined): AsyncGenerator<DeadLetterReport> {
  if (notifier === undefined) return;
  for await (const letter of notifier.deadLetters()) {
    yield { ...letter, event: letter.event as DeadLetterReport['event'] };
  }
}

async function retryWebhook(notifier: Notifier | undefined, name: string): Promise<{ retried: number }> {
  if (notifier === undefined) throw notifyError('ERR_WEBHOOK_UNKNOWN', 'this node is no seed and has no webhooks');
  return { retried: await notifier.retryDeadLetters(name) };
}

/** Bytes of some pieces; the last piece is taken for one of ordinary size unless all are held. */
function heldBytes(geometry: PieceGeometry, heldCount: number): number {
  return heldCount >= geometry.pieceCount ? geometry.sizeBytes : heldCount * geometry.pieceSizeBytes;
}

function readinessChecks({ content, members, facade }: AdminSubjectDeps): ReadinessCheck[] {
  return [
    {
      name: 'store',
      check: async () => {
        const { blobCount, freeDiskBytes } = await content.blobs.usage();
        return `${showCount(blobCount, 'blob')}, ${showSize(freeDiskBytes)} free on disk`;
      },
    },
    {
      name: 'registry',
      check: async ({ signal }) => {
        const answer = await callHttp(`http://${formatHostPort(reachable(facade))}/v2/`, { signal });
        answer.resume();
        if (answer.statusCode !== 200) throw new Error(`/v2/ answered ${answer.statusCode}`);
        return `listening on ${formatHostPort(facade)}`;
      },
    },
    // A node without others serves from its upstreams, so this says what is and never "not ready".
    { name: 'swarm', check: () => Promise.resolve(showCount(members.alive().length - 1, 'other node')) },
  ];
}
