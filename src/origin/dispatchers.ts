/**
 * The connections of one upstream: direct or by a proxy, guarded or not. A guarded connection goes to a host that an
 * upstream named in an answer, and so refuses private addresses at the moment of connecting, after DNS has spoken: a check
 * before that could be fooled by a name that changes its address.
 */
import type { LookupAddress, LookupOptions } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { SecureContext } from 'node:tls';
import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import { addressScope, bareHost, literalAddress } from '../oci/address-scope.ts';
import { isSameSite } from './address-guard.ts';
import { originError } from './errors.ts';
import { proxyFor } from './proxy-choice.ts';
import { certificatesOf, trustedContext } from './trusted-certificates.ts';
import type { ProxyConfig, UpstreamConfig } from './upstream-config.ts';

/** Resolves a name to all its addresses; `dns.promises.lookup` with `all`. */
export type ResolveHost = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface DispatchersDeps {
  readonly resolveHost: ResolveHost;
}

/** How long an idle connection is kept. Below the 5 s after which Node's own servers close theirs. */
const KEEP_ALIVE_MS = 4_000;

export class Dispatchers {
  readonly #resolveHost: ResolveHost;
  readonly #upstream: UpstreamConfig;
  readonly #proxy: ProxyConfig;
  readonly #upstreamUrl: URL;
  readonly #open = new Map<string, Dispatcher>();
  readonly #ownCertificates: readonly string[];
  #secureContext: SecureContext | undefined;

  /** @throws {DockyardError} ERR_UPSTREAM_INVALID when the certificates cannot be read */
  constructor(deps: DispatchersDeps, config: { upstream: UpstreamConfig; proxy: ProxyConfig }) {
    this.#resolveHost = deps.resolveHost;
    this.#upstream = config.upstream;
    this.#proxy = config.proxy;
    this.#upstreamUrl = new URL(config.upstream.url);
    try {
      this.#ownCertificates = certificatesOf(config.upstream.caPem);
    } catch (cause) {
      throw originError(
        'ERR_UPSTREAM_INVALID',
        `the CA certificates of upstream '${config.upstream.name}' cannot be read`,
        {
          cause,
        },
      );
    }
  }

  /** The dispatcher for the upstream itself, or for a token server that the operator named. */
  trusted(url: URL): Dispatcher {
    return this.#get(url, false);
  }

  /**
   * The dispatcher for a host that an answer named.
   * @throws {DockyardError} ERR_ORIGIN_UNSAFE_TARGET when it is a private address, and the upstream is not on one
   */
  async guarded(url: URL): Promise<Dispatcher> {
    if (bareHost(url) === bareHost(this.#upstreamUrl)) return this.#get(url, false);
    const address = literalAddress(url);
    if (address !== undefined) await this.#checkAddress(bareHost(url), address);
    return this.#get(url, true);
  }

  /** Ends idle connections now, and running ones when they are done. */
  async close(): Promise<void> {
    const dispatchers = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.close()));
  }

  #get(url: URL, isGuarded: boolean): Dispatcher {
    const proxy = proxyFor(url, this.#proxy);
    const key = proxy ?? (isGuarded ? 'guarded' : 'direct');
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const dispatcher = proxy === undefined ? this.#direct(isGuarded) : this.#proxied(proxy);
    this.#open.set(key, dispatcher);
    return dispatcher;
  }

  /** Made once, when the first connection is: it takes some milliseconds. */
  #trusted(): SecureContext {
    this.#secureContext ??= trustedContext(this.#ownCertificates);
    return this.#secureContext;
  }

  #direct(isGuarded: boolean): Dispatcher {
    return new Agent({
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: {
        timeout: this.#upstream.connectTimeoutMs,
        secureContext: this.#trusted(),
        ...(isGuarded ? { lookup: this.#guardedLookup() } : {}),
      },
    });
  }

  #proxied(proxy: string): Dispatcher {
    return new ProxyAgent({
      uri: proxy,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectTimeout: this.#upstream.connectTimeoutMs,
      requestTls: { secureContext: this.#trusted() },
    });
  }

  #guardedLookup(): LookupFunction {
    return (hostname, options, callback) => {
      this.#lookupAllowed(hostname, options).then(
        (addresses) => {
          const [first] = addresses;
          if (options.all === true) callback(null, addresses);
          else callback(null, first?.address ?? '', first?.family);
        },
        (error: unknown) => callback(error as NodeJS.ErrnoException, '', 0),
      );
    };
  }

  async #lookupAllowed(hostname: string, options: LookupOptions): Promise<LookupAddress[]> {
    const found = await this.#resolveHost(hostname);
    const wanted = found.filter(({ family }) =>
      options.family !== 4 && options.family !== 6 ? true : family === options.family,
    );
    for (const { address } of wanted) await this.#checkAddress(hostname, address);
    if (wanted.length === 0) throw Object.assign(new Error(`no address for ${hostname}`), { code: 'ENOTFOUND' });
    return wanted;
  }

  async #checkAddress(hostname: string, address: string): Promise<void> {
    const scope = addressScope(address);
    if (scope === 'public' || this.#upstream.allowPrivateRedirects) return;
    if (scope === 'private' && (await this.#isUpstreamPrivate())) return;
    throw originError(
      'ERR_ORIGIN_UNSAFE_TARGET',
      `upstream '${this.#upstream.name}' points to '${hostname}', which is at a ${scope} address`,
      {
        details: { upstream: this.#upstream.name, host: hostname, address },
      },
    );
  }

  /** Whether the upstream itself stands inside the operator's network; then its storage may as well. */
  async #isUpstreamPrivate(): Promise<boolean> {
    const address = literalAddress(this.#upstreamUrl);
    if (address !== undefined) return addressScope(address) !== 'public';
    try {
      const addresses = await this.#resolveHost(bareHost(this.#upstreamUrl));
      return addresses.length > 0 && addresses.every((entry) => addressScope(entry.address) !== 'public');
    } catch {
      // Where only a proxy can resolve the upstream's name, nothing is known of it, and so nothing is allowed.
      return false;
    }
  }
}

/** True when a token server may be given the upstream's credentials. */
export function mayGetCredentials(realm: URL, upstream: UpstreamConfig): boolean {
  const host = bareHost(realm);
  return isSameSite(host, bareHost(new URL(upstream.url))) || upstream.tokenHosts.includes(host);
}
