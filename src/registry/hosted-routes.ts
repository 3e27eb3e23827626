/** Requests for the repositories of a seed: pulls by the handlers of every repository, pushes and deletions by their own. */
import type { Logger } from 'pino';
import { BlobHandler } from './blob-handler.ts';
import { handleBlobDelete, handleManifestDelete, handleManifestPush } from './change-handler.ts';
import type { DistributionPath } from './distribution-path.ts';
import type { FacadeContext, HandlerConfig, RoutedRequest } from './facade-state.ts';
import type { FacadeMetrics } from './facade-metrics.ts';
import type { HostedRegistry } from './hosted-ports.ts';
import { handleReferrers, handleRepositories, handleTags, type ListRequest } from './list-handler.ts';
import { handleManifest } from './manifest-handler.ts';
import type { PushDeps } from './push-deps.ts';
import { requestOf, type RegistryEvent, type RegistryListener } from './registry-events.ts';
import { UploadHandler } from './upload-handler.ts';

export interface HostedRoutesDeps {
  readonly hosted: HostedRegistry;
  readonly listener?: RegistryListener | undefined;
  readonly log: Logger;
  readonly metrics: FacadeMetrics;
}

type HostedRequest = RoutedRequest<Exclude<DistributionPath, { kind: 'base' | 'catalog' }>>;

export class HostedRoutes {
  readonly #deps: HostedRoutesDeps;
  readonly #push: PushDeps;
  readonly #blobs: BlobHandler;
  readonly #uploads: UploadHandler;

  constructor(deps: HostedRoutesDeps, config: HandlerConfig) {
    this.#deps = deps;
    const { hosted, log, metrics } = deps;
    this.#push = { hosted, pace: config.pace, tell: async (ctx, event) => await this.#tell(ctx, event) };
    this.#blobs = new BlobHandler({ blobs: hosted.blobs, log, metrics }, config);
    this.#uploads = new UploadHandler(this.#push);
  }

  /** The list of repositories. */
  async handleCatalog(ctx: FacadeContext, request: ListRequest): Promise<void> {
    await handleRepositories(this.#deps.hosted.lists, ctx, request);
  }

  /** @throws {DockyardError} what the client is to be told */
  async handle(ctx: FacadeContext, request: HostedRequest): Promise<void> {
    const { path } = request;
    switch (path.kind) {
      case 'blob':
        if (ctx.method === 'DELETE') return await handleBlobDelete(this.#push, ctx, { ...request, path });
        await this.#blobs.handle(ctx, { ...request, path });
        return await this.#tellPull(ctx, request);
      case 'manifest':
        if (ctx.method === 'PUT') return await handleManifestPush(this.#push, ctx, { ...request, path });
        if (ctx.method === 'DELETE') return await handleManifestDelete(this.#push, ctx, { ...request, path });
        await handleManifest(this.#deps.hosted.manifests, ctx, { ...request, path });
        return await this.#tellPull(ctx, request);
      case 'tags':
        return await handleTags(this.#deps.hosted.lists, ctx, { ...request, path });
      case 'referrers':
        return await handleReferrers(this.#deps.hosted.lists, ctx, { ...request, path });
      case 'upload':
        return await this.#uploads.handle(ctx, { ...request, path });
    }
  }

  /** HEAD and what the client had already are no pulls. */
  async #tellPull(ctx: FacadeContext, { context, path }: HostedRequest): Promise<void> {
    if (this.#deps.listener === undefined || ctx.method !== 'GET' || ctx.state.isShort) return;
    if (ctx.status !== 200 && ctx.status !== 206) return;
    const { name } = context.repository;
    const digest = ctx.res.getHeader('Docker-Content-Digest') as RegistryEvent['digest'];
    const tag = path.kind === 'manifest' && !path.referenceText.includes(':') ? path.referenceText : undefined;
    const mediaType = String(ctx.res.getHeader('Content-Type'));
    const sizeBytes = ctx.state.sentBytes ?? ctx.length;
    await this.#tell(ctx, { action: 'pull', repository: name, digest, tag, mediaType, sizeBytes });
  }

  async #tell(ctx: FacadeContext, event: Omit<RegistryEvent, 'request'>): Promise<void> {
    try {
      await this.#deps.listener?.onEvent({ ...event, request: requestOf(ctx) });
    } catch (error) {
      this.#deps.log.error(
        { err: error, action: event.action, repository: event.repository },
        'event could not be told',
      );
    }
  }
}
