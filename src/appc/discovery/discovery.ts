/**
 * Finds out where an image is to be had from its name alone: the page at the name, or else those above it up to the host, tell
 * templates of URLs (meta discovery). Where none does, the name itself is tried as a URL, as appc had it up to 0.7 (simple
 * discovery).
 * @see appc/spec v0.8.11, spec/discovery.md; appc/spec v0.6.1, spec/discovery.md "Simple Discovery"
 */
import { isAbortError, isDockyardError } from '../../oci/error.ts';
import { appcError, quoted } from '../errors.ts';
import type { AcName } from '../values/ac-name.ts';
import { formatAppReference, type AppReference } from '../values/app-reference.ts';
import { renderTemplate } from './discovery-template.ts';
import { readMetaTags, type MetaTag } from './meta-tags.ts';
import type { WebClient, WebRequest } from './web-client.ts';

/** Where an image and its signature are. */
export interface AciEndpoint {
  readonly aci: URL;
  readonly signature: URL;
  /** The host that was named; requests are made on its behalf. */
  readonly site: URL;
}

/** What a search came to. */
export interface Discovered {
  /** Best first. */
  readonly endpoints: readonly AciEndpoint[];
  /** Where the keys of signatures are said to be; whether they are to be trusted is for people to say. */
  readonly keys: readonly URL[];
  /** What was asked in vain before, for messages. */
  readonly attempts: readonly string[];
}

/** Where the hosts of names listen; other ports than usual are for tests and for networks of one's own. */
export interface DiscoveryConfig {
  readonly httpsPort: number;
  readonly httpPort: number;
}

export const DISCOVERY_DEFAULTS: DiscoveryConfig = { httpsPort: 443, httpPort: 80 };

/** Larger pages are not read. */
export const MAX_PAGE_BYTES = 1024 * 1024;

/** Endpoints of one page that are looked at. */
const MAX_ENDPOINTS = 16;

/** Searches; keeps nothing between searches. */
export class Discovery {
  readonly #web: WebClient;
  readonly #config: DiscoveryConfig;

  constructor(deps: { readonly web: WebClient }, config: DiscoveryConfig = DISCOVERY_DEFAULTS) {
    this.#web = deps.web;
    this.#config = config;
  }

  /**
   * Where an image is, by the first page that knows of it.
   * @throws {DockyardError} ERR_DISCOVERY_FAILED when there is none, and simple discovery has no URL for it either
   */
  async find(reference: AppReference, options: { signal?: AbortSignal | undefined } = {}): Promise<Discovered> {
    const attempts: string[] = [];
    for await (const { tags, site } of this.#pages(reference.name, attempts, options.signal)) {
      const endpoints = this.#endpoints(tags, reference, site);
      if (endpoints.length > 0) return { endpoints, keys: keysOf(tags, reference.name), attempts };
      attempts.push(`${site.origin}: its page has no template that fits`);
    }
    const simple = this.#simpleEndpoints(reference);
    if (simple.length > 0) return { endpoints: simple, keys: [], attempts };
    throw notFound(formatAppReference(reference), attempts);
  }

  /**
   * Where keys of an image's signatures are said to be, by the first page that knows.
   * @throws {DockyardError} ERR_DISCOVERY_FAILED
   */
  async findKeys(name: AcName, options: { signal?: AbortSignal | undefined } = {}): Promise<readonly URL[]> {
    const attempts: string[] = [];
    for await (const { tags } of this.#pages(name, attempts, options.signal)) {
      const keys = keysOf(tags, name);
      if (keys.length > 0) return keys;
    }
    throw notFound(`the keys of ${name}`, attempts);
  }

  /** The pages at a name and above it that answer and have tags. */
  async *#pages(
    name: AcName,
    attempts: string[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ readonly tags: readonly MetaTag[]; readonly site: URL }> {
    const parts = name.split('/');
    for (let end = parts.length; end > 0; end -= 1) {
      const path = parts.slice(1, end).join('/');
      for (const site of this.#origins(parts[0] ?? '')) {
        const url = new URL(`/${path}?ac-discovery=1`, site);
        const html = await this.#page({ url, site, signal }, attempts);
        if (html === undefined) continue;
        const tags = readMetaTags(html).filter(({ prefix }) => name.startsWith(prefix));
        if (tags.length === 0) attempts.push(`${url.href}: no tags`);
        else yield { tags, site };
        // What came by https is not asked for again without.
        break;
      }
    }
  }

  async #page(request: WebRequest, attempts: string[]): Promise<string | undefined> {
    try {
      return (await this.#web.document(request, MAX_PAGE_BYTES)).toString('utf8');
    } catch (error) {
      if (!isDockyardError(error) || isAbortError(error)) throw error;
      attempts.push(`${request.url.href}: ${error.message}`);
      return undefined;
    }
  }

  #endpoints(tags: readonly MetaTag[], reference: AppReference, site: URL): AciEndpoint[] {
    const endpoints: AciEndpoint[] = [];
    for (const { name, url } of tags) {
      if (name !== 'ac-discovery' || endpoints.length >= MAX_ENDPOINTS) continue;
      const aci = renderTemplate(url, reference, 'aci');
      const signature = renderTemplate(url, reference, 'aci.asc');
      if (aci !== undefined && signature !== undefined && this.#isAllowed(aci))
        endpoints.push({ aci, signature, site });
    }
    return endpoints.sort((a, b) => rank(a.aci) - rank(b.aci));
  }

  #simpleEndpoints(reference: AppReference): AciEndpoint[] {
    if (!reference.name.includes('/')) return [];
    return this.#origins(hostOf(reference.name)).flatMap((site) => {
      const path = reference.name.slice(hostOf(reference.name).length);
      const template = `${site.origin}${path}-{version}-{os}-{arch}.{ext}`;
      const aci = renderTemplate(template, reference, 'aci');
      const signature = renderTemplate(template, reference, 'aci.asc');
      return aci === undefined || signature === undefined ? [] : [{ aci, signature, site }];
    });
  }

  /** A host by https, and by http where that is allowed. */
  #origins(host: string): URL[] {
    const { httpPort, httpsPort } = this.#config;
    const texts = [`https://${host}:${httpsPort}`, ...(this.#web.allowsHttp ? [`http://${host}:${httpPort}`] : [])];
    return texts.map((text) => URL.parse(text)).filter((url) => url !== null);
  }

  #isAllowed(url: URL): boolean {
    return url.protocol === 'https:' || this.#web.allowsHttp;
  }
}

function hostOf(name: string): string {
  return name.split('/', 1)[0] ?? '';
}

function rank(url: URL): number {
  return url.protocol === 'https:' ? 0 : 1;
}

function keysOf(tags: readonly MetaTag[], name: AcName): URL[] {
  return tags
    .filter((tag) => tag.name === 'ac-discovery-pubkeys' && name.startsWith(tag.prefix))
    .map(({ url }) => URL.parse(url))
    .filter((url) => url !== null)
    .filter(({ protocol }) => /^https?:$/.test(protocol));
}

function notFound(what: string, attempts: readonly string[]): Error {
  return appcError(
    'ERR_DISCOVERY_FAILED',
    `no page says where ${quoted(what, 400)} is to be had: ${attempts.slice(0, 8).join('; ') || 'there is none to ask'}`,
  );
}
