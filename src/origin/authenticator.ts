/**
 * The `Authorization` of requests to one upstream. What the upstream asked for once is remembered, so that later requests
 * carry the right header from the start; tokens are kept until they end, and asked for once however many wait for them.
 */
import type { DockyardError } from '../oci/error.ts';
import type { AuthChallenge } from './auth-challenge.ts';
import type { Clock } from './clock.ts';
import { basicAuthorization, configuredCredentials, type Credentials, type CredentialSource } from './credentials.ts';
import { isDockyardError } from '../oci/error.ts';
import { JointRequests } from './joint-requests.ts';
import type { AccessToken, TokenClient, TokenServer } from './token-client.ts';
import type { UpstreamConfig } from './upstream-config.ts';

export interface AuthenticatorDeps {
  readonly tokens: Pick<TokenClient, 'fetchToken'>;
  readonly credentials: CredentialSource;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** Tokens kept for one upstream: one for each repository that is in use. */
export const MAX_KEPT_TOKENS = 1000;

type Scheme = { readonly kind: 'basic' } | ({ readonly kind: 'bearer' } & TokenServer);

interface Options {
  readonly signal?: AbortSignal | undefined;
}

export class Authenticator {
  readonly #deps: AuthenticatorDeps;
  readonly #upstream: UpstreamConfig;
  readonly #tokens = new Map<string, AccessToken>();
  readonly #joint = new JointRequests<AccessToken>();
  #scheme: Scheme | undefined;

  constructor(deps: AuthenticatorDeps, upstream: UpstreamConfig) {
    this.#deps = deps;
    this.#upstream = upstream;
  }

  /** What to send with a first attempt: by what is known so far. `undefined` to go without. */
  async authorization(scope: string, options: Options): Promise<string | undefined> {
    if (this.#scheme !== undefined) return await this.#byScheme(this.#scheme, scope, scope, options);
    const credentials = configuredCredentials(this.#upstream);
    return credentials?.kind === 'bearer' ? `Bearer ${credentials.token}` : undefined;
  }

  /**
   * What to send after a 401, or `undefined` when there is nothing better than what was refused.
   * @param refused the header of the refused request
   */
  async answerTo(
    challenges: readonly AuthChallenge[],
    scope: string,
    refused: string | undefined,
    options: Options,
  ): Promise<string | undefined> {
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const basic = challenges.some(({ scheme }) => scheme === 'basic');
    const realm = bearer?.parameters['realm'];
    this.#forget(scope, refused);
    if (bearer !== undefined && realm !== undefined) {
      this.#scheme = { kind: 'bearer', realm, service: bearer.parameters['service'] };
    } else if (basic) {
      this.#scheme = { kind: 'basic' };
    } else {
      return undefined;
    }
    const asked = bearer?.parameters['scope'] ?? scope;
    const header = await this.#byScheme(this.#scheme, scope, asked, options);
    return header === refused ? undefined : header;
  }

  #forget(scope: string, refused: string | undefined): void {
    if (refused === undefined) return;
    const kept = this.#tokens.get(scope);
    // Another request may have replaced the token meanwhile: then the new one is good.
    if (kept !== undefined && refused === `Bearer ${kept.token}`) this.#tokens.delete(scope);
    if (refused.startsWith('Basic ')) this.#deps.credentials.refused(this.#upstream);
  }

  /** @param key under which the token is kept: what this node wants; `asked` is how the upstream words it */
  async #byScheme(scheme: Scheme, key: string, asked: string, options: Options): Promise<string | undefined> {
    if (scheme.kind === 'bearer') {
      const kept = this.#kept(key);
      if (kept !== undefined) return `Bearer ${kept}`;
    }
    const credentials =
      configuredCredentials(this.#upstream) ?? (await this.#deps.credentials.credentialsFor(this.#upstream, options));
    if (credentials?.kind === 'bearer') return `Bearer ${credentials.token}`;
    if (scheme.kind === 'bearer') return `Bearer ${await this.#fetch(scheme, key, asked, credentials, options)}`;
    return credentials?.kind === 'basic' ? basicAuthorization(credentials.username, credentials.password) : undefined;
  }

  #kept(key: string): string | undefined {
    const kept = this.#tokens.get(key);
    if (kept === undefined) return undefined;
    this.#tokens.delete(key);
    if (kept.expiresAtMs <= this.#deps.clock.nowMs()) return undefined;
    this.#tokens.set(key, kept);
    return kept.token;
  }

  async #fetch(
    server: TokenServer,
    key: string,
    asked: string,
    credentials: Credentials | undefined,
    options: Options,
  ): Promise<string> {
    const work = async (signal: AbortSignal): Promise<AccessToken> => {
      try {
        const fetched = await this.#deps.tokens.fetchToken(server, asked, credentials, { signal });
        this.#keep(key, fetched);
        return fetched;
      } catch (error) {
        if (isDenied(error)) this.#deps.credentials.refused(this.#upstream);
        throw error;
      }
    };
    const { token } = await this.#joint.run(JSON.stringify([server.realm, server.service, asked]), work, options);
    return token;
  }

  #keep(key: string, token: AccessToken): void {
    this.#tokens.delete(key);
    this.#tokens.set(key, token);
    if (this.#tokens.size <= MAX_KEPT_TOKENS) return;
    for (const [oldest] of this.#tokens) {
      this.#tokens.delete(oldest);
      break;
    }
  }
}

function isDenied(error: unknown): error is DockyardError {
  return isDockyardError(error, 'ERR_ORIGIN_DENIED');
}
