/**
 * The keys of a catalog. NUL separates parts and is in no name, tag or digest, so two things never share a key, and what
 * belongs together stands together, in order. All keys are ASCII.
 *
 *   v!                                    the version of this layout
 *   r!<name>                              a repository; its value is `hidden` while nothing is in it, else empty
 *   b!<name>NUL<digest>                   a blob that may be seen in it
 *   m!<name>NUL<digest>                   facts of a manifest       d!<name>NUL<digest>   its bytes
 *   s!<name>NUL<subject>NUL<digest>       a manifest that names `subject` as its subject
 *   t!<name>NUL<tag>                      where a tag points
 *   p!<name>NUL<digest>NUL<tag>           the same from the other end
 *   a!<name>NUL<digest>                   when a manifest was last asked for
 *   w!                                    since when that is kept
 *   u!<upload id>                         for which repository an upload was begun
 *
 * Values are JSON, but for the bytes of manifests, for `r!`, and for `p!`, whose values are empty.
 */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';
import type { KeyRange } from './key-value.ts';

/** What `v!` holds. */
export const CATALOG_VERSION = '1';

/** Makes keys. */
export const KEY = {
  version: (): string => 'v!',
  repository: (name: RepositoryName): string => `r!${name}`,
  blob: (name: RepositoryName, digest: Digest): string => `b!${name}\0${digest}`,
  manifest: (name: RepositoryName, digest: Digest): string => `m!${name}\0${digest}`,
  manifestBytes: (name: RepositoryName, digest: Digest): string => `d!${name}\0${digest}`,
  referrer: (name: RepositoryName, subject: Digest, digest: Digest): string => `s!${name}\0${subject}\0${digest}`,
  tag: (name: RepositoryName, tag: Tag): string => `t!${name}\0${tag}`,
  pointer: (name: RepositoryName, digest: Digest, tag: Tag): string => `p!${name}\0${digest}\0${tag}`,
  pull: (name: RepositoryName, digest: Digest): string => `a!${name}\0${digest}`,
  pullsKeptSince: (): string => 'w!',
  upload: (id: string): string => `u!${id}`,
} as const;

/** Makes the beginnings of keys that stand together. */
export const PREFIX = {
  repositories: 'r!',
  uploads: 'u!',
  blobs: (name: RepositoryName): string => `b!${name}\0`,
  manifests: (name: RepositoryName): string => `m!${name}\0`,
  referrers: (name: RepositoryName, subject: Digest): string => `s!${name}\0${subject}\0`,
  tags: (name: RepositoryName): string => `t!${name}\0`,
  pulls: (name: RepositoryName): string => `a!${name}\0`,
  pointers: (name: RepositoryName, digest: Digest): string => `p!${name}\0${digest}\0`,
} as const;

/** All keys with a prefix, or those of them after one. */
export function keysUnder(prefix: string, after?: string): KeyRange {
  // The least key that is greater than `after` has a NUL more.
  return { from: after === undefined ? prefix : `${prefix}${after}\0`, to: `${prefix}\u007f` };
}
