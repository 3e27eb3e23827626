/**
 * What a seed knows of its repositories: which manifests and tags are in each, and which blobs may be seen there. Bytes of
 * blobs lie in storage of record; manifests are small and lie here.
 *
 * Every implementation keeps these promises (test/contract/catalog.ts): a change is made whole or not at all, and is durable
 * when its promise resolves; lists are read in order from where the caller says, and never whole into memory.
 */
import type { Annotations } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/name.ts';
import type { Changes } from './change-log.ts';
import type { Change } from './changes.ts';

/** A part of an ordered list. */
export interface Page<Key> {
  /** Begins after this one, which need not exist. */
  readonly after?: Key | undefined;
  readonly limit: number;
}

/** Repositories come into being with the first thing that is kept in them. */
export interface Repositories {
  /** True also of one that was hidden: a name that was pushed here is not given back. */
  has(name: RepositoryName): Promise<boolean>;
  list(page: Page<RepositoryName | string>): Promise<RepositoryName[]>;
  /**
   * Takes a repository in which nothing is left out of the list, until something is put into it again, and answers whether it
   * did. Nothing may be put into it meanwhile.
   */
  hideEmpty(name: RepositoryName): Promise<boolean>;
}

/** That a blob may be seen in a repository. */
export interface BlobLink {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** When it was last pushed or mounted there. */
  readonly linkedAtMs: number;
}

/** Blobs by repository. */
export interface BlobLinks {
  get(repository: RepositoryName, digest: Digest): Promise<BlobLink | undefined>;
  put(repository: RepositoryName, link: BlobLink): Promise<void>;
  /** False when it was not there. Manifests that need the blob are not looked at. */
  delete(repository: RepositoryName, digest: Digest): Promise<boolean>;
  list(repository: RepositoryName): AsyncIterable<BlobLink>;
}

/** What is known of a manifest without reading it. */
export interface ManifestFacts {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly pushedAtMs: number;
  /** What it is attached to; need not exist. */
  readonly subject?: Digest | undefined;
  readonly artifactType?: string | undefined;
  /** Empty where it has no subject: they are kept for the list of referrers. */
  readonly annotations: Annotations;
  /** Blobs and manifests that it needs, each once. */
  readonly blobs: readonly Digest[];
  readonly manifests: readonly Digest[];
}

/** A manifest as it was pushed. */
export interface CatalogManifest extends ManifestFacts {
  readonly bytes: Buffer;
}

/** One line of the answer to "what refers to this?". */
export interface Referrer {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly artifactType?: string | undefined;
  readonly annotations: Annotations;
}

/** That something is deleted for good, wherever else it is kept; without it, it is taken away here alone. */
export interface Deletion {
  readonly atMs: number;
}

/** Manifests by repository. */
export interface Manifests {
  get(repository: RepositoryName, digest: Digest): Promise<CatalogManifest | undefined>;
  /** Without its bytes. */
  stat(repository: RepositoryName, digest: Digest): Promise<ManifestFacts | undefined>;
  /** Keeps a manifest and lets tags point to it, all at once; later than what stood there, whatever its time says. */
  put(repository: RepositoryName, manifest: CatalogManifest, tags: readonly Tag[]): Promise<void>;
  /** Removes a manifest and the tags that point to it, and answers those; `undefined` when it was not there. */
  delete(repository: RepositoryName, digest: Digest, deletion?: Deletion): Promise<readonly Tag[] | undefined>;
  list(repository: RepositoryName): AsyncIterable<ManifestFacts>;
  /** What names `subject` as its subject, in the order of digests. */
  referrers(repository: RepositoryName, subject: Digest, after?: Digest): AsyncIterable<Referrer>;
}

/** Where a tag points. */
export interface TagEntry {
  readonly digest: Digest;
  readonly updatedAtMs: number;
}

/** Tags by repository. They are set by `Manifests.put`. */
export interface Tags {
  get(repository: RepositoryName, tag: Tag): Promise<TagEntry | undefined>;
  /** Answers where it pointed; `undefined` when it was not there. The manifest stays. */
  delete(repository: RepositoryName, tag: Tag, deletion?: Deletion): Promise<TagEntry | undefined>;
  /** In the order of their bytes. */
  list(repository: RepositoryName, page: Page<string>): Promise<Tag[]>;
  /** All of them with where they point, in the same order. */
  entries(repository: RepositoryName): AsyncIterable<readonly [tag: Tag, entry: TagEntry]>;
}

/** What came of a change of another seed: it stands now; what stood outdoes it; or the manifest of its tag is not there. */
export type MergeOutcome = 'merged' | 'known' | 'lacking';

/** Changes that were made at other seeds; their times are kept as they are. */
export interface Merging {
  /** True for a change that would outdo what stands. */
  isNews(change: Change): Promise<boolean>;
  /** Keeps a manifest, pushed at its time. What it needs is there. */
  manifest(repository: RepositoryName, manifest: CatalogManifest): Promise<MergeOutcome>;
  /** Lets a tag point to a manifest. */
  tag(
    repository: RepositoryName,
    tag: Tag,
    to: { readonly digest: Digest; readonly atMs: number },
  ): Promise<MergeOutcome>;
  /** Deletes a tag, or a manifest with the tags that point to it. */
  deletion(change: Change): Promise<MergeOutcome>;
}

/** When a manifest was last asked for. */
export interface PullTime {
  readonly digest: Digest;
  readonly atMs: number;
}

/** Times of pulls by repository. A loss of power may take the latest. */
export interface PullRecords {
  /** Since when times are kept: `nowMs` if nobody asked before. */
  keptSinceMs(nowMs: number): Promise<number>;
  get(repository: RepositoryName, digest: Digest): Promise<number | undefined>;
  /** Keeps times of manifests, as far as those are there; they are forgotten with them. */
  put(repository: RepositoryName, times: readonly PullTime[]): Promise<void>;
  list(repository: RepositoryName): AsyncIterable<PullTime>;
}

/** For which repository an upload was begun. */
export interface UploadSession {
  readonly repository: RepositoryName;
  readonly startedAtMs: number;
}

/** Uploads that are under way, by their ids. Losing one to a loss of power ends that upload and no more, so they need not be durable. */
export interface UploadSessions {
  get(id: string): Promise<UploadSession | undefined>;
  put(id: string, session: UploadSession): Promise<void>;
  delete(id: string): Promise<void>;
  list(): AsyncIterable<readonly [id: string, session: UploadSession]>;
}

/** Whoever opened it closes it. */
export interface Catalog extends AsyncDisposable {
  readonly repositories: Repositories;
  readonly blobs: BlobLinks;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly pulls: PullRecords;
  readonly sessions: UploadSessions;
  /** Changes of tags and manifests, for seeds that keep the same. */
  readonly changes: Changes;
  /** What such seeds tell. */
  readonly merging: Merging;
  close(): Promise<void>;
}
