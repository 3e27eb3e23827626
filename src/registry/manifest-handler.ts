/**
 * Manifests: GET and HEAD by tag and digest. The bytes and their Content-Type are answered exactly as they were pushed.
 * An Accept header that leaves that type out changes nothing: nothing else could be given under the same digest, and
 * clients judge the type that they get.
 * @see OCI distribution-spec v1.1, end-3
 */
import { parseManifestReference } from '../oci/name.ts';
import { formatRepository } from '../oci/repository.ts';
import { IMMUTABLE_CACHE_CONTROL } from './blob-handler.ts';
import { entityTag, matchesIfNoneMatch } from './entity-tag.ts';
import { registryError } from './errors.ts';
import type { FacadeContext, PathOf, RoutedRequest } from './facade-state.ts';
import type { ManifestService } from './ports.ts';

/** Answers a request for a manifest. */
export async function handleManifest(
  manifests: ManifestService,
  ctx: FacadeContext,
  request: RoutedRequest<PathOf<'manifest'>>,
): Promise<void> {
  const reference = parseManifestReference(request.path.referenceText);
  const manifest = await manifests.get(reference, request.context);
  if (manifest === undefined) {
    const repository = formatRepository(request.context.repository);
    throw registryError('ERR_MANIFEST_UNKNOWN', `${repository} has no manifest '${request.path.referenceText}'`);
  }
  const tag = entityTag(manifest.digest);
  ctx.set('Docker-Content-Digest', manifest.digest);
  ctx.set('ETag', tag);
  if (reference.kind === 'digest') ctx.set('Cache-Control', IMMUTABLE_CACHE_CONTROL);
  if (manifest.staleForMs !== undefined) markStale(ctx, manifest.staleForMs);
  if (matchesIfNoneMatch(ctx.req.headers['if-none-match'], tag)) {
    ctx.status = 304;
    return;
  }
  ctx.status = 200;
  ctx.set('Content-Type', manifest.mediaType);
  ctx.body = manifest.bytes;
}

/** Tells that the tag could not be checked with its upstream. @see RFC 7234, section 5.5.1 (110) */
function markStale(ctx: FacadeContext, staleForMs: number): void {
  const seconds = String(Math.max(0, Math.floor(staleForMs / 1000)));
  ctx.set('Warning', `110 - "stale, last checked ${seconds} s ago"`);
  ctx.set('Age', seconds);
  ctx.set('Dockyard-Stale', seconds);
}
