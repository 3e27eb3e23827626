/** Asks a running node through its admin server. */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { asError, isAbortError, isDockyardError } from '../../src/oci/error.ts';
import type {
  BlobReport,
  CheckReport,
  PeerReport,
  PullReport,
  ReadinessReport,
  StatusReport,
  VerifyReport,
} from '../admin/reports.ts';
import { nodeError } from '../errors.ts';

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

  async #json(method: string, path: string, alsoFine: readonly number[] = []): Promise<unknown> {
    const signal = AbortSignal.timeout(method === 'POST' ? ACTION_TIMEOUT_MS : ANSWER_TIMEOUT_MS);
    const response = await this.#fetch(method, path, signal, alsoFine);
    try {
      return await response.json();
    } catch (error) {
      throw this.#notOurs(error);
    }
  }

  async *#lines<Line>(
    method: string,
    path: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<Line> {
    const response = await this.#fetch(method, path, options.signal, []);
    if (response.body === null) return;
    const body = Readable.fromWeb(response.body);
    // readline does not pass on errors of its input.
    let broken: unknown;
    body.on('error', (error) => {
      broken = error;
    });
    for await (const text of createInterface({ input: body })) yield this.#line(text) as Line;
    options.signal?.throwIfAborted();
    if (broken !== undefined)
      throw nodeError('ERR_ADMIN_ANSWER', `the node at ${this.url} broke off its answer`, { cause: broken });
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

  async #fetch(
    method: string,
    path: string,
    signal: AbortSignal | undefined,
    alsoFine: readonly number[],
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.url + path, {
        method,
        redirect: 'error',
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (isAbortError(error) && asError(error).name === 'AbortError') throw error;
      throw nodeError('ERR_ADMIN_UNREACHABLE', `no node answers at ${this.url}: ${reasonOf(error)}`, { cause: error });
    }
    if (response.ok || alsoFine.includes(response.status)) return response;
    const message = messageOf(await response.json().catch(() => undefined));
    throw nodeError(
      'ERR_ADMIN_ANSWER',
      `the node at ${this.url} answered ${response.status}${message === undefined ? '' : `: ${message}`}`,
    );
  }

  #notOurs(error: unknown): Error {
    if (isDockyardError(error)) return error;
    return nodeError('ERR_ADMIN_ANSWER', `what answers at ${this.url} is not the admin server of a node`, {
      cause: error,
    });
  }
}

function reasonOf(error: unknown): string {
  const { cause, message, name } = asError(error);
  if (name === 'TimeoutError') return 'it takes too long';
  return cause instanceof Error && cause.message !== ''
    ? cause.message
    : ((cause as NodeJS.ErrnoException | undefined)?.code ?? message);
}

function messageOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('error' in value)) return undefined;
  const { error } = value;
  return typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : undefined;
}
