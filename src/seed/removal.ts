/** What a collection of garbage removes, one thing at a time, and what it comes to. */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';

/** One thing that was removed, or would be. */
export type Removal =
  | { readonly kind: 'tag'; readonly repository: RepositoryName; readonly tag: Tag; readonly digest: Digest }
  | {
      readonly kind: 'manifest';
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly sizeBytes: number;
    }
  /** That a blob may be seen in a repository; its bytes may be needed elsewhere. */
  | { readonly kind: 'link'; readonly repository: RepositoryName; readonly digest: Digest; readonly sizeBytes: number }
  /** The bytes of a blob. */
  | { readonly kind: 'blob'; readonly digest: Digest; readonly sizeBytes: number };

/** What is said of a run as it goes on. */
export type CollectionEvent =
  | Removal
  /** So much was pushed to a repository meanwhile that the rest of its garbage was left for the next run. */
  | { readonly kind: 'postponed'; readonly repository: RepositoryName };

/** What a run came to. */
export interface CollectionTotals {
  readonly tags: number;
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  readonly postponed: number;
  /** Of blobs and manifests. */
  readonly freedBytes: number;
}

/** Before anything was removed. */
export const NOTHING_REMOVED: CollectionTotals = {
  tags: 0,
  manifests: 0,
  links: 0,
  blobs: 0,
  postponed: 0,
  freedBytes: 0,
};

/** What a run came to so far, one event later. */
export function addEvent(totals: CollectionTotals, event: CollectionEvent): CollectionTotals {
  switch (event.kind) {
    case 'tag':
      return { ...totals, tags: totals.tags + 1 };
    case 'manifest':
      return { ...totals, manifests: totals.manifests + 1, freedBytes: totals.freedBytes + event.sizeBytes };
    case 'link':
      return { ...totals, links: totals.links + 1 };
    case 'blob':
      return { ...totals, blobs: totals.blobs + 1, freedBytes: totals.freedBytes + event.sizeBytes };
    case 'postponed':
      return { ...totals, postponed: totals.postponed + 1 };
  }
}
