/**
 * Requests that are passed to an upstream for a client: sent once, since their bodies come from the client and cannot be sent again,
 * and to the upstream itself alone. What the upstream asks for is therefore learned before a body is spent.
 */
import { parseAuthChallenges } from './auth-challenge.ts';
import type { Authenticator } from './authenticator.ts';
import type { BreakerPass } from './circuit-breaker.ts';
import type { Dispatchers } from './dispatchers.ts';
import { originError } from './errors.ts';
import { exchange, type HttpAnswer } from './http-exchange.ts';
import type { UpstreamAddress } from './upstream-address.ts';
import type { UpstreamConfig } from './upstream-config.ts';
import type { UpstreamHealth } from './upstream-health.ts';

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

/** Collaborators of the passing of requests: those of the client of the same upstream. */
export interface RequestPassingDeps {
  readonly dispatchers: Dispatchers;
  readonly authenticator: Authenticator;
  readonly health: UpstreamHealth;
  readonly address: UpstreamAddress;
}

export class RequestPassing {
  readonly #deps: RequestPassingDeps;
  readonly #config: UpstreamConfig;
  /** It was asked and wants no credentials. */
  #isOpenToAll = false;

  constructor(deps: RequestPassingDeps, config: UpstreamConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * Sends a request once, and answers whatever comes, 401 included; redirects are not followed. Whoever gets the answer reads
   * its body to the end, or discards it.
   * @throws {TransientFailure} when the upstream cannot be reached; {DockyardError} while it is known not to be
   */
  async pass(request: PassingRequest, options: { signal?: AbortSignal | undefined }): Promise<HttpAnswer> {
    const { health } = this.#deps;
    let breakerPass: BreakerPass | undefined;
    try {
      breakerPass = health.passWhileUp('push');
      const first = await this.#knownAuthorization(request, options);
      const answer = await this.#send(request, first, options);
      // With a body there is no second try; then the question before it has told what is asked for.
      if (answer.status !== 401 || request.body !== undefined) return answer;
      const second = await this.#answerTo(answer, request.scope, first, options);
      if (second === undefined) return answer;
      await answer.discard();
      return await this.#send(request, second, options);
    } catch (error) {
      const failure = request.sourceFailure?.();
      if (failure !== undefined) throw failure;
      if (breakerPass !== undefined) health.attemptFailed(breakerPass, request.path, error);
      throw error;
    }
  }

  /** Before a body is spent, the upstream is asked what it asks for, unless that is known. */
  async #knownAuthorization(
    request: PassingRequest,
    options: { signal?: AbortSignal | undefined },
  ): Promise<string | undefined> {
    const known = await this.#deps.authenticator.authorization(request.scope, options);
    if (known !== undefined || request.body === undefined || this.#isOpenToAll) return known;
    const { progressTimeoutMs: timeoutMs } = this.#config;
    const probe = {
      ...request,
      method: 'GET',
      path: '',
      at: undefined,
      headers: {},
      body: undefined,
      timeoutMs,
    } as const;
    const answer = await this.#send(probe, undefined, options);
    await answer.discard();
    this.#isOpenToAll = answer.status === 200;
    return answer.status === 401 ? await this.#answerTo(answer, request.scope, undefined, options) : undefined;
  }

  async #send(
    request: PassingRequest,
    authorization: string | undefined,
    options: { signal?: AbortSignal | undefined },
  ): Promise<HttpAnswer> {
    const { address, dispatchers, health } = this.#deps;
    const url = request.at ?? address.of(request.path);
    this.#requireOwn(url);
    const headers = authorization === undefined ? request.headers : { ...request.headers, authorization };
    const { method, body, timeoutMs: progressTimeoutMs } = request;
    const { name: upstream, connectTimeoutMs } = this.#config;
    const sent = { method, url, headers, upstream, connectTimeoutMs, progressTimeoutMs };
    const answer = await exchange(dispatchers.trusted(url), body === undefined ? sent : { ...sent, body }, options);
    health.reached();
    return answer;
  }

  async #answerTo(
    answer: HttpAnswer,
    scope: string,
    refused: string | undefined,
    options: { signal?: AbortSignal | undefined },
  ): Promise<string | undefined> {
    const challenges = parseAuthChallenges(answer.headerValues('www-authenticate'));
    return await this.#deps.authenticator.answerTo(challenges, scope, refused, options);
  }

  /** Bodies and credentials of pushes are given to the upstream alone. */
  #requireOwn(url: URL): void {
    if (this.#deps.address.isOwn(url)) return;
    const { name } = this.#config;
    const details = { upstream: name, host: url.host };
    throw originError('ERR_ORIGIN_UNSAFE_TARGET', `upstream '${name}' wants a push to go on at ${url.host}`, {
      details,
    });
  }
}
