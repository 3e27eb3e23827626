/** One manifest to a repository. What it needs is there already. */
import type { Digest } from '../oci/digest.ts';
import { formatManifestReference, type ManifestReference } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import type { OriginManifest } from '../origin/origin-manifest.ts';
import { passPatiently, type BlobPushDeps } from './blob-push.ts';
import { imageError } from './errors.ts';
import { refusal } from './refusal.ts';

/** @throws {DockyardError} ERR_COPY_INCOMPLETE, ERR_REGISTRY_REFUSED; those of ORIGIN_ERRORS */
export async function pushManifest(
  deps: BlobPushDeps,
  to: Repository,
  { bytes, digest, mediaType }: OriginManifest,
  target: ManifestReference,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  async function* body(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(bytes);
  }
  const rest = `manifests/${formatManifestReference(target)}`;
  const headers = { 'content-type': mediaType, 'content-length': String(bytes.length) };
  const makeRequest = () => ({ method: 'PUT', rest, headers, body: body() }) as const;
  const answer = await passPatiently(deps, to, makeRequest, options);
  if (answer.status < 200 || answer.status > 299) throw refusal(to, `the manifest ${digest}`, answer);
  const kept = answer.headers['docker-content-digest'] as Digest | undefined;
  if (kept !== undefined && kept !== digest && target.kind === 'digest') {
    throw imageError('ERR_COPY_INCOMPLETE', `${formatRepository(to)} kept ${kept} and not ${digest}`);
  }
}
