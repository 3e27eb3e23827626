/**
 * The tag under which clients list what refers to a manifest, in registries that have no list of their own.
 * @see OCI distribution-spec v1.1, "Referrers Tag Schema"
 */
import { digestAlgorithm, digestHex, DIGEST_ALGORITHMS, isDigest, type Digest } from './digest.ts';
import { isTag, type Tag } from './name.ts';

const MAX_ALGORITHM_LENGTH = 32;
const MAX_HEX_LENGTH = 64;

/** `sha256-…` */
export function referrersTag(subject: Digest): Tag {
  const tag = `${digestAlgorithm(subject).slice(0, MAX_ALGORITHM_LENGTH)}-${digestHex(subject).slice(0, MAX_HEX_LENGTH)}`;
  if (isTag(tag)) return tag;
  throw new TypeError(`the digest ${subject} gives no tag`);
}

/** The manifest whose referrers a tag lists; `undefined` for other tags, and where the tag holds a part of the digest alone. */
export function subjectOfTag(tag: Tag): Digest | undefined {
  const [algorithm = '', hex = '', ...rest] = tag.split('-');
  const digest = `${algorithm}:${hex}`;
  return rest.length === 0 && hex.length === DIGEST_ALGORITHMS.sha256 && isDigest(digest) ? digest : undefined;
}
