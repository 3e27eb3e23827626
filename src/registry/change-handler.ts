/**
 * Manifests that are pushed, and what is deleted.
 * @see OCI distribution-spec v1.1, end-7, end-9, end-10
 */
import { isTag, parseManifestReference, type ManifestReference, type Tag } from '../oci/name.ts';
import { MAX_MANIFEST_SIZE_BYTES } from '../oci/manifest.ts';
import { parseDigest } from '../oci/digest.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, PathOf, RoutedRequest } from './facade-state.ts';
import { answerEmpty, type PushDeps } from './push-deps.ts';
import { RequestBody } from './request-body.ts';

/** Takes a manifest. @throws {DockyardError} what the client is to be told */
export async function handleManifestPush(
  deps: PushDeps,
  ctx: FacadeContext,
  { context, path, search }: RoutedRequest<PathOf<'manifest'>>,
): Promise<void> {
  const reference = referenceOf(path.referenceText);
  const tags = tagsOf(search);
  const bytes = await new RequestBody(ctx.req, ctx.res, deps.pace).whole(MAX_MANIFEST_SIZE_BYTES);
  const contentType = ctx.req.headers['content-type'];
  const kept = await deps.hosted.manifests.put({ reference, tags, contentType, bytes }, context);
  const { name } = context.repository;
  const { digest, mediaType, sizeBytes, subject } = kept;
  const all = reference.kind === 'tag' ? [reference.tag, ...tags] : tags;
  for (const tag of all.length === 0 ? [undefined] : all) {
    await deps.tell(ctx, { action: 'push', repository: name, digest, tag, mediaType, sizeBytes });
  }
  answerEmpty(ctx, 201);
  ctx.set('Location', `/v2/${name}/manifests/${digest}`);
  ctx.set('Docker-Content-Digest', digest);
  if (subject !== undefined) ctx.set('OCI-Subject', subject);
  if (tags.length > 0) ctx.set('OCI-Tag', [...tags]);
}

/** Deletes a manifest or a tag. @throws {DockyardError} what the client is to be told */
export async function handleManifestDelete(
  deps: PushDeps,
  ctx: FacadeContext,
  { context, path }: RoutedRequest<PathOf<'manifest'>>,
): Promise<void> {
  const reference = parseManifestReference(path.referenceText);
  const { digest, tag } = await deps.hosted.manifests.delete(reference, context);
  const target = tag === undefined ? { digest } : { tag };
  await deps.tell(ctx, { action: 'delete', repository: context.repository.name, ...target });
  answerEmpty(ctx, 202);
}

/** Takes a blob out of a repository. @throws {DockyardError} what the client is to be told */
export async function handleBlobDelete(
  deps: PushDeps,
  ctx: FacadeContext,
  { context, path }: RoutedRequest<PathOf<'blob'>>,
): Promise<void> {
  const digest = parseDigest(path.digestText);
  await deps.hosted.blobs.delete(digest, context);
  await deps.tell(ctx, { action: 'delete', repository: context.repository.name, digest });
  answerEmpty(ctx, 202);
}

/** A tag that cannot be is not found where it is asked for; where it is to be made it is refused. */
function referenceOf(text: string): ManifestReference {
  if (!text.includes(':') && !isTag(text)) throw tagInvalid(text);
  return parseManifestReference(text);
}

function tagsOf(search: string): Tag[] {
  const tags: Tag[] = [];
  for (const text of new URLSearchParams(search).getAll('tag')) {
    if (!isTag(text)) throw tagInvalid(text);
    if (!tags.includes(text)) tags.push(text);
  }
  return tags;
}

function tagInvalid(text: string): Error {
  return registryError('ERR_TAG_INVALID', `'${text.slice(0, 160)}' is not a tag`);
}
