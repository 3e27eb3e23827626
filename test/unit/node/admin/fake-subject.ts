/** A node made up for tests of the admin server and the commands. */
import { notifyError } from '../../../../src/notify/errors.ts';
import type { AdminSubject, PreheatRequest, ReadinessCheck } from '../../../../node/admin/ports.ts';
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
  TransferReport,
  VerifyReport,
  WebhookReport,
} from '../../../../node/admin/reports.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import type { RepositoryName, Tag } from '../../../../src/oci/name.ts';

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;

const pull: PullReport = {
  digest: digest('a'),
  repository: 'docker.io/library/alpine',
  startedAtMs: 1_000,
  endedAtMs: 3_500,
  outcome: 'complete',
  sizeBytes: 4096,
  localBytes: 0,
  peerBytes: 3072,
  originBytes: 1024,
  lostMs: 20,
  holderCount: 2,
};

/** Answers with fixed facts; verification waits for `goOn` after the first blob. */
export class FakeSubject implements AdminSubject {
  readonly readiness: ReadinessCheck[] = [{ name: 'store', check: () => Promise.resolve('fine') }];
  readonly heldBlobs: BlobReport[] = [
    {
      digest: digest('a'),
      state: 'complete',
      sizeBytes: 4096,
      heldBytes: 4096,
      pinned: false,
      lastUsedAtMs: 1_700_000_000_000,
    },
    { digest: digest('b'), state: 'partial', sizeBytes: 1000, heldBytes: 250, pinned: false },
  ];
  readonly running: TransferReport[] = [];
  damaged = new Set<string>();
  checks: CheckReport[] = [];
  failWith: Error | undefined;
  verified = 0;
  aborted = false;
  readonly #gate = Promise.withResolvers<void>();

  readonly transfers = { reports: () => ({ running: this.running, ended: [pull] }) };

  goOn(): void {
    this.#gate.resolve();
  }

  status(): Promise<StatusReport> {
    if (this.failWith !== undefined) return Promise.reject(this.failWith);
    return Promise.resolve({
      version: '1.2.3',
      pid: 42,
      startedAtMs: 0,
      dataDirectory: '/data',
      addresses: { facade: '127.0.0.1:5000', admin: '127.0.0.1:5001', swarm: '0.0.0.0:5002', data: '0.0.0.0:5003' },
      upstreams: [{ name: 'docker.io', url: 'https://registry-1.docker.io', isDefault: true }],
      store: {
        blobCount: 1,
        blobBytes: 4096,
        partialCount: 1,
        partialBytes: 250,
        maxSizeBytes: 'Infinity',
        freeDiskBytes: 1e9,
      },
      swarm: { enabled: true, hasKey: true, peerId: 'me', peerCount: 1 },
      replication: this.replication.report(),
      transfers: this.running,
    });
  }

  compared = 0;
  readonly replication: NonNullable<AdminSubject['replication']> = {
    report: (): ReplicationReport[] => [
      {
        seed: 'seed-b.lan',
        pendingCount: 3,
        failingCount: 1,
        oldestPendingAtMs: 1_000,
        failuresInARow: 0,
        lastFailure: 'nobody gives it',
        lastFailureAtMs: 2_000,
        lastAnswerAtMs: 3_000,
        hasCaughtUp: false,
      },
    ],
    compare: () => void (this.compared += 1),
  };

  peers(): PeerReport[] {
    return [
      { peerId: 'me', isSelf: true, addresses: ['10.0.0.1:5003'], topology: 'zone-a' },
      { peerId: 'other', isSelf: false, addresses: ['10.0.0.2:5003'], topology: '' },
    ];
  }

  blobs(): Iterable<BlobReport> {
    return this.heldBlobs;
  }

  readonly preheated: PreheatRequest[] = [];

  async *preheat(request: PreheatRequest): AsyncGenerator<PreheatReport> {
    this.preheated.push(request);
    if (this.failWith !== undefined) throw this.failWith;
    const plan = { digest: digest('a'), manifestCount: 1, blobCount: 2, sizeBytes: 4096, nodeCount: 2 };
    yield await Promise.resolve({ kind: 'plan', image: request.image, ...plan });
    const [good, bad] = [
      { peerId: 'me', address: '10.0.0.1:5003' },
      { peerId: 'other', address: '' },
    ];
    yield { kind: 'node', ...good, state: 'running', heldBlobs: 1, heldBytes: 1024 };
    yield { kind: 'node', ...good, state: 'done', heldBlobs: 2, heldBytes: 4096 };
    if (request.nodes.includes('good')) return;
    const why = { code: 'ERR_PREHEAT_NOT_KEPT', message: 'the store is full' };
    yield { kind: 'node', ...bad, state: 'failed', heldBlobs: 1, heldBytes: 1024, ...why };
  }

  readonly revived: string[] = [];

  webhooks(): WebhookReport[] {
    return [
      {
        name: 'ci',
        url: 'https://ci.example.com/hook',
        disabled: false,
        pendingCount: 3,
        deadLetterCount: 1,
        failuresInARow: 7,
        lastFailure: 'it answered 503',
        lastFailureAtMs: 1_700_000_000_000,
      },
    ];
  }

  async *deadLetters(): AsyncGenerator<DeadLetterReport> {
    const event = { id: 'event-1', action: 'push', target: { repository: 'team/app', tag: 'v1' } };
    yield await Promise.resolve({
      endpoint: 'ci',
      number: 1,
      reason: 'it answered 422',
      givenUpAtMs: 1_700_000_000_000,
      event,
    });
  }

  retryWebhook(name: string): Promise<{ retried: number }> {
    if (name !== 'ci')
      return Promise.reject(notifyError('ERR_WEBHOOK_UNKNOWN', `no webhook endpoint is called '${name}'`));
    this.revived.push(name);
    return Promise.resolve({ retried: 1 });
  }

  async *verify({ signal }: { signal: AbortSignal }): AsyncGenerator<VerifyReport> {
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => {
      this.aborted = true;
      aborted.resolve();
    });
    for (const { digest: verifiedDigest, sizeBytes } of this.heldBlobs) {
      yield { digest: verifiedDigest, sizeBytes, state: this.damaged.has(verifiedDigest) ? 'damaged' : 'good' };
      this.verified += 1;
      await Promise.race([this.#gate.promise, aborted.promise]);
      signal.throwIfAborted();
      if (this.failWith !== undefined) throw this.failWith;
    }
  }

  collect: AdminSubject['collect'] = ({ dryRun }) => this.#garbage(dryRun);

  /** What is collected: a tag alone in a dry run, so that tests can tell. */
  async *#garbage(dryRun: boolean): AsyncGenerator<CollectionReport> {
    const repository = 'team/app' as RepositoryName;
    yield { kind: 'tag', repository, tag: 'old' as Tag, digest: digest('c') as Digest };
    await Promise.resolve();
    if (this.failWith !== undefined) throw this.failWith;
    if (!dryRun) yield { kind: 'blob', digest: digest('d') as Digest, sizeBytes: 2048 };
  }

  examine(): Promise<readonly CheckReport[]> {
    return Promise.resolve(this.checks);
  }
}
