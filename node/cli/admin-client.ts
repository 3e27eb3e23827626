/** Asks a running node through its admin server. */
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { asError, isAbortError, isDockyardError } from '../../src/oci/error.ts';
import type { PreheatRequest, TorrentRequest } from '../admin/ports.ts';
import type {
  BlobReport,
  CheckReport,
  CollectionReport,
  DeadLetterReport,
  PeerReport,
  PreheatReport,
  PullReport,
  ReadinessReport,
  ReplicationReport,
  StatusReport,
  TorrentReport,
  VerifyReport,
  WebhookReport,
} from '../admin/reports.ts';
import { nodeError } from '../errors.ts';
import { callHttp, connectionReason, readBody } from '../http-call.ts';

/** How long a node may take to answer a question about itself. */
const ANSWER_TIMEOUT_MS = 10_000;

/** The doctor's checks and verification take as long as they take; this bounds the head of the answer. */
const ACTION_TIMEOUT_MS = 60_000;

/** A client of one node. All methods throw {DockyardError} ERR_ADMIN_UNREACHABLE, ERR_ADMIN_ANSWER. */
export class AdminClient {
  readonly url: string;

  /** @param url the admin address with scheme, without a slash at the end */
  constructor(url: string) {
    this.url = url;
  }

  async status(): Promise<StatusReport> {
    return (await this.#json('GET', '/status')) as StatusReport;
  }

  async peers(): Promise<readonly PeerReport[]> {
    return (await this.#json('GET', '/peers')) as readonly PeerReport[];
  }

  async pulls(): Promise<readonly PullReport[]> {
    return (await this.#json('GET', '/pulls')) as readonly PullReport[];
  }

  async webhooks(): Promise<readonly WebhookReport[]> {
    return (await this.#json('GET', '/webhooks')) as readonly WebhookReport[];
  }

  async replication(): Promise<readonly ReplicationReport[]> {
    return (await this.#json('GET', '/replication')) as readonly ReplicationReport[];
  }

  async compareSeeds(): Promise<{ readonly seeds: readonly string[] }> {
    return (await this.#json('POST', '/replication/compare')) as { seeds: string[] };
  }

  deadLetters(): AsyncIterable<DeadLetterReport> {
    return this.#lines<DeadLetterReport>('GET', '/webhooks/dead-letters');
  }

  async retryWebhook(name: string): Promise<{ readonly retried: number }> {
    return (await this.#json('POST', `/webhooks/${encodeURIComponent(name)}/retry`)) as { retried: number };
  }

  async readiness(): Promise<ReadinessReport> {
    return (await this.#json('GET', '/readyz', [503])) as ReadinessReport;
  }

  async examine(): Promise<readonly CheckReport[]> {
    return (await this.#json('POST', '/doctor')) as readonly CheckReport[];
  }

  blobs(): AsyncIterable<BlobReport> {
    return this.#lines<BlobReport>('GET', '/blobs');
  }

  /** Blobs as they are verified. */
  verify(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<VerifyReport> {
    return this.#lines<VerifyReport>('POST', '/verify', options);
  }

  /** Garbage as it is removed from a seed, or would be. */
  collect(options: { dryRun: boolean; signal?: AbortSignal | undefined }): AsyncIterable<CollectionReport> {
    return this.#lines<CollectionReport>('POST', options.dryRun ? '/gc?dry-run=true' : '/gc', options);
  }

  /** How it goes at each node. */
  preheat({ image, nodes, platforms }: PreheatRequest): AsyncIterable<PreheatReport> {
    const query = new URLSearchParams({ image });
    for (const node of nodes) query.append('node', node);
    for (const platform of platforms) query.append('platform', platform);
    return this.#lines<PreheatReport>('POST', `/preheat?${query.toString()}`);
  }

  /** Has the node fetch a blob by its torrent, as long as this is read. */
  takeTorrent(
    { torrent, peers }: TorrentRequest,
    options: { signal?: AbortSignal | undefined },
  ): AsyncIterable<TorrentReport> {
    const query = new URLSearchParams();
    for (const peer of peers) query.append('peer', peer);
    return this.#lines<TorrentReport>('POST', `/torrents?${query.toString()}`, { ...options, body: torrent });
  }

  async #json(method: string, path: string, alsoFine: readonly number[] = []): Promise<unknown> {
    const signal = AbortSignal.timeout(method === 'POST' ? ACTION_TIMEOUT_MS : ANSWER_TIMEOUT_MS);
    const answer = await this.#call(method, path, signal, alsoFine);
    let text: string;
    try {
      text = await readBody(answer, signal);
    } catch (error) {
      throw this.#brokenOff(error);
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.#notOurs(error);
    }
  }

  async *#lines<Line>(
    method: string,
    path: string,
    options: { signal?: AbortSignal | undefined; body?: Uint8Array } = {},
  ): AsyncGenerator<Line> {
    const answer = await this.#call(method, path, options.signal, [], options.body);
    // readline does not pass on errors of its input.
    let broken: unknown;
    answer.on('error', (error) => {
      broken = error;
    });
    for await (const text of createInterface({ input: answer })) yield this.#line(text) as Line;
    options.signal?.throwIfAborted();
    if (broken !== undefined) throw this.#brokenOff(broken);
  }

  #line(text: string): unknown {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw this.#notOurs(error);
    }
    const message = messageOf(value);
    if (message !== undefined) throw nodeError('ERR_ADMIN_ANSWER', `the node failed: ${message}`);
    return value;
  }

  async #call(
    method: string,
    path: string,
    signal: AbortSignal | undefined,
    alsoFine: readonly number[],
    body?: Uint8Array,
  ): Promise<IncomingMessage> {
    let answer: IncomingMessage;
    try {
      answer = await callHttp(this.url + path, { method, body, signal });
    } catch (error) {
      if (isAbortError(error) && asError(error).name === 'AbortError') throw error;
      const reason = connectionReason(error);
      throw nodeError('ERR_ADMIN_UNREACHABLE', `no node answers at ${this.url}: ${reason}`, { cause: error });
    }
    const status = answer.statusCode ?? 0;
    if ((status >= 200 && status < 300) || alsoFine.includes(status)) return answer;
    const message = messageOf(parseOrUndefined(await readBody(answer, signal).catch(() => '')));
    throw nodeError(
      'ERR_ADMIN_ANSWER',
      `the node at ${this.url} answered ${status}${message === undefined ? '' : `: ${message}`}`,
    );
  }

  #brokenOff(cause: unknown): Error {
    const reason = connectionReason(cause);
    return nodeError('ERR_ADMIN_ANSWER', `the node at ${this.url} broke off its answer: ${reason}`, { cause });
  }

  #notOurs(error: unknown): Error {
    if (isDockyardError(error)) return error;
    return nodeError('ERR_ADMIN_ANSWER', `what answers at ${this.url} is not the admin server of a node`, {
      cause: error,
    });
  }
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('error' in value)) return undefined;
  const { error } = value;
  return typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : undefined;
}
