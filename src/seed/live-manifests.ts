/**
 * Which manifests of a repository live: those that a tag points to, those that were pushed a short while ago, what is in an
 * index that lives, and what is attached to a subject that lives. Pure.
 */
import type { Digest } from '../oci/digest.ts';

/** What decides about a manifest. */
export interface ManifestNode {
  readonly sizeBytes: number;
  readonly pushedAtMs: number;
  readonly subject: Digest | undefined;
  /** What an index names. */
  readonly manifests: readonly Digest[];
}

/** All manifests that can be reached from `roots`. */
export function liveManifests(nodes: ReadonlyMap<Digest, ManifestNode>, roots: Iterable<Digest>): Set<Digest> {
  const attached = new Map<Digest, Digest[]>();
  for (const [digest, { subject }] of nodes) {
    if (subject === undefined) continue;
    const others = attached.get(subject);
    if (others === undefined) attached.set(subject, [digest]);
    else others.push(digest);
  }
  const live = new Set<Digest>();
  const add = (digests: Iterable<Digest>): void => {
    for (const digest of digests) if (nodes.has(digest)) live.add(digest);
  };
  add(roots);
  // A set goes through what is added on the way as well.
  for (const digest of live) {
    add(nodes.get(digest)?.manifests ?? []);
    add(attached.get(digest) ?? []);
  }
  return live;
}

/** Indexes before what they name: whenever a removal in this order stops, no index is left that lacks a part. */
export function indexesFirst(nodes: ReadonlyMap<Digest, ManifestNode>): Digest[] {
  const namedBy = new Map<Digest, number>();
  for (const { manifests } of nodes.values()) {
    for (const digest of manifests) namedBy.set(digest, (namedBy.get(digest) ?? 0) + 1);
  }
  const order = [...nodes.keys()].filter((digest) => !namedBy.has(digest));
  // An array, too, goes through what is added on the way. A digest cannot be within itself, so this reaches all.
  for (const digest of order) {
    for (const part of nodes.get(digest)?.manifests ?? []) {
      const left = (namedBy.get(part) ?? 0) - 1;
      namedBy.set(part, left);
      if (left === 0 && nodes.has(part)) order.push(part);
    }
  }
  return order;
}
