/**
 * What became of tags and manifests, and which of two changes of one of them stands. Pure.
 *
 * Seeds that keep the same images change them apart from each other and tell each other afterwards, in any order and more
 * than once. So which change stands must not depend on that order: it is the greatest by time, then a deletion, then the
 * greatest digest. All seeds that know the same changes stand the same.
 */
import { isDigest, type Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';

/** What a tag or a manifest is since when. */
export interface Standing {
  /** Where the tag points, or the manifest itself; `undefined` once it was deleted. */
  readonly digest?: Digest | undefined;
  readonly atMs: number;
}

/** A tag, or a manifest by its digest; a tag has no colon. */
export interface ChangedReference {
  readonly repository: RepositoryName;
  readonly reference: Tag | Digest;
}

/** The last change of a tag or a manifest. */
export type Change = ChangedReference & Standing;

/** True for a tag or manifest that is a tag. */
export function isTagReference(reference: Tag | Digest): reference is Tag {
  return !isDigest(reference);
}

/** True when `change` stands and not `other`, which is what was known so far. The same once more does not. */
export function outdoes(change: Standing, other: Standing | undefined): boolean {
  if (other === undefined || change.atMs !== other.atMs) return change.atMs > (other?.atMs ?? -1);
  if (change.digest === undefined || other.digest === undefined)
    return other.digest !== change.digest && change.digest === undefined;
  return change.digest > other.digest;
}

/**
 * The time of a change that somebody makes here, who has seen what stands: later than that, also when the clock of the seed
 * that made it ran ahead of this one.
 */
export function timeAfter(standing: Standing | undefined, digest: Digest | undefined, nowMs: number): number {
  if (standing === undefined) return nowMs;
  // A deletion outdoes what has its time, and the same once more need not be later.
  const isLaterThan = digest === undefined || digest === standing.digest ? standing.atMs : standing.atMs + 1;
  return Math.max(nowMs, isLaterThan);
}
