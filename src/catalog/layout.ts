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
 *   c!<name>NUL<tag or digest>            the last change of a tag or a manifest, also where that was its deletion
 *   f!<number>                            the same in the order of changes; 16 digits
 *   n!                                    the last number that was given
 *   h!                                    names the catalog to those who count its changes; absent until all are written
 *   e!                                    the chapters of these numbers (log-chapters.ts)
 *
 * Values are JSON, but for the bytes of manifests, for `r!`, `n!`, `h!`, and for `p!`, whose values are empty.
 */
import { isDigest, type Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';
import { catalogError } from './errors.ts';
import type { KeyRange } from './key-value.ts';

/** What `v!` holds. */
export const CATALOG_VERSION = '1';

const NUMBER_DIGITS = 16;

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
  lastChange: (name: RepositoryName, reference: Tag | Digest): string => `c!${name}\0${reference}`,
  change: (number: number): string => `f!${String(number).padStart(NUMBER_DIGITS, '0')}`,
  lastNumber: (): string => 'n!',
  logId: (): string => 'h!',
  chapters: (): string => 'e!',
} as const;

/** Makes the beginnings of keys that stand together. */
export const PREFIX = {
  repositories: 'r!',
  uploads: 'u!',
  changes: 'f!',
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

/** The number in the key of a change. */
export function numberOf(key: string): number {
  return Number(key.slice(PREFIX.changes.length));
}

/** The digest behind a prefix. @throws {DockyardError} ERR_CATALOG_DAMAGED */
export function digestIn(key: string, prefix: string): Digest {
  const digest = key.slice(prefix.length);
  if (isDigest(digest)) return digest;
  throw catalogError('ERR_CATALOG_DAMAGED', `the key ${JSON.stringify(key)} of the catalog names no digest`);
}
