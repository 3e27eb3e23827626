/**
 * Delivers one event to one endpoint. Whoever may configure endpoints must not turn the node into a way into its network: no
 * redirect is followed, and private, loopback and link-local addresses are refused unless allowed. The address is checked
 * where the connection looks it up, and the connection goes to the address that was checked, so a name that changes between
 * two look-ups gains nothing. By a proxy, which resolves names itself, only addresses that stand in the URL can be checked.
 */
import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { SecureContext } from 'node:tls';
import { Agent, ProxyAgent, request, type Dispatcher } from 'undici';
import { asError, isDockyardError } from '../oci/error.ts';
import { addressScope, bareHost, literalAddress } from '../oci/address-scope.ts';
import { proxyFor } from '../origin/proxy-choice.ts';
import { certificatesOf, trustedContext } from '../origin/trusted-certificates.ts';
import type { ProxyConfig } from '../origin/upstream-config.ts';
import type { EndpointConfig } from './endpoint-config.ts';
import { EVENTS_MEDIA_TYPE } from './envelope.ts';
import { notifyError } from './errors.ts';
import type { AttemptOutcome } from './notify-metrics.ts';
import { signatureHeaders } from './signature.ts';

/** Bytes of an answer that are read away to keep the connection; nobody looks at them. */
const DISCARD_LIMIT_BYTES = 64 * 1024;

/** Below the 5 s after which many servers close idle connections. */
const KEEP_ALIVE_MS = 4_000;

/** Answers that say of an event that it is not understood, and so never will be; others may change with the endpoint's settings. */
const REFUSING_STATUS = new Set([400, 405, 406, 410, 411, 413, 414, 415, 422, 431]);

/** Resolves a name to all its addresses; `dns.promises.lookup` with `all`. */
export type ResolveHost = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface SenderDeps {
  readonly resolveHost: ResolveHost;
  readonly clock: { nowMs(): number };
}

/** One delivery. */
export interface Delivery {
  /** The same for all deliveries of one event. */
  readonly id: string;
  readonly body: string;
}

/** How it ended. */
export interface DeliveryResult {
  readonly outcome: AttemptOutcome;
  /** For people; absent when it was delivered. */
  readonly reason?: string | undefined;
}

/** The connections to one endpoint. Whoever makes it closes it. */
export class Sender {
  readonly #deps: SenderDeps;
  readonly #endpoint: EndpointConfig;
  readonly #url: URL;
  readonly #dispatcher: Dispatcher;

  /** @throws {DockyardError} ERR_WEBHOOK_INVALID when the certificates cannot be read */
  constructor(deps: SenderDeps, endpoint: EndpointConfig, proxy: ProxyConfig) {
    this.#deps = deps;
    this.#endpoint = endpoint;
    this.#url = new URL(endpoint.url);
    this.#dispatcher = this.#makeDispatcher(proxyFor(this.#url, proxy));
  }

  /** Sends once. Never throws but for an abort of `signal`. */
  async send(delivery: Delivery, options: { signal: AbortSignal }): Promise<DeliveryResult> {
    const { timeoutMs } = this.#endpoint;
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      this.#checkLiteralAddress();
      const { statusCode, headers, body } = await request(this.#url, {
        dispatcher: this.#dispatcher,
        method: 'POST',
        headers: this.#headers(delivery),
        body: delivery.body,
        signal: AbortSignal.any([options.signal, timeout]),
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      // The status is the answer; a body that does not come to its end only costs the connection.
      await body
        .dump({ limit: DISCARD_LIMIT_BYTES, signal: AbortSignal.any([options.signal, timeout]) })
        .catch((error: unknown) => body.destroy(asError(error)));
      return judge(statusCode, headers['location']);
    } catch (error) {
      options.signal.throwIfAborted();
      if (timeout.aborted) return { outcome: 'timeout', reason: `it gave no answer within ${timeoutMs} ms` };
      return judgeFailure(error);
    }
  }

