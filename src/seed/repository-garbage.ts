/** Finds what can go of one repository. Reads the catalog and changes nothing; memory is bounded by the repository. */
import type { BlobLink, Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { indexesFirst, liveManifests, type ManifestNode } from './live-manifests.ts';
import type { PullTimes } from './pull-times.ts';
import type { Removal } from './removal.ts';
import type { DatedTag, Retention } from './retention.ts';
import type { SeedPolicy } from './seed-policy.ts';

export interface RepositoryGarbageDeps {
  readonly catalog: Pick<Catalog, 'blobs' | 'manifests' | 'tags'>;
  readonly retention: Retention;
  readonly policy: Pick<SeedPolicy, 'isImmutable'>;
  /** When manifests were last asked for; without it only pushes count. */
  readonly pulls?: Pick<PullTimes, 'read'> | undefined;
}

/** By what a run decides. */
export interface CollectionRules {
  readonly nowMs: number;
  /** What is not older is kept, whoever needs it. */
  readonly graceMs: number;
  /** Whether manifests go that no tag leads to. */
  readonly untagged: boolean;
}

/** What one look at a repository found. It is true as long as no manifest is pushed there. */
export class RepositoryGarbage {
  readonly #deps: RepositoryGarbageDeps;
  readonly #rules: CollectionRules;
  readonly #repository: RepositoryName;
  #tags: readonly DatedTag[] = [];
  #dead: ReadonlyMap<Digest, ManifestNode> = new Map();
  /** Blobs that manifests need which stay. */
  readonly #needed = new Set<Digest>();

  private constructor(deps: RepositoryGarbageDeps, rules: CollectionRules, repository: RepositoryName) {
    this.#deps = deps;
    this.#rules = rules;
    this.#repository = repository;
  }

  /** Looks. */
  static async find(
    deps: RepositoryGarbageDeps,
    rules: CollectionRules,
    repository: RepositoryName,
  ): Promise<RepositoryGarbage> {
    const garbage = new RepositoryGarbage(deps, rules, repository);
    if (rules.untagged || deps.retention.hasRules) await garbage.#judgeManifests();
    for await (const { digest, blobs } of deps.catalog.manifests.list(repository)) {
      if (garbage.#dead.has(digest)) continue;
      for (const blob of blobs) garbage.#needed.add(blob);
    }
    return garbage;
  }

  /** In the order in which it is to be removed. */
  async *list(): AsyncGenerator<Exclude<Removal, { kind: 'blob' }>> {
    const repository = this.#repository;
    for (const { tag, digest } of this.#tags) yield { kind: 'tag', repository, tag, digest };
    for (const digest of indexesFirst(this.#dead)) {
      yield { kind: 'manifest', repository, digest, sizeBytes: this.#dead.get(digest)?.sizeBytes ?? 0 };
    }
    for await (const link of this.#deps.catalog.blobs.list(repository)) {
      if (!this.isGarbage(link)) continue;
      yield { kind: 'link', repository, digest: link.digest, sizeBytes: link.sizeBytes };
    }
  }

  /** True for a link that no manifest needs and that is old. */
  isGarbage({ digest, linkedAtMs }: BlobLink): boolean {
    return !this.#needed.has(digest) && isOld(linkedAtMs, this.#rules);
  }

  /** Blobs that are needed here when all that was found is gone. */
  async *survivors(): AsyncGenerator<Digest> {
    yield* this.#needed;
    for await (const link of this.#deps.catalog.blobs.list(this.#repository)) {
      if (!this.isGarbage(link)) yield link.digest;
    }
  }

  async #judgeManifests(): Promise<void> {
    const { catalog, policy, pulls, retention } = this.#deps;
    const { nowMs, untagged } = this.#rules;
    const repository = this.#repository;
    const pulled = await pulls?.read(repository);
    const nodes = new Map<Digest, ManifestNode>();
    for await (const { digest, sizeBytes, pushedAtMs, subject, manifests } of catalog.manifests.list(repository)) {
      nodes.set(digest, { sizeBytes, pushedAtMs, subject, manifests });
    }
    const tags: DatedTag[] = [];
    for await (const [tag, entry] of catalog.tags.entries(repository))
      tags.push({ tag, ...entry, pulledAtMs: pulled?.of(entry.digest) });
    this.#tags = retention
      .dropped(repository, tags, { nowMs, isThere: (digest) => nodes.has(digest) })
      .filter(({ tag }) => !policy.isImmutable(repository, tag));
    if (!untagged) return;
    const dropped = new Set(this.#tags.map(({ tag }) => tag));
    const roots = new Set(tags.filter(({ tag }) => !dropped.has(tag)).map(({ digest }) => digest));
    for (const [digest, { pushedAtMs }] of nodes) {
      if (!isOld(Math.max(pushedAtMs, pulled?.of(digest) ?? 0), this.#rules)) roots.add(digest);
    }
    const live = liveManifests(nodes, roots);
    this.#dead = new Map([...nodes].filter(([digest]) => !live.has(digest)));
  }
}

/** True for what is older than the grace period. */
export function isOld(atMs: number, { nowMs, graceMs }: CollectionRules): boolean {
  return atMs < nowMs - graceMs;
}
