/**
 * Access tokens from a token server, as the registries of Docker, GitHub and distribution give them.
 * @see distribution docs/content/spec/auth/token.md and oauth.md
 */
import type { Dispatcher } from 'undici';
import type { DockyardError } from '../oci/error.ts';
import { isFailureStatus, readBounded, statusFailure } from './answer-reading.ts';
import type { Clock } from './clock.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';
import { mayGetCredentials, type Dispatchers } from './dispatchers.ts';
import { originError } from './errors.ts';
import { exchange, type ExchangeRequest, type HttpAnswer } from './http-exchange.ts';
import type { OriginMetrics } from './origin-metrics.ts';
import type { UpstreamConfig } from './upstream-config.ts';
import { bareHost } from '../oci/address-scope.ts';

/** Where to ask for tokens; from a `Bearer` challenge. */
export interface TokenServer {
  readonly realm: string;
  readonly service: string | undefined;
}

export interface AccessToken {
  readonly token: string;
  /** When it is to be replaced, by this node's clock; milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

export interface TokenClientDeps {
  readonly dispatchers: Dispatchers;
  readonly clock: Clock;
  readonly metrics: OriginMetrics;
}

const TOKEN_ANSWER_LIMIT_BYTES = 256 * 1024;
const CLIENT_ID = 'dockyard';

/** What the specification says of a token without `expires_in`, and the least that clients are to assume. */
const MIN_TOKEN_LIFE_SECONDS = 60;

/** A token is replaced this long before its end, so that none ends on the way. */
const TOKEN_MARGIN_MS = 5_000;

export class TokenClient {
  readonly #deps: TokenClientDeps;
  readonly #upstream: UpstreamConfig;

  constructor(deps: TokenClientDeps, upstream: UpstreamConfig) {
    this.#deps = deps;
    this.#upstream = upstream;
  }

  /**
   * Asks for a token; once, without repetition.
   * @throws {TransientFailure}
   * @throws {DockyardError} ERR_ORIGIN_DENIED, ERR_ORIGIN_UNSAFE_TARGET, ERR_ORIGIN_BAD_ANSWER
   */
  async fetchToken(
    server: TokenServer,
    scope: string,
    credentials: Credentials | undefined,
    options: { signal?: AbortSignal | undefined },
  ): Promise<AccessToken> {
    const realm = this.#checkedRealm(server.realm, credentials !== undefined);
    const sent = this.#tokenRequest(realm, server, scope, credentials);
    const answer = await exchange(await this.#dispatcher(realm), sent, options);
    if (isFailureStatus(answer.status)) {
      this.#count(answer.status);
      throw await statusFailure(answer, this.#upstream.name, this.#deps.clock);
    }
    return await this.#readToken(answer);
  }

  #count(status: number): void {
    const outcome =
      status === 200 ? 'ok' : status === 401 || status === 403 ? 'denied' : status === 429 ? 'rate_limited' : 'failed';
    this.#deps.metrics.request(this.#upstream.name, 'token', outcome);
  }

  #checkedRealm(text: string, hasCredentials: boolean): URL {
    const realm = URL.parse(text);
    if (realm === null || (realm.protocol !== 'https:' && realm.protocol !== 'http:') || realm.username !== '') {
      throw this.#badAnswer('names a token server that is no URL');
    }
    const isDowngrade = realm.protocol === 'http:' && this.#upstream.url.startsWith('https:');
    if (isDowngrade) throw this.#unsafe(realm, 'names a token server without TLS');
    if (hasCredentials && !mayGetCredentials(realm, this.#upstream)) {
      throw this.#unsafe(realm, 'asks for the credentials to be sent to a foreign token server');
    }
    return realm;
  }

  async #dispatcher(realm: URL): Promise<Dispatcher> {
    const isNamed = this.#upstream.tokenHosts.includes(bareHost(realm));
    return isNamed ? this.#deps.dispatchers.trusted(realm) : await this.#deps.dispatchers.guarded(realm);
  }

  #tokenRequest(realm: URL, server: TokenServer, scope: string, credentials: Credentials | undefined): ExchangeRequest {
    const asked = new URLSearchParams({ scope, client_id: CLIENT_ID });
    if (server.service !== undefined) asked.set('service', server.service);
    const { name: upstream, connectTimeoutMs, progressTimeoutMs } = this.#upstream;
    const common = { upstream, connectTimeoutMs, progressTimeoutMs };
    const headers = { accept: 'application/json' };
    if (credentials?.kind === 'identity-token') {
      asked.set('grant_type', 'refresh_token');
      asked.set('refresh_token', credentials.token);
      const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded' };
      return { ...common, method: 'POST', url: realm, headers: form, body: asked.toString() };
    }
    const url = new URL(realm);
    for (const [name, value] of asked) url.searchParams.set(name, value);
    if (credentials?.kind !== 'basic') return { ...common, method: 'GET', url, headers };
    url.searchParams.set('account', credentials.username);
    const authorization = basicAuthorization(credentials.username, credentials.password);
    return { ...common, method: 'GET', url, headers: { ...headers, authorization } };
  }

  async #readToken(answer: HttpAnswer): Promise<AccessToken> {
    if (answer.status !== 200) {
      await answer.discard();
      this.#deps.metrics.request(this.#upstream.name, 'token', 'bad_answer');
      throw this.#badAnswer(`has a token server that answers ${answer.status}`);
    }
    const bytes = await readBounded(answer, TOKEN_ANSWER_LIMIT_BYTES, this.#upstream.name);
    const parsed = parseTokenAnswer(bytes);
    this.#deps.metrics.request(this.#upstream.name, 'token', parsed === undefined ? 'bad_answer' : 'ok');
    if (parsed === undefined) throw this.#badAnswer('has a token server that gives no token');
    const lifeMs = Math.max(parsed.lifeSeconds, MIN_TOKEN_LIFE_SECONDS) * 1000;
    return { token: parsed.token, expiresAtMs: this.#deps.clock.nowMs() + lifeMs - TOKEN_MARGIN_MS };
  }

  #badAnswer(what: string): DockyardError {
    const { name } = this.#upstream;
    return originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${name}' ${what}`, { details: { upstream: name } });
  }

  #unsafe(realm: URL, what: string): DockyardError {
    const { name } = this.#upstream;
    return originError('ERR_ORIGIN_UNSAFE_TARGET', `upstream '${name}' ${what}: ${realm.host}`, {
      details: { upstream: name, host: realm.host },
    });
  }
}

/** Reads a token server's document; `undefined` when it holds no token that can stand in a header. */
export function parseTokenAnswer(bytes: Uint8Array): { token: string; lifeSeconds: number } | undefined {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof document !== 'object' || document === null) return undefined;
  const fields = document as Record<string, unknown>;
  const token = [fields['token'], fields['access_token']].find((value) => typeof value === 'string' && value !== '');
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) return undefined;
  const life = fields['expires_in'];
  return { token, lifeSeconds: typeof life === 'number' && Number.isFinite(life) ? life : MIN_TOKEN_LIFE_SECONDS };
}
