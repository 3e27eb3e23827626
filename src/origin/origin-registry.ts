/**
 * The upstream registries, as the layers above see them: manifests, blobs and lists by repository. Any number of upstreams,
 * replaced at run time without breaking what is running. Nothing is kept here but connections and tokens.
 */
import { lookup } from 'node:dns/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { DockyardError } from '../oci/error.ts';
import { MANIFEST_ACCEPT } from '../oci/media-type.ts';
import { formatManifestReference, type ManifestReference, type Tag } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import { BlobOpener, type BlobSize } from './blob-opener.ts';
import type { Clock } from './clock.ts';
import type { CredentialSource } from './credentials.ts';
import type { ResolveHost } from './dispatchers.ts';
import { isOriginTrouble, originError } from './errors.ts';
import { listSearch, readList, type OriginList } from './origin-list.ts';
import { readManifest, type OriginManifest } from './origin-manifest.ts';
import { OriginMetrics } from './origin-metrics.ts';
import { readTagHead, type ResolvedTag } from './origin-tag.ts';
import { passPush, type PassedAnswer, type PassedRequest } from './push-pass.ts';
import type { OriginBlob } from './resuming-blob.ts';
import { UpstreamClient, type UpstreamClientDeps } from './upstream-client.ts';
import type { OriginConfig } from './upstream-config.ts';

export interface OriginRegistryDeps {
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
  readonly credentials: CredentialSource;
  /** A number from 0 to, and not including, 1; `Math.random` by default. */
  readonly random?: () => number;
  /** Resolves host names that upstreams point to; the system's resolver by default. */
  readonly resolveHost?: ResolveHost;
}

/** How a request is made. */
export interface OriginOptions {
  readonly signal?: AbortSignal | undefined;
  /** Give up after this long without a byte, and do not try again: for callers that have another answer at hand. */
  readonly patienceMs?: number | undefined;
}

/** Which list of a repository. */
export type ListKind = { readonly kind: 'tags' } | { readonly kind: 'referrers'; readonly digest: Digest };

/** All methods throw {DockyardError} with the codes of ORIGIN_ERRORS; a signal's reason passes through unchanged. */
export class OriginRegistry implements AsyncDisposable {
  readonly #deps: UpstreamClientDeps;
  readonly #blobs: BlobOpener;
  #config: OriginConfig = { upstreams: [], proxy: { httpProxy: '', httpsProxy: '', noProxy: '' } };
  #clients: ReadonlyMap<string, UpstreamClient> = new Map();
  readonly #retired = new Set<UpstreamClient>();

