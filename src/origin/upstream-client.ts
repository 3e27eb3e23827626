/**
 * Requests to one upstream: with authentication, redirects, repetition and a circuit breaker. Knows HTTP and the rules of
 * safe conduct, but not what the answers mean.
 */
import type { Logger } from 'pino';
import type { DockyardError } from '../oci/error.ts';
import { isFailureStatus, statusFailure } from './answer-reading.ts';
import { parseAuthChallenges } from './auth-challenge.ts';
import { Authenticator } from './authenticator.ts';
import { CircuitBreaker, type BreakerPass } from './circuit-breaker.ts';
import type { Clock } from './clock.ts';
import { ConnectionSlots } from './connection-slots.ts';
import type { CredentialSource } from './credentials.ts';
import { Dispatchers, type ResolveHost } from './dispatchers.ts';
import { originError } from './errors.ts';
import { exchange, type HttpAnswer } from './http-exchange.ts';
import type { OriginMetrics, RequestKind } from './origin-metrics.ts';
import { outcomeOf, outcomeOfError } from './request-outcome.ts';
import { followRedirects } from './redirects.ts';
import { RestPeriods } from './rest-periods.ts';
import { backoffDelayMs, RETRY_AFTER_CAP_MS } from './retry-delay.ts';
import { SharedUse } from './shared-use.ts';
import { TokenClient } from './token-client.ts';
import { TransientFailure } from './transport-failure.ts';
import { TroubleLog } from './trouble-log.ts';
import type { ProxyConfig, UpstreamConfig } from './upstream-config.ts';

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