  /** Ends its connections at once. */
  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  #headers(delivery: Delivery): string[] {
    const own = {
      'content-type': EVENTS_MEDIA_TYPE,
      'user-agent': 'dockyard',
      ...signatureHeaders({ ...delivery, sentAtMs: this.#deps.clock.nowMs() }, this.#endpoint.secret),
    };
    const configured = this.#endpoint.headers.flatMap(({ name, value }) => [name, value]);
    const names = new Set(this.#endpoint.headers.map(({ name }) => name.toLowerCase()));
    return [...Object.entries(own).flatMap(([name, value]) => (names.has(name) ? [] : [name, value])), ...configured];
  }

  #makeDispatcher(proxy: string | undefined): Dispatcher {
    const { timeoutMs } = this.#endpoint;
    const tls = this.#url.protocol === 'https:' ? { secureContext: this.#trusted() } : {};
    if (proxy !== undefined) {
      return new ProxyAgent({
        uri: proxy,
        allowH2: false,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectTimeout: timeoutMs,
        requestTls: tls,
      });
    }
    return new Agent({
      allowH2: false,
      // Deliveries are one after the other.
      connections: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: { timeout: timeoutMs, ...tls, lookup: this.#guardedLookup() },
    });
  }

  #trusted(): SecureContext {
    const { name, caPem } = this.#endpoint;
    try {
      return trustedContext(certificatesOf(caPem));
    } catch (cause) {
      throw notifyError('ERR_WEBHOOK_INVALID', `webhook endpoint ${name}: its CA certificates cannot be read`, {
        cause,
      });
    }
  }

  #guardedLookup(): LookupFunction {
    return (hostname, options, callback) => {
      this.#lookupAllowed(hostname, options.family).then(
        (addresses) => {
          const [first] = addresses;
          if (options.all === true) callback(null, addresses);
          else callback(null, first?.address ?? '', first?.family);
        },
        (error: unknown) => callback(error as NodeJS.ErrnoException, '', 0),
      );
    };
  }

  async #lookupAllowed(hostname: string, family: unknown): Promise<LookupAddress[]> {
    const found = await this.#deps.resolveHost(hostname);
    const wanted = found.filter((entry) => (family !== 4 && family !== 6 ? true : entry.family === family));
    // One private address among public ones is enough: whoever made the name chose it, and the system may take any of them.
    for (const { address } of wanted) this.#checkAddress(hostname, address);
    if (wanted.length === 0) throw Object.assign(new Error(`no address for ${hostname}`), { code: 'ENOTFOUND' });
    return wanted;
  }

  /** An address in the URL is never looked up. */
  #checkLiteralAddress(): void {
    const address = literalAddress(this.#url);
    if (address !== undefined) this.#checkAddress(bareHost(this.#url), address);
  }

  #checkAddress(host: string, address: string): void {
    const scope = addressScope(address);
    if (scope === 'public' || this.#endpoint.allowPrivate) return;
    throw notifyError('ERR_WEBHOOK_UNSAFE_TARGET', `'${host}' is at a ${scope} address, which is not allowed`, {
      details: { endpoint: this.#endpoint.name, host, address },
    });
  }
}

function judge(status: number, location: string | string[] | undefined): DeliveryResult {
  if (status >= 200 && status < 300) return { outcome: 'delivered' };
  if (status >= 300 && status < 400) {
    const where = typeof location === 'string' ? ` to ${location.slice(0, 200)}` : '';
    return { outcome: 'redirected', reason: `it answered ${status}${where}; redirects are not followed` };
  }
  return { outcome: REFUSING_STATUS.has(status) ? 'refused' : 'failed', reason: `it answered ${status}` };
}

/** Our own error, where a connection failed because of it, however deep it lies; else what the connection failed with. */
function judgeFailure(thrown: unknown): DeliveryResult {
  let current = asError(thrown);
  while (!isDockyardError(current) && current.cause instanceof Error) current = current.cause;
  if (isDockyardError(current)) return { outcome: 'unsafe', reason: current.message };
  const { code } = current as { code?: unknown };
  const said = current.message === '' ? 'no connection came about' : current.message;
  return { outcome: 'unreachable', reason: typeof code === 'string' ? `${code}: ${said}` : said };
}
