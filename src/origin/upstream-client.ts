/**
 * Requests to one upstream: with authentication, redirects, repetition and a circuit breaker. Knows HTTP and the rules of
 * safe conduct, but not what the answers mean.
 */
import type { Logger } from 'pino';
import { isFailureStatus, statusFailure } from './answer-reading.ts';
import { parseAuthChallenges } from './auth-challenge.ts';
import { Authenticator } from './authenticator.ts';
import type { BreakerPass } from './circuit-breaker.ts';
import type { Clock } from './clock.ts';
import { ConnectionSlots } from './connection-slots.ts';
import type { CredentialSource } from './credentials.ts';
import { Dispatchers, type ResolveHost } from './dispatchers.ts';
import { exchange, type HttpAnswer } from './http-exchange.ts';
import type { OriginMetrics, RequestKind } from './origin-metrics.ts';
import { outcomeOf, outcomeOfError } from './request-outcome.ts';
import { followRedirects } from './redirects.ts';
import { RequestPassing, type PassingRequest } from './request-passing.ts';
import { backoffDelayMs, RETRY_AFTER_CAP_MS } from './retry-delay.ts';
import { SharedUse } from './shared-use.ts';
import { TokenClient } from './token-client.ts';
import { TransientFailure } from './transport-failure.ts';
import { UpstreamAddress } from './upstream-address.ts';
import type { ProxyConfig, UpstreamConfig } from './upstream-config.ts';
import { UpstreamHealth } from './upstream-health.ts';

export interface UpstreamClientDeps {
  readonly log: Logger;
  readonly metrics: OriginMetrics;
  readonly clock: Clock;
  /** A number from 0 to, and not including, 1. */
  readonly random: () => number;
  readonly credentials: CredentialSource;
  readonly resolveHost: ResolveHost;
}

/** A request in the registry's terms. */
export interface UpstreamRequest {
  readonly kind: RequestKind;
  readonly method: 'GET' | 'HEAD';
  /** What stands behind `/v2/`, query included. */
  readonly path: string;
  /** What a token must permit: `repository:library/alpine:pull`. */
  readonly scope: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Give up after this long without a byte, and do not try again: for callers that have another answer at hand. */
  readonly patienceMs?: number | undefined;
}

/** Requests other than for blobs that run at once; further ones wait. */
export const MAX_SHORT_REQUESTS = 32;
/** A request that timed out is repeated no more often: the client waits for the whole of each timeout. */
const MAX_RETRIES_OF_TIMEOUT = 2;

export class UpstreamClient {
  readonly config: UpstreamConfig;
  /** Slots for blobs, whose bodies outlive `perform`: acquired by whoever reads them. */
  readonly blobSlots: ConnectionSlots;
  readonly #deps: UpstreamClientDeps;
  readonly #dispatchers: Dispatchers;
  readonly #authenticator: Authenticator;
  readonly #address: UpstreamAddress;
  readonly #health: UpstreamHealth;
  readonly #passing: RequestPassing;
  readonly #shortSlots = new ConnectionSlots(MAX_SHORT_REQUESTS);
  readonly #use = new SharedUse();
  #closing: Promise<void> | undefined;

  /** @throws {DockyardError} ERR_UPSTREAM_INVALID */
  constructor(deps: UpstreamClientDeps, config: { upstream: UpstreamConfig; proxy: ProxyConfig }) {
    this.config = config.upstream;
    this.blobSlots = new ConnectionSlots(config.upstream.maxConnections);
    this.#deps = deps;
    this.#dispatchers = new Dispatchers(deps, config);
    const tokens = new TokenClient({ ...deps, dispatchers: this.#dispatchers }, config.upstream);
    this.#authenticator = new Authenticator({ ...deps, tokens }, config.upstream);
    this.#address = new UpstreamAddress(config.upstream.url);
    this.#health = new UpstreamHealth({ ...deps, call: async () => await this.#call() }, config.upstream.name);
    const parts = { dispatchers: this.#dispatchers, authenticator: this.#authenticator };
    this.#passing = new RequestPassing({ ...parts, health: this.#health, address: this.#address }, config.upstream);
  }

  /** Keeps the connections open until the answer is called, even if the client is retired meanwhile. */
  hold(): () => void {
    return this.#use.hold();
  }

  /**
   * Closes the connections as soon as nobody uses them.
   * @param onClosed called once they are closed
   */
  retire(onClosed: () => void): void {
    this.#use.endWhenUnused(() => {
      this.#closing = this.#close(onClosed);
    });
  }

  /** Resolves when a retired client has closed its connections, or at once if it still has users. */
  async closed(): Promise<void> {
    await this.#closing;
  }

  /** False from when the upstream could not be reached until it answers again: whoever has another to ask asks that one first. */
  get isReachable(): boolean {
    return this.#health.isReachable;
  }

  async #call(): Promise<void> {
    const releaseUse = this.hold();
    try {
      const url = this.#address.of('');
      const { name: upstream, connectTimeoutMs, progressTimeoutMs } = this.config;
      const sent = { method: 'GET', url, headers: {}, upstream, connectTimeoutMs, progressTimeoutMs } as const;
      const answer = await exchange(this.#dispatchers.trusted(url), sent);
      this.#health.reached();
      await answer.discard();
    } catch (err) {
      this.#deps.log.debug({ err, upstream: this.config.name }, 'upstream still cannot be reached');
    } finally {
      releaseUse();
    }
  }

  async #close(onClosed: () => void): Promise<void> {
    try {
      await this.#dispatchers.close();
    } catch (err) {
      this.#deps.log.warn({ err, upstream: this.config.name }, 'connections to an upstream could not be closed');
    }
    onClosed();
  }