/** A request that is sent once: its body comes from a client and cannot be sent again. */
export interface PassingRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly path: string;
  /** In place of `path`, where the upstream said to go on. */
  readonly at?: URL | undefined;
  readonly scope: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array> | undefined;
  /** Why the body ended early, if it did: that is no fault of the upstream. */
  readonly sourceFailure?: (() => Error | undefined) | undefined;
  /** How long the upstream may take to answer, or to take the next bytes. */
  readonly timeoutMs: number;
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
  readonly #breaker: CircuitBreaker;
  readonly #rests: RestPeriods;
  readonly #trouble: TroubleLog;
  /** Why the upstream could not be reached the last time: told to those who are refused while the breaker is open. */
  #lastUnreachable: DockyardError | undefined;
  readonly #shortSlots = new ConnectionSlots(MAX_SHORT_REQUESTS);
  readonly #base: string;
  readonly #use = new SharedUse();
  #closing: Promise<void> | undefined;
  /** It was asked and wants no credentials. */
  #isOpenToAll = false;

  /** @throws {DockyardError} ERR_UPSTREAM_INVALID */
  constructor(deps: UpstreamClientDeps, config: { upstream: UpstreamConfig; proxy: ProxyConfig }) {
    this.config = config.upstream;
    this.blobSlots = new ConnectionSlots(config.upstream.maxConnections);
    this.#deps = deps;
    this.#dispatchers = new Dispatchers(deps, config);
    const tokens = new TokenClient({ ...deps, dispatchers: this.#dispatchers }, config.upstream);
    this.#authenticator = new Authenticator({ ...deps, tokens }, config.upstream);
    this.#breaker = new CircuitBreaker(deps);
    this.#rests = new RestPeriods(deps);
    this.#trouble = new TroubleLog(deps, config.upstream.name);
    this.#base = `${config.upstream.url.replace(/\/+$/, '')}/v2/`;
    deps.metrics.breaker(this.config.name, false);
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
    let breakerPass: BreakerPass | undefined;
    try {
      breakerPass = this.#passWhileUp('push');
      const first = await this.#authorizationToPass(request, options);
      const answer = await this.#passOnce(request, first, options);
      // With a body there is no second try; then the question before it has told what is asked for.
      if (answer.status !== 401 || request.body !== undefined) return answer;
      const second = await this.#answerTo(answer, request.scope, first, options);
      if (second === undefined) return answer;
      await answer.discard();
      return await this.#passOnce(request, second, options);
    } catch (error) {
      const failure = request.sourceFailure?.();
      if (failure !== undefined) throw failure;
      if (breakerPass !== undefined) this.#noteFailure(breakerPass, request.path, error);
      throw error;
    } finally {
      releaseUse();
    }
  }

  /** Before a body is spent, the upstream is asked what it asks for, unless that is known. */
  async #authorizationToPass(
    request: PassingRequest,
    options: { signal?: AbortSignal | undefined },
  ): Promise<string | undefined> {
    const known = await this.#authenticator.authorization(request.scope, options);
    if (known !== undefined || request.body === undefined || this.#isOpenToAll) return known;
    const { progressTimeoutMs: timeoutMs } = this.config;
    const probe = {
      ...request,
      method: 'GET',
      path: '',
      at: undefined,
      headers: {},
      body: undefined,
      timeoutMs,
    } as const;
    const answer = await this.#passOnce(probe, undefined, options);
    await answer.discard();
    this.#isOpenToAll = answer.status === 200;
    return answer.status === 401 ? await this.#answerTo(answer, request.scope, undefined, options) : undefined;
  }

  async #passOnce(
    request: PassingRequest,
    authorization: string | undefined,
    options: { signal?: AbortSignal | undefined },
  ): Promise<HttpAnswer> {
    const url = request.at ?? new URL(this.#base + request.path);
    if (!this.#isOwn(url)) throw this.#leadsElsewhere(url);
    const headers = authorization === undefined ? request.headers : { ...request.headers, authorization };
    const { method, body, timeoutMs: progressTimeoutMs } = request;
    const { name: upstream, connectTimeoutMs } = this.config;
    const sent = { method, url, headers, upstream, connectTimeoutMs, progressTimeoutMs };
    const answer = await exchange(
      this.#dispatchers.trusted(url),
      body === undefined ? sent : { ...sent, body },
      options,
    );
    this.#reached();
    return answer;
  }

  async #answerTo(
    answer: HttpAnswer,
    scope: string,
    refused: string | undefined,
    options: { signal?: AbortSignal | undefined },
  ): Promise<string | undefined> {
    const challenges = parseAuthChallenges(answer.headerValues('www-authenticate'));
    return await this.#authenticator.answerTo(challenges, scope, refused, options);
  }

  async #repeat<Result>(
    request: UpstreamRequest,
    read: (answer: HttpAnswer) => Promise<Result>,
    options: { signal?: AbortSignal | undefined },
  ): Promise<Result> {
    for (let attempt = 0; ; attempt += 1) {
      const pass = this.#passWhileUp(request.kind);
      try {
        return await this.#attempt(pass, request, read, options);
      } catch (error) {
        if (!(error instanceof TransientFailure)) {
          this.#trouble.failed(error);
          throw error;
        }
        const delayMs = this.#delayBeforeNext(error, attempt, request);
        if (delayMs === undefined || this.#breaker.isOpen) this.#trouble.failed(error.final);
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
      if (retryAfterMs !== undefined) this.#rests.begin(request.kind, retryAfterMs, final);
      return undefined;
    }
    return Math.max(retryAfterMs ?? 0, backoffDelayMs(attempt, this.#deps.random()));
  }

  /** @throws {DockyardError} while the upstream is not to be asked */
  #passWhileUp(kind: RequestKind): BreakerPass {
    const rest = this.#rests.current(kind);
    if (rest !== undefined) throw rest;
    const pass = this.#breaker.tryPass();
    if (pass !== undefined) return pass;
    const cause = this.#lastUnreachable;
    const what = cause?.message ?? `upstream '${this.config.name}' cannot be reached`;
    throw originError('ERR_ORIGIN_UNAVAILABLE', `${what}; it is tried again every few seconds`, {
      cause,
      details: cause?.details ?? { upstream: this.config.name },
    });
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
      this.#noteFailure(pass, request.path, error);
      throw error;
    }
  }

  #reached(): void {
    this.#breaker.succeeded();
    this.#trouble.answered();
    this.#deps.metrics.breaker(this.config.name, this.#breaker.isOpen);
  }

  #noteFailure(pass: BreakerPass, path: string, error: unknown): void {
    if (!(error instanceof TransientFailure) || !error.isUnreachable) return;
    this.#breaker.failed(pass, error.final.code === 'ERR_ORIGIN_STALLED' ? path : undefined);
    this.#lastUnreachable = error.final;
    this.#deps.metrics.breaker(this.config.name, this.#breaker.isOpen);
  }

  async #authorized(request: UpstreamRequest, options: { signal?: AbortSignal | undefined }): Promise<HttpAnswer> {
    const first = await this.#authenticator.authorization(request.scope, options);
    const answer = await this.#send(request, first, options);
    if (answer.status !== 401 || !this.#isOwn(answer.url)) return answer;
    const second = await this.#answerTo(answer, request.scope, first, options);
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
    return await followRedirects(new URL(this.#base + request.path), this.config, async (url, isOwn) => {
      const headers = isOwn && authorization !== undefined ? { ...common, authorization } : common;
      if (!isOwn) return await exchange(await this.#dispatchers.guarded(url), { ...sent, url, headers }, options);
      const answer = await exchange(this.#dispatchers.trusted(url), { ...sent, url, headers }, options);
      this.#reached();
      return answer;
    });
  }

  /** Bodies and credentials of pushes are given to the upstream alone. */
  #leadsElsewhere(url: URL): DockyardError {
    const { name } = this.config;
    const details = { upstream: name, host: url.host };
    return originError('ERR_ORIGIN_UNSAFE_TARGET', `upstream '${name}' wants a push to go on at ${url.host}`, {
      details,
    });
  }

  #isOwn(url: URL): boolean {
    return url.origin === new URL(this.config.url).origin;
  }
}
