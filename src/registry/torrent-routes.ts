/** Torrents of blobs and images, and their web seeds. Names and upstreams are found as for pulls. @see BEP 3, BEP 19 */
import { digestOf, parseDigest, type Digest } from '../oci/digest.ts';
import { parseManifestReference, parseRepositoryName, type ManifestReference } from '../oci/name.ts';
import { asError } from '../oci/error.ts';
import { isHost } from '../oci/reference.ts';
import { formatRepository, HOSTED_HERE, type Repository } from '../oci/repository.ts';
import { BlobHandler } from './blob-handler.ts';
import { entityTag, matchesIfNoneMatch } from './entity-tag.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps, RoutedRequest } from './facade-state.ts';
import type { HostedRegistry } from './hosted-ports.ts';
import type { BlobService, RequestContext, ServedManifest } from './ports.ts';
import { TORRENTS_PREFIX, type TorrentPath } from './torrent-path.ts';
import type { ImageSource, TorrentDocument, TorrentService } from './torrent-ports.ts';
import { isBareName, routeUpstream, takeNamespaces } from './upstream-route.ts';

const TORRENT_MEDIA_TYPE = 'application/x-bittorrent';

export interface TorrentRoutesDeps extends HandlerDeps {
  readonly torrents: TorrentService;
  readonly hosted?: HostedRegistry | undefined;
  readonly upstreamNames: () => readonly string[];
}

/** A request for a path below `/torrents/`. */
export interface TorrentRequest {
  readonly path: TorrentPath;
  readonly rawPath: string;
  /** The query as the client sent it. */
  readonly search: string;
}

export class TorrentRoutes {
  readonly #deps: TorrentRoutesDeps;
  readonly #config: HandlerConfig;

  constructor(deps: TorrentRoutesDeps, config: HandlerConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** @throws {DockyardError} what the client is to be told */
  async handle(ctx: FacadeContext, request: TorrentRequest): Promise<void> {
    const { path } = request;
    switch (path.kind) {
      case 'blob-torrent':
        return await this.#sendBlobTorrent(ctx, parseDigest(path.digestText));
      case 'blob':
        return await this.#sendBlob(ctx, request, this.#deps.torrents.held, parseDigest(path.digestText));
      case 'image-torrent':
        return await this.#sendImageTorrent(ctx, request, path.nameText, parseManifestReference(path.referenceText));
      case 'layout-file':
        return await this.#sendLayoutFile(ctx, request, path);
    }
  }

  async #sendBlobTorrent(ctx: FacadeContext, digest: Digest): Promise<void> {
    const webSeed = webSeedUrl(ctx, `${TORRENTS_PREFIX}${digest}`);
    const torrent = await this.#deps.torrents.ofHeldBlob(digest, webSeed, ctx.state.signal);
    if (torrent === undefined)
      throw registryError(
        'ERR_BLOB_UNKNOWN',
        `${digest} is not held here for everyone: name its repository, as in ${TORRENTS_PREFIX}NAME/${digest}.torrent`,
      );
    sendTorrent(ctx, torrent);
  }

