/**
 * Uploads: begun, added to in chunks or in one stream, finished, asked after, cancelled; and mounts.
 * @see OCI distribution-spec v1.1, end-4 to end-6, end-11, end-13
 */
import { parseDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, type RepositoryName } from '../oci/name.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, PathOf, RoutedRequest } from './facade-state.ts';
import type { HostedBlob, HostedChunk, HostedUpload, UploadService } from './hosted-ports.ts';
import { readContentRange, singleParameter } from './push-parameters.ts';
import { answerEmpty, type PushDeps } from './push-deps.ts';
import { recycleChunk, RequestBody } from './request-body.ts';

type UploadRequest = RoutedRequest<PathOf<'upload'>>;

/** Answers requests about uploads. */
export class UploadHandler {
  readonly #deps: PushDeps;
  readonly #uploads: UploadService;

  constructor(deps: PushDeps) {
    this.#deps = deps;
    this.#uploads = deps.hosted.uploads;
  }

  /** @throws {DockyardError} what the client is to be told */
  async handle(ctx: FacadeContext, request: UploadRequest): Promise<void> {
    const isBeginning = request.path.sessionText === '';
    if (isBeginning !== (ctx.method === 'POST')) {
      if (ctx.method === 'GET' || ctx.method === 'HEAD') throw registryError('ERR_ROUTE_UNKNOWN', 'no upload is named');
      ctx.set('Allow', isBeginning ? 'POST' : 'GET, HEAD, PATCH, PUT, DELETE');
      throw registryError('ERR_METHOD_UNSUPPORTED', 'an upload is begun with POST, and goes on at its own location');
    }
    switch (ctx.method) {
      case 'POST':
        return await this.#post(ctx, request);
      case 'PATCH':
        return await this.#patch(ctx, request);
      case 'PUT':
        return await this.#put(ctx, request);
      case 'DELETE':
        await this.#uploads.cancel(request.path.sessionText, request.context);
        ctx.status = 204;
        return;
      default:
        this.#answerStatus(ctx, request, await this.#uploads.status(request.path.sessionText, request.context), 204);
    }
  }

  async #post(ctx: FacadeContext, request: UploadRequest): Promise<void> {
    const query = new URLSearchParams(request.search);
    const algorithm = singleParameter(query, 'digest-algorithm');
    if (algorithm !== undefined && algorithm !== 'sha256' && algorithm !== 'sha512') {
      throw registryError(
        'ERR_DIGEST_ALGORITHM',
        `'${algorithm.slice(0, 40)}' is not a digest algorithm of this registry`,
      );
    }
    const mounted = singleParameter(query, 'mount');
    if (mounted !== undefined && (await this.#mount(ctx, request, parseDigest(mounted), query))) return;
    const digestText = singleParameter(query, 'digest');
    if (digestText === undefined || mounted !== undefined) {
      this.#answerStatus(ctx, request, await this.#uploads.begin(request.context), 202);
      return;
    }
    const digest = parseDigest(digestText);
    const blob = await this.#uploads.put(digest, this.#chunk(ctx), request.context);
    await this.#answerBlob(ctx, request, blob, undefined);
  }

  async #mount(ctx: FacadeContext, request: UploadRequest, digest: Digest, query: URLSearchParams): Promise<boolean> {
    const fromText = singleParameter(query, 'from');
    const from = fromText !== undefined && isRepositoryName(fromText) ? fromText : undefined;
    const blob = await this.#uploads.mount(digest, from, request.context);
    if (blob === undefined) return false;
    await this.#answerBlob(ctx, request, blob, from);
    return true;
  }

  async #patch(ctx: FacadeContext, request: UploadRequest): Promise<void> {
    const upload = await this.#uploads.append(request.path.sessionText, this.#chunk(ctx), request.context);
    this.#answerStatus(ctx, request, upload, 202);
  }

  async #put(ctx: FacadeContext, request: UploadRequest): Promise<void> {
    const digestText = singleParameter(new URLSearchParams(request.search), 'digest');
    if (digestText === undefined) throw registryError('ERR_DIGEST_MISSING', 'the query names no digest');
    const digest = parseDigest(digestText);
    const chunk = this.#chunk(ctx);
    const hasBody = new RequestBody(ctx.req, ctx.res, this.#deps.pace).declaredBytes !== 0;
    const { sessionText } = request.path;
    const blob = await this.#uploads.finish(sessionText, digest, hasBody ? chunk : undefined, request.context);
    await this.#answerBlob(ctx, request, blob, undefined);
  }

  /** @throws {DockyardError} ERR_CONTENT_RANGE when the headers contradict each other */
  #chunk(ctx: FacadeContext): HostedChunk {
    const body = new RequestBody(ctx.req, ctx.res, this.#deps.pace);
    const range = readContentRange(ctx.req.headers['content-range'], body.declaredBytes);
    return { body: body.chunks(), start: range?.start, recycle: recycleChunk };
  }

  #answerStatus(ctx: FacadeContext, request: UploadRequest, upload: HostedUpload, status: 202 | 204): void {
    answerEmpty(ctx, status);
    ctx.set('Location', `/v2/${request.context.repository.name}/blobs/uploads/${upload.id}`);
    // What the reference implementation answers where nothing came yet; clients read a range from every answer.
    ctx.set('Range', `0-${Math.max(0, upload.offsetBytes - 1)}`);
    ctx.set('Docker-Upload-UUID', upload.id);
  }

  async #answerBlob(
    ctx: FacadeContext,
    request: UploadRequest,
    { digest, sizeBytes }: HostedBlob,
    from: RepositoryName | undefined,
  ): Promise<void> {
    const { name } = request.context.repository;
    const action = from === undefined ? 'push' : 'mount';
    const mediaType = 'application/octet-stream';
    await this.#deps.tell(ctx, { action, repository: name, fromRepository: from, digest, sizeBytes, mediaType });
    answerEmpty(ctx, 201);
    ctx.set('Location', `/v2/${name}/blobs/${digest}`);
    ctx.set('Docker-Content-Digest', digest);
  }
}
