/** Deleting tags and manifests. */
import { formatManifestReference, type ManifestReference } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import type { OriginRegistry } from '../origin/origin-registry.ts';
import { unknownImage } from './errors.ts';
import { refusal } from './refusal.ts';

/**
 * Deletes a tag, or a manifest with all of its tags; the space is freed when the registry collects its garbage.
 * @throws {DockyardError} ERR_IMAGE_UNKNOWN, ERR_REGISTRY_REFUSED; those of ORIGIN_ERRORS
 */
export async function deleteManifest(
  origin: Pick<OriginRegistry, 'pass'>,
  repository: Repository,
  reference: ManifestReference,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const text = formatManifestReference(reference);
  const answer = await origin.pass(repository, { method: 'DELETE', rest: `manifests/${text}`, headers: {} }, options);
  if (answer.status >= 200 && answer.status < 300) return;
  if (answer.status === 404) throw unknownImage(repository, reference);
  const what = reference.kind === 'tag' ? `to delete the tag ${text}` : `to delete ${text}`;
  throw refusal(repository, what, answer);
}
