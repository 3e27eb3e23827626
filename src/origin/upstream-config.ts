/** What is configured of an upstream registry. */
import { isRepositoryName } from '../oci/name.ts';
import { originError } from './errors.ts';

/** One upstream registry, all fields present. */
export interface UpstreamConfig {
  /** How clients name it: `docker.io`. */
  readonly name: string;
  /** Where it is. `http://` means plain HTTP. A path is put before `/v2/`. */
  readonly url: string;
  /** Put before every repository name: `dockerhub-proxy` for a Harbor proxy project. Empty for none. */
  readonly repositoryPrefix: string;
  /** Certificates (PEM) trusted in addition to the system's. */
  readonly caPem: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** A ready bearer token, sent as it is instead of user name and password. */
  readonly token: string | undefined;
  /** Hosts, besides those of the upstream's own domain, whose token servers may be given the credentials. */
  readonly tokenHosts: readonly string[];
  /** Follow redirects to private addresses although the upstream has a public one. */
  readonly allowPrivateRedirects: boolean;
  readonly connectTimeoutMs: number;
  /** How long the upstream may give no byte before the attempt is given up. */
  readonly progressTimeoutMs: number;
  /** Blobs read at once; further ones wait. */
  readonly maxConnections: number;
  /** Repetitions of one request after the first attempt; for a blob: after the last byte that came. */
  readonly maxRetries: number;
}

/** What an operator writes; see `UpstreamConfig`. */
export type UpstreamOptions = Pick<UpstreamConfig, 'name' | 'url'> & {
  readonly [Key in Exclude<keyof UpstreamConfig, 'name' | 'url'>]?: UpstreamConfig[Key] | undefined;
};

/** What holds where an operator writes nothing. */
export const UPSTREAM_DEFAULTS = {
  repositoryPrefix: '',
  caPem: undefined,
  username: undefined,
  password: undefined,
  token: undefined,
  tokenHosts: [],
  allowPrivateRedirects: false,
  connectTimeoutMs: 5_000,
  progressTimeoutMs: 10_000,
  maxConnections: 64,
  maxRetries: 3,
} as const satisfies Omit<UpstreamConfig, 'name' | 'url'>;

/** The proxy to reach upstreams by; empty strings for none. */
export interface ProxyConfig {
  /** URL of the proxy for `http://` upstreams. */
  readonly httpProxy: string;
  /** URL of the proxy for `https://` upstreams. */
  readonly httpsProxy: string;
  /** Hosts reached directly, separated by commas: `registry.corp,.internal,10.0.0.0/8,host:5000`, or `*`. */
  readonly noProxy: string;
}

export const NO_PROXY: ProxyConfig = { httpProxy: '', httpsProxy: '', noProxy: '' };

/** All that the origin client is told. */
export interface OriginConfig {
  readonly upstreams: readonly UpstreamConfig[];
  /** Names of upstreams that keep the same: what one of them cannot give is asked of the others, in this order. */
  readonly standIns?: readonly string[] | undefined;
  readonly proxy: ProxyConfig;
}

function checkUrl(name: string, text: string): void {
  const url = URL.parse(text);
  if (url === null) throw originError('ERR_UPSTREAM_INVALID', `the URL of upstream '${name}' is not a URL`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw originError('ERR_UPSTREAM_INVALID', `the URL of upstream '${name}' must begin with https:// or http://`);
  }
  if (url.username !== '' || url.password !== '') {
    throw originError(
      'ERR_UPSTREAM_INVALID',
      `give the credentials of upstream '${name}' as username and password, not in its URL`,
    );
  }
  if (url.search !== '' || url.hash !== '') {
    throw originError('ERR_UPSTREAM_INVALID', `the URL of upstream '${name}' must not have a query or fragment`);
  }
}

/**
 * Fills in the defaults and checks an upstream.
 * @throws {DockyardError} ERR_UPSTREAM_INVALID
 */
export function resolveUpstream(options: UpstreamOptions): UpstreamConfig {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const config: UpstreamConfig = { ...UPSTREAM_DEFAULTS, ...given, name: options.name, url: options.url };
  checkUrl(config.name, config.url);
  if (config.repositoryPrefix !== '' && !isRepositoryName(config.repositoryPrefix)) {
    throw originError(
      'ERR_UPSTREAM_INVALID',
      `the repository prefix of upstream '${config.name}' is not a repository name`,
    );
  }
  if ((config.username === undefined) !== (config.password === undefined)) {
    throw originError('ERR_UPSTREAM_INVALID', `upstream '${config.name}' needs both username and password, or neither`);
  }
  if (config.username?.includes(':') === true) {
    throw originError('ERR_UPSTREAM_INVALID', `the username of upstream '${config.name}' must not contain a colon`);
  }
  return config;
}