  /** @throws {DockyardError} ERR_UPSTREAM_INVALID */
  constructor(deps: OriginRegistryDeps, config: OriginConfig) {
    this.#deps = {
      log: deps.log.child({ component: 'origin' }),
      metrics: new OriginMetrics(deps.metrics),
      clock: deps.clock,
      credentials: deps.credentials,
      random: deps.random ?? Math.random,
      resolveHost: deps.resolveHost ?? ((hostname) => lookup(hostname, { all: true })),
    };
    this.#blobs = new BlobOpener(this.#deps);
    this.reconfigure(config);
  }

  /** The names of the configured upstreams, in order. */
  get upstreams(): readonly string[] {
    return [...this.#clients.keys()];
  }

  /**
   * Replaces the table of upstreams. Reads that run go on with what they began with; unchanged upstreams keep their
   * connections and tokens. On an error nothing is changed.
   * @throws {DockyardError} ERR_UPSTREAM_INVALID
   */
  reconfigure(config: OriginConfig): void {
    const isSameProxy = isDeepStrictEqual(config.proxy, this.#config.proxy);
    const clients = new Map<string, UpstreamClient>();
    for (const upstream of config.upstreams) {
      if (clients.has(upstream.name))
        throw originError('ERR_UPSTREAM_INVALID', `upstream '${upstream.name}' is configured twice`);
      const known = this.#clients.get(upstream.name);
      const isSame = isSameProxy && known !== undefined && isDeepStrictEqual(known.config, upstream);
      clients.set(upstream.name, isSame ? known : new UpstreamClient(this.#deps, { upstream, proxy: config.proxy }));
    }
    const replaced = [...this.#clients.values()].filter((client) => clients.get(client.config.name) !== client);
    this.#clients = clients;
    this.#config = config;
    for (const client of replaced) this.#retire(client);
  }

  /** What a tag stands for now; `undefined` when the upstream does not have it. */
  async resolveTag(repository: Repository, tag: Tag, options: OriginOptions = {}): Promise<ResolvedTag | undefined> {
    return await this.statManifest(repository, { kind: 'tag', tag }, options);
  }

  /** What a manifest is, without reading it where the upstream tells; `undefined` when it does not have it. */
  async statManifest(
    repository: Repository,
    reference: ManifestReference,
    options: OriginOptions = {},
  ): Promise<ResolvedTag | undefined> {
    return await this.#firstOf(repository, options, async (client, { patienceMs }) => {
      const request = this.#request(client, repository, `manifests/${formatManifestReference(reference)}`);
      const head = {
        ...request,
        kind: 'tag',
        method: 'HEAD',
        headers: { accept: MANIFEST_ACCEPT },
        patienceMs,
      } as const;
      const resolved = await client.perform(head, (answer) => readTagHead(answer), options);
      if (resolved !== 'unclear') return resolved;
      const manifest = await this.fetchManifest(repository, reference, options);
      return manifest === undefined ? undefined : { ...manifest, sizeBytes: manifest.bytes.length };
    });
  }

  /** A manifest of at most MANIFEST_LIMIT_BYTES, its digest checked; `undefined` when the upstream does not have it. */
  async fetchManifest(
    repository: Repository,
    reference: ManifestReference,
    options: OriginOptions = {},
  ): Promise<OriginManifest | undefined> {
    return await this.#firstOf(repository, options, async (client, { patienceMs }) => {
      const request = this.#request(client, repository, `manifests/${formatManifestReference(reference)}`);
      const get = {
        ...request,
        kind: 'manifest',
        method: 'GET',
        headers: { accept: MANIFEST_ACCEPT },
        patienceMs,
      } as const;
      const { name } = client.config;
      const manifest = await client.perform(get, (answer) => readManifest(answer, reference, name), options);
      if (manifest !== undefined) this.#deps.metrics.received(name, manifest.bytes.length);
      return manifest;
    });
  }

  /** The length of a blob; `undefined` when the upstream does not have it. */
  async statBlob(repository: Repository, digest: Digest, options: OriginOptions = {}): Promise<BlobSize | undefined> {
    return await this.#firstOf(repository, options, async (client, patient) => {
      const request = this.#request(client, repository, `blobs/${digest}`);
      return await this.#blobs.stat({ ...request, client, digest }, patient);
    });
  }

  /**
   * Opens a blob, or `range` of it (an `end` beyond the blob is cut, `Infinity` means all the rest); `undefined` when the
   * upstream does not have it. The bytes are not verified here. Whoever opens it closes it.
   */
  async openBlob(
    repository: Repository,
    digest: Digest,
    options: OriginOptions & { readonly range?: ByteRange | undefined } = {},
  ): Promise<OriginBlob | undefined> {
    const range = options.range ?? { start: 0, end: Infinity };
    return await this.#firstOf(repository, options, async (client, patient) => {
      const request = this.#request(client, repository, `blobs/${digest}`);
      return await this.#blobs.open({ ...request, client, digest }, range, patient);
    });
  }

  /**
   * A page of a list as the upstream gives it; `undefined` for 404.
   * @param search the client's query string
   */
  async passthrough(
    repository: Repository,
    list: ListKind,
    search: string,
    options: OriginOptions = {},
  ): Promise<OriginList | undefined> {
    const what = list.kind === 'tags' ? 'tags/list' : `referrers/${list.digest}`;
    return await this.#firstOf(
      repository,
      options,
      async (client, patient) =>
        await this.#list(client, this.#request(client, repository, what + listSearch(search)), patient),
    );
  }

  /** A page of the names of an upstream's repositories, its prefix included; `undefined` when it does not list them (404). */
  async catalog(upstream: string, search: string, options: OriginOptions = {}): Promise<OriginList | undefined> {
    const request = { path: `_catalog${listSearch(search)}`, scope: 'registry:catalog:*' };
    return await this.#list(this.#client({ upstream }), request, options);
  }

  /** What another node of this kind answers at a path of its own behind `/v2/`; `undefined` for 404. */
  async document(upstream: string, path: string, options: OriginOptions = {}): Promise<OriginList | undefined> {
    return await this.#list(this.#client({ upstream }), { path, scope: 'registry:catalog:*' }, options);
  }

  async #list(
    client: UpstreamClient,
    request: { readonly path: string; readonly scope: string },
    options: OriginOptions,
  ): Promise<OriginList | undefined> {
    const get = {
      ...request,
      kind: 'list',
      method: 'GET',
      headers: { accept: '*/*' },
      patienceMs: options.patienceMs,
    } as const;
    return await client.perform(get, (answer) => readList(answer, client.config.name), options);
  }

  /** Passes a client's push on, once. */
  async pass(repository: Repository, request: PassedRequest, options: OriginOptions = {}): Promise<PassedAnswer> {
    return await passPush(this.#client(repository), repository.name, request, options);
  }

  /** False while an upstream is known not to be reachable. */
  isReachable(upstream: string): boolean {
    return this.#client({ upstream }).isReachable;
  }

  /** Closes idle connections at once and the others when they are done. */
  async close(): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients = new Map();
    for (const client of clients) this.#retire(client);
    await Promise.all([...this.#retired].map((client) => client.closed()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #retire(client: UpstreamClient): void {
    this.#retired.add(client);
    client.retire(() => this.#retired.delete(client));
    if (!this.#clients.has(client.config.name)) this.#deps.metrics.forget(client.config.name);
  }

  #client({ upstream }: Pick<Repository, 'upstream'>): UpstreamClient {
    const client = this.#clients.get(upstream);
    if (client !== undefined) return client;
    throw originError('ERR_UPSTREAM_UNKNOWN', `no upstream '${upstream}' is configured`, { details: { upstream } });
  }

  /**
   * Asks an upstream, and those that keep the same after it. What one has not may be on its way there, so the others are asked as
   * well; it is nowhere only when all have said so.
   */
  async #firstOf<Result>(
    repository: Repository,
    options: OriginOptions,
    ask: (client: UpstreamClient, options: OriginOptions) => Promise<Result | undefined>,
  ): Promise<Result | undefined> {
    const clients = this.#clientsOf(repository);
    let failure: DockyardError | undefined;
    for (const [index, client] of clients.entries()) {
      // Nothing is tried twice of one while another may have it.
      const patienceMs =
        options.patienceMs ?? (index < clients.length - 1 ? client.config.progressTimeoutMs : undefined);
      try {
        const found = await ask(client, { ...options, patienceMs });
        if (found !== undefined) return found;
      } catch (error) {
        if (!isOriginTrouble(error)) throw error;
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /** Those that cannot be reached just now come last. */
  #clientsOf(repository: Pick<Repository, 'upstream'>): UpstreamClient[] {
    const { upstream } = repository;
    const standIns = this.#config.standIns ?? [];
    if (standIns.length < 2 || !standIns.includes(upstream)) return [this.#client(repository)];
    const names = [upstream, ...standIns.filter((name) => name !== upstream)];
    const [reachable, others]: UpstreamClient[][] = [[], []];
    for (const name of names) {
      const client = this.#client({ upstream: name });
      (client.isReachable ? reachable : others)?.push(client);
    }
    return [...(reachable ?? []), ...(others ?? [])];
  }

  #request(client: UpstreamClient, repository: Repository, rest: string): { path: string; scope: string } {
    const prefix = client.config.repositoryPrefix;
    const name = prefix === '' ? repository.name : `${prefix}/${repository.name}`;
    return { path: `${name}/${rest}`, scope: `repository:${name}:pull` };
  }
}