  async #sendImageTorrent(
    ctx: FacadeContext,
    request: TorrentRequest,
    nameText: string,
    reference: ManifestReference,
  ): Promise<void> {
    const source = await this.#sourceOf(ctx, request, nameText);
    const { torrents } = this.#deps;
    const name = formatRepository(source.context.repository);
    // Asked for a manifest that is a layer, registries answer 404, or 500.
    let failure: Error | undefined;
    const root = await source.manifests.get(reference, source.context).catch((error: unknown) => {
      if (reference.kind !== 'digest') throw error;
      failure = asError(error);
      return undefined;
    });
    if (root !== undefined) {
      sendTorrent(ctx, await torrents.ofImage(root, source, webSeedUrl(ctx, `${TORRENTS_PREFIX}${name}/`)));
      return;
    }
    const digest = reference.kind === 'digest' ? reference.digest : undefined;
    const webSeed = webSeedUrl(ctx, `/v2/${name}/blobs/${digest}`);
    const blob = digest === undefined ? undefined : await torrents.ofBlob(digest, source, webSeed);
    if (blob === undefined) throw failure ?? manifestUnknown(source);
    sendTorrent(ctx, blob);
  }

  async #sendLayoutFile(
    ctx: FacadeContext,
    request: TorrentRequest,
    path: Extract<TorrentPath, { kind: 'layout-file' }>,
  ): Promise<void> {
    const digest = parseDigest(path.digestText);
    const source = await this.#sourceOf(ctx, request, path.nameText);
    const root = await requireManifest(source, { kind: 'digest', digest });
    const file = await this.#deps.torrents.findFile(root, source, path.filePath);
    if (file === undefined)
      throw registryError('ERR_BLOB_UNKNOWN', `the layout of ${digest} has no such file`, { details: { digest } });
    if ('digest' in file) return await this.#sendBlob(ctx, request, source.blobs, file.digest, source.context);
    const wanted = digestOf(file.bytes);
    await this.#sendBlob(ctx, request, memoryBlobs(wanted, file.bytes), wanted, source.context);
  }

  async #sendBlob(
    ctx: FacadeContext,
    { rawPath, search }: TorrentRequest,
    blobs: BlobService,
    digest: Digest,
    context: RequestContext = nameless(ctx),
  ): Promise<void> {
    const { log, metrics } = this.#deps;
    const path = { kind: 'blob', nameText: context.repository.name, digestText: digest } as const;
    const routed: RoutedRequest<typeof path> = { path, context, rawPath, search, namespace: undefined };
    await new BlobHandler({ blobs, log, metrics }, this.#config).handle(ctx, routed);
  }

  async #sourceOf(ctx: FacadeContext, { search }: TorrentRequest, nameText: string): Promise<ImageSource> {
    const { hosted, blobs, manifests, upstreamNames } = this.#deps;
    const { namespaces } = takeNamespaces(search);
    const isBare = namespaces.length === 0 && isBareName(nameText, upstreamNames());
    if (hosted !== undefined && isBare && (await hosted.answersFor(nameText))) {
      const repository = { upstream: HOSTED_HERE, name: parseRepositoryName(nameText) };
      return { blobs: hosted.blobs, manifests: hosted.manifests, context: contextOf(ctx, repository) };
    }
    const { repository } = routeUpstream({ nameText, namespaces }, upstreamNames());
    return { blobs, manifests, context: contextOf(ctx, repository) };
  }
}

async function requireManifest(source: ImageSource, reference: ManifestReference): Promise<ServedManifest> {
  const manifest = await source.manifests.get(reference, source.context);
  if (manifest !== undefined) return manifest;
  throw manifestUnknown(source);
}

function manifestUnknown({ context }: ImageSource): Error {
  return registryError('ERR_MANIFEST_UNKNOWN', `${formatRepository(context.repository)} has no such manifest`);
}

function sendTorrent(ctx: FacadeContext, { bytes, infoHash }: TorrentDocument): void {
  const tag = entityTag(digestOf(bytes));
  ctx.set('ETag', tag);
  // What it names never changes, but trackers and web seeds may.
  ctx.set('Cache-Control', 'no-cache');
  if (matchesIfNoneMatch(ctx.req.headers['if-none-match'], tag)) {
    ctx.status = 304;
    return;
  }
  ctx.status = 200;
  ctx.set('Content-Type', TORRENT_MEDIA_TYPE);
  ctx.set('Dockyard-Info-Hash', infoHash);
  ctx.body = bytes;
}

/** Under the name that the client has for this node, whatever that is; none where it did not say. */
function webSeedUrl(ctx: FacadeContext, path: string): string | undefined {
  const { host } = ctx.req.headers;
  return host !== undefined && isHost(host) ? `http://${host}${path}` : undefined;
}

function contextOf(ctx: FacadeContext, repository: Repository): RequestContext {
  ctx.state.repository = repository;
  return { repository, signal: ctx.state.signal, requestId: ctx.state.requestId };
}

/** Of a blob that is named by its digest alone; who holds it is asked for nothing else. */
function nameless(ctx: FacadeContext): RequestContext {
  const repository = { upstream: HOSTED_HERE, name: parseRepositoryName('torrents') };
  return { repository, signal: ctx.state.signal, requestId: ctx.state.requestId };
}

function memoryBlobs(digest: Digest, bytes: Buffer): BlobService {
  const close = async (): Promise<void> => await Promise.resolve();
  return {
    stat: async () => await Promise.resolve({ sizeBytes: bytes.length }),
    open: async () =>
      await Promise.resolve({
        digest,
        sizeBytes: bytes.length,
        async *read({ start, end }) {
          yield await Promise.resolve(bytes.subarray(start, end));
        },
        close,
        [Symbol.asyncDispose]: close,
      }),
  };
}