  /**
   * Sends a request until it is answered, and reads the answer; a failure while reading repeats the whole.
   * @param read is given answers that are not 401, 403, 408, 429 or 5xx, and reads or discards each
   * @throws {DockyardError} of ORIGIN_ERRORS; the signal's reason when it is aborted
   */
  async perform<Result>(
    request: UpstreamRequest,
    read: (answer: HttpAnswer) => Promise<Result>,
    options: { signal?: AbortSignal | undefined },
  ): Promise<Result> {
    const releaseUse = this.hold();
    try {
      // Blobs have slots of their own, so that their long bodies never keep a manifest waiting.
      const releaseSlot = request.kind === 'blob' ? undefined : await this.#shortSlots.acquire(options);
      try {
        return await this.#repeat(request, read, options);
      } finally {
        releaseSlot?.();
      }
    } finally {
      releaseUse();
    }
  }

  /**
   * Sends a request once, and answers whatever comes, 401 included; redirects are not followed. Whoever gets the answer reads
   * its body to the end, or discards it.
   * @throws {TransientFailure} when the upstream cannot be reached; {DockyardError} while it is known not to be
   */
  async pass(request: PassingRequest, options: { signal?: AbortSignal | undefined }): Promise<HttpAnswer> {
    const releaseUse = this.hold();
    try {
      return await this.#passing.pass(request, options);
    } finally {
      releaseUse();
    }
  }

  async #repeat<Result>(
    request: UpstreamRequest,
    read: (answer: HttpAnswer) => Promise<Result>,
    options: { signal?: AbortSignal | undefined },
  ): Promise<Result> {
    for (let attempt = 0; ; attempt += 1) {
      const pass = this.#health.passWhileUp(request.kind);
      try {
        return await this.#attempt(pass, request, read, options);
      } catch (error) {
        if (!(error instanceof TransientFailure)) {
          this.#health.requestFailed(error);
          throw error;
        }
        const delayMs = this.#delayBeforeNext(error, attempt, request);
        if (delayMs === undefined || this.#health.isDown) this.#health.requestFailed(error.final);
        if (delayMs === undefined) throw error.final;
        this.#deps.metrics.retried(this.config.name, request.kind);
        this.#deps.log.debug(
          { upstream: this.config.name, err: error.final, delayMs },
          'request to an upstream is repeated',
        );
        await this.#deps.clock.sleep(delayMs, options);
      }
    }
  }

  /** How long to wait before the next attempt; `undefined` to give up. */
  #delayBeforeNext(failure: TransientFailure, attempt: number, request: UpstreamRequest): number | undefined {
    const { retryAfterMs, final } = failure;
    const maxRetries = Math.min(this.config.maxRetries, failure.isTimeout ? MAX_RETRIES_OF_TIMEOUT : Infinity);
    const isLast = request.patienceMs !== undefined || attempt >= maxRetries;
    if (isLast || (retryAfterMs !== undefined && retryAfterMs > RETRY_AFTER_CAP_MS)) {
      if (retryAfterMs !== undefined) this.#health.rest(request.kind, retryAfterMs, final);
      return undefined;
    }
    return Math.max(retryAfterMs ?? 0, backoffDelayMs(attempt, this.#deps.random()));
  }

  async #attempt<Result>(
    pass: BreakerPass,
    request: UpstreamRequest,
    read: (answer: HttpAnswer) => Promise<Result>,
    options: { signal?: AbortSignal | undefined },
  ): Promise<Result> {
    const { metrics, clock } = this.#deps;
    const { name } = this.config;
    try {
      const answer = await this.#authorized(request, options);
      const { status } = answer;
      if (isFailureStatus(status)) throw await statusFailure(answer, name, clock);
      const result = await read(answer);
      metrics.request(name, request.kind, outcomeOf(status));
      return result;
    } catch (error) {
      metrics.request(name, request.kind, outcomeOfError(error));
      this.#health.attemptFailed(pass, request.path, error);
      throw error;
    }
  }

  async #authorized(request: UpstreamRequest, options: { signal?: AbortSignal | undefined }): Promise<HttpAnswer> {
    const first = await this.#authenticator.authorization(request.scope, options);
    const answer = await this.#send(request, first, options);
    if (answer.status !== 401 || !this.#address.isOwn(answer.url)) return answer;
    const challenges = parseAuthChallenges(answer.headerValues('www-authenticate'));
    const second = await this.#authenticator.answerTo(challenges, request.scope, first, options);
    if (second === undefined) return answer;
    await answer.discard();
    this.#deps.metrics.request(this.config.name, request.kind, 'challenged');
    return await this.#send(request, second, options);
  }

  async #send(
    request: UpstreamRequest,
    authorization: string | undefined,
    options: { signal?: AbortSignal | undefined },
  ): Promise<HttpAnswer> {
    const { method, headers: common, patienceMs } = request;
    const { name: upstream, connectTimeoutMs, progressTimeoutMs } = this.config;
    const sent = { method, upstream, connectTimeoutMs, progressTimeoutMs, patienceMs };
    return await followRedirects(this.#address.of(request.path), this.config, async (url, isOwn) => {
      const headers = isOwn && authorization !== undefined ? { ...common, authorization } : common;
      if (!isOwn) return await exchange(await this.#dispatchers.guarded(url), { ...sent, url, headers }, options);
      const answer = await exchange(this.#dispatchers.trusted(url), { ...sent, url, headers }, options);
      this.#health.reached();
      return answer;
    });
  }
}
