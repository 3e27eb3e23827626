/**
 * Repository names and tags.
 * @see OCI distribution-spec v1.1, "Pulling manifests"
 */
import { isDigest, type Digest } from './digest.ts';
import { ociError } from './errors.ts';

declare const nameBrand: unique symbol;
declare const tagBrand: unique symbol;

/** A repository name without its host: `library/alpine`. */
export type RepositoryName = string & { readonly [nameBrand]: true };

/** A tag: `latest`. */
export type Tag = string & { readonly [tagBrand]: true };

/** What stands behind the repository name of a manifest request. */
export type ManifestReference =
  { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'digest'; readonly digest: Digest };

const NAME_PATTERN = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG_PATTERN = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Many clients limit host, slash and name together to 255 characters; no name may be longer by itself. */
export const MAX_NAME_LENGTH = 255;

/** True when `text` is a repository name. */
export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= MAX_NAME_LENGTH && NAME_PATTERN.test(text);
}

/**
 * Reads a repository name from untrusted text.
 * @throws {DockyardError} ERR_NAME_INVALID
 */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  if (text.length > MAX_NAME_LENGTH) {
    throw ociError(
      'ERR_NAME_INVALID',
      `a repository name has at most ${MAX_NAME_LENGTH} characters, not ${text.length}`,
    );
  }
  throw ociError('ERR_NAME_INVALID', `'${text}' is not a repository name`);
}

/** True when `text` is a tag. */
export function isTag(text: string): text is Tag {
  return TAG_PATTERN.test(text);
}

/**
 * Reads the last part of a manifest path: a digest or a tag.
 * @throws {DockyardError} ERR_DIGEST_INVALID when it has a colon but is no supported digest, ERR_REFERENCE_INVALID otherwise
 */
export function parseManifestReference(text: string): ManifestReference {
  if (isDigest(text)) return { kind: 'digest', digest: text };
  const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text;
  if (text.includes(':')) throw ociError('ERR_DIGEST_INVALID', `'${shown}' is not a sha256 or sha512 digest`);
  if (isTag(text)) return { kind: 'tag', tag: text };
  throw ociError('ERR_REFERENCE_INVALID', `'${shown}' is not a tag`);
}

/** A manifest reference as it stands in a path. */
export function formatManifestReference(reference: ManifestReference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}
