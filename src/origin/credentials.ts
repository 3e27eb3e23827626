/** Who this node is to an upstream registry. */
import type { UpstreamConfig } from './upstream-config.ts';

/** What can be shown to an upstream, or to its token server. */
export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** A refresh token (`identitytoken`), to be exchanged for access tokens. */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** An access token, sent as it is. */
  | { readonly kind: 'bearer'; readonly token: string };

/** Where credentials come from, besides the upstream's own configuration. */
export interface CredentialSource {
  /**
   * Credentials for an upstream, or `undefined` to go anonymously.
   * @throws {DockyardError} ERR_CREDENTIALS_UNREADABLE
   */
  credentialsFor(
    upstream: Pick<UpstreamConfig, 'name' | 'url'>,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<Credentials | undefined>;
  /** Tells that what was given for an upstream was refused, so that it is read anew the next time. */
  refused(upstream: Pick<UpstreamConfig, 'name' | 'url'>): void;
}

/** No credentials but those of the upstreams' configuration. */
export const NO_CREDENTIALS: CredentialSource = {
  credentialsFor: () => Promise.resolve(undefined),
  refused: () => undefined,
};

/** The credentials that stand in the upstream's own configuration. */
export function configuredCredentials(upstream: UpstreamConfig): Credentials | undefined {
  if (upstream.token !== undefined) return { kind: 'bearer', token: upstream.token };
  const { username, password } = upstream;
  if (username === undefined || password === undefined) return undefined;
  return { kind: 'basic', username, password };
}

/** The value of an `Authorization` header for basic authentication, in UTF-8 as RFC 7617 allows. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}
