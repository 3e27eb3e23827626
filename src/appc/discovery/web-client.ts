/**
 * HTTP for images of rkt's kind. There is no list of registries to begin with: whoever names an image names the host to ask,
 * and its pages name others. So each request has a site, the host that was named, and hosts that its pages lead to are guarded
 * as those are that an upstream registry points to.
 */
import { isDockyardError, type DockyardError } from '../../oci/error.ts';
import { basicAuthorization, type CredentialSource } from '../../origin/credentials.ts';
import { Dispatchers, type ResolveHost } from '../../origin/dispatchers.ts';
import { exchange, type HttpAnswer } from '../../origin/http-exchange.ts';
import { followRedirects } from '../../origin/redirects.ts';
import { TransientFailure } from '../../origin/transport-failure.ts';
import { resolveUpstream, type ProxyConfig, type UpstreamConfig } from '../../origin/upstream-config.ts';
import { appcError } from '../errors.ts';

export interface WebClientDeps {
  readonly resolveHost: ResolveHost;
  /** Asked for each host that is spoken to by https, by its name. */
  readonly credentials: CredentialSource;
}

/** What an operator may set. */
export interface WebClientConfig {
  readonly proxy: ProxyConfig;
  /** Whether plain http is spoken at all; credentials never go over it. */
  readonly allowHttp: boolean;
  /** Whether the pages of a public host may lead to private addresses. */
  readonly allowPrivate: boolean;
  /** Certificates (PEM) trusted besides the system's. */
  readonly caPem: string | undefined;
  readonly connectTimeoutMs: number;
  /** How long a server may give no byte. */
  readonly progressTimeoutMs: number;
}

/** One request. */
export interface WebRequest {
  readonly url: URL;
  /** Where the person who named the image is led from. */
  readonly site: URL;
  readonly method?: 'GET' | 'HEAD' | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Sends requests. Whoever makes it closes it. */
export class WebClient implements AsyncDisposable {
  readonly #deps: WebClientDeps;
  readonly #config: WebClientConfig;
  readonly #sites = new Map<string, { readonly upstream: UpstreamConfig; readonly dispatchers: Dispatchers }>();

  constructor(deps: WebClientDeps, config: WebClientConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** True where plain http is spoken. */
  get allowsHttp(): boolean {
    return this.#config.allowHttp;
  }

  /**
   * Sends a request and follows redirects; any status is an answer. The body is to be read to its end, or discarded.
   * @throws {DockyardError} ERR_ACI_DOWNLOAD for plain http where it is not allowed, and those of ORIGIN_ERRORS
   */
  async send({ url, site, method = 'GET', headers = {}, signal }: WebRequest): Promise<HttpAnswer> {
    const { upstream, dispatchers } = this.#site(site);
    const ask = async (target: URL, isOwn: boolean): Promise<HttpAnswer> => {
      this.#requireAllowed(target);
      const dispatcher = target.host === site.host ? dispatchers.trusted(target) : await dispatchers.guarded(target);
      const authorization = isOwn ? await this.#authorization(target, signal) : undefined;
      const sent = { ...headers, ...(authorization === undefined ? {} : { authorization }) };
      const { connectTimeoutMs, progressTimeoutMs } = this.#config;
      return await exchange(
        dispatcher,
        { method, url: target, headers: sent, upstream: target.host, connectTimeoutMs, progressTimeoutMs },
        { signal },
      );
    };
    try {
      return await followRedirects(url, upstream, ask);
    } catch (error) {
      throw finalFailure(error);
    }
  }

  /** A small document; its status must be 200. @throws {DockyardError} ERR_ACI_DOWNLOAD, and as `send` */
  async document(request: WebRequest, limitBytes: number): Promise<Buffer> {
    const answer = await this.send(request);
    if (answer.status !== 200) {
      await answer.discard();
      throw badStatus(request.url, answer.status);
    }
    return await readDocument(answer, limitBytes);
  }

  async close(): Promise<void> {
    const sites = [...this.#sites.values()];
    this.#sites.clear();
    await Promise.all(sites.map(async ({ dispatchers }) => await dispatchers.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requireAllowed(url: URL): void {
    if (url.protocol === 'https:' || this.#config.allowHttp) return;
    throw appcError('ERR_ACI_DOWNLOAD', `${url.origin} is not asked: plain http is not allowed`);
  }

  async #authorization(url: URL, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (url.protocol !== 'https:') return undefined;
    const credentials = await this.#deps.credentials.credentialsFor({ name: url.host, url: url.origin }, { signal });
    if (credentials?.kind === 'basic') return basicAuthorization(credentials.username, credentials.password);
    return credentials?.kind === 'bearer' ? `Bearer ${credentials.token}` : undefined;
  }

  #site(site: URL): { readonly upstream: UpstreamConfig; readonly dispatchers: Dispatchers } {
    const known = this.#sites.get(site.origin);
    if (known !== undefined) return known;
    const { allowPrivate, caPem, connectTimeoutMs, progressTimeoutMs, proxy } = this.#config;
    const upstream = resolveUpstream({
      name: site.host,
      url: site.origin,
      caPem,
      allowPrivateRedirects: allowPrivate,
      connectTimeoutMs,
      progressTimeoutMs,
    });
    const made = { upstream, dispatchers: new Dispatchers(this.#deps, { upstream, proxy }) };
    this.#sites.set(site.origin, made);
    return made;
  }
}

/** All of an answer's body. @throws {DockyardError} ERR_ACI_DOWNLOAD when it is larger than the limit */
export async function readDocument(answer: HttpAnswer, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of answer.chunks()) {
      sizeBytes += chunk.length;
      if (sizeBytes > limitBytes)
        throw appcError('ERR_ACI_DOWNLOAD', `${answer.url.href} has more than ${limitBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw finalFailure(error);
  }
  return Buffer.concat(chunks);
}

/** An answer that is none of those that were hoped for. */
export function badStatus(url: URL, status: number): DockyardError {
  const code = status === 404 ? 'ERR_ACI_UNKNOWN' : 'ERR_ACI_DOWNLOAD';
  const hint = status === 401 || status === 403 ? '; it wants other credentials' : '';
  return appcError(code, `${url.href} answers ${status}${hint}`, { details: { status, host: url.host } });
}

/** What is told when no further try is made. */
export function finalFailure(error: unknown): unknown {
  return error instanceof TransientFailure ? error.final : error;
}

/** True for what another try may cure. */
export function isPassingTrouble(error: unknown): boolean {
  return (
    error instanceof TransientFailure ||
    (isDockyardError(error) && (error.code === 'ERR_ORIGIN_UNAVAILABLE' || error.code === 'ERR_ORIGIN_STALLED'))
  );
}
