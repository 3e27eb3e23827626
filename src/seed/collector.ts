/**
 * Collects garbage of a seed while it runs: tags that retention drops, manifests that no tag leads to, links of blobs that no
 * manifest of their repository needs, and bytes that no repository needs.
 *
 * One repository after the other is marked, and swept in small batches during which nothing is added to it; when a manifest
 * was pushed meanwhile, it is marked again. Then stored blobs are compared, some at a time, with what all repositories link
 * and need. Memory: the digests of one repository, and of one such part.
 */
import type { Catalog } from '../catalog/catalog.ts';
import { inBatches } from '../oci/batches.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { BlobStorage } from '../storage/blob-storage.ts';
import type { CollectionObserver, CollectionOutcome } from './collection-observer.ts';
import { seedError } from './errors.ts';
import type { PullTimes } from './pull-times.ts';
import type { PushGate, PushWatch } from './push-gate.ts';
import type { CollectionEvent, Removal } from './removal.ts';
import { isOld, RepositoryGarbage, type CollectionRules } from './repository-garbage.ts';
import { Retention, type RetentionConfig } from './retention.ts';
import type { SeedPolicy } from './seed-policy.ts';

export interface CollectorDeps {
  readonly catalog: Pick<Catalog, 'repositories' | 'blobs' | 'manifests' | 'tags'>;
  readonly storage: Pick<BlobStorage, 'blobs'>;
  readonly gate: Pick<PushGate, 'removeFrom' | 'watch'>;
  readonly policy: Pick<SeedPolicy, 'isImmutable'>;
  readonly clock: { nowMs(): number };
  readonly observer?: CollectionObserver | undefined;
  /** When manifests were last asked for; without it only pushes count. */
  readonly pulls?: Pick<PullTimes, 'read' | 'last'> | undefined;
}

export interface CollectorConfig {
  /** How long what nobody needs is kept, from when it was pushed, mounted or last asked for. */
  readonly graceMs: number;
  /** Whether manifests go that no tag leads to. */
  readonly untagged: boolean;
  readonly retention: RetentionConfig;
}

export interface CollectOptions {
  /** Says what would be removed, and removes nothing. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** So many things are removed from a repository before pushes to it may go on. */
const BATCH = 32;
/** A repository that is pushed to all the time is marked so often in one run. */
const MAX_MARKS = 3;
/** Stored blobs that are compared with the catalog at once: some tens of megabytes. */
const WINDOW = 100_000;
const PAGE = 1000;

interface Run {
  readonly rules: CollectionRules;
  readonly watch: PushWatch;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

/** One for each seed. */
export class Collector {
  readonly #deps: CollectorDeps;
  readonly #config: CollectorConfig;
  readonly #retention: Retention;
  #isRunning = false;

  constructor(deps: CollectorDeps, config: CollectorConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#retention = new Retention(config.retention);
  }

  /**
   * Removes what nobody needs, as fast as the caller takes what was removed. It may be ended at any time: what was not
   * removed is found by the next run.
   * @throws {DockyardError} ERR_COLLECTION_RUNNING; those of storage and of the catalog
   */
  async *collect({ dryRun = false, signal }: CollectOptions = {}): AsyncGenerator<CollectionEvent> {
    if (this.#isRunning) throw seedError('ERR_COLLECTION_RUNNING', 'garbage is being collected already');
    this.#isRunning = true;
    const { graceMs, untagged } = this.#config;
    // From before the first look on, so that nothing is used unseen.
    using watch = this.#deps.gate.watch();
    const { clock } = this.#deps;
    const observer = dryRun ? undefined : this.#deps.observer;
    let outcome: CollectionOutcome = 'broken_off';
    try {
      const rules = { nowMs: clock.nowMs(), graceMs, untagged };
      for await (const event of this.#run({ rules, watch, dryRun, signal })) {
        await observer?.onEvent(event);
        yield event;
      }
      outcome = 'complete';
    } finally {
      this.#isRunning = false;
      observer?.onEnd(outcome, clock.nowMs());
    }
  }

  async *#run(run: Run): AsyncGenerator<CollectionEvent> {
    for await (const repository of this.#repositories(run)) yield* this.#collectRepository(repository, run);
    yield* this.#collectBlobs(run);
  }

  async *#collectRepository(repository: RepositoryName, run: Run): AsyncGenerator<CollectionEvent> {
    for (let marks = 0; marks < MAX_MARKS; marks += 1) {
      const before = run.watch.manifestCount(repository);
      const garbage = await this.#find(repository, run);
      if (run.dryRun) {
        yield* garbage.list();
        return;
      }
      const isTrue = (): boolean => run.watch.manifestCount(repository) === before;
      if (!(yield* this.#sweep(repository, garbage, isTrue, run))) continue;
      const { repositories } = this.#deps.catalog;
      await this.#deps.gate.removeFrom(repository, async () => await repositories.hideEmpty(repository));
      return;
    }
    yield { kind: 'postponed', repository };
  }

  /** @returns false when what was found is not true any more */
  async *#sweep(
    repository: RepositoryName,
    garbage: RepositoryGarbage,
    isTrue: () => boolean,
    { rules, signal }: Run,
  ): AsyncGenerator<CollectionEvent, boolean> {
    for await (const batch of inBatches(garbage.list(), BATCH)) {
      signal?.throwIfAborted();
      const removed = await this.#deps.gate.removeFrom(repository, async () => {
        const done: Removal[] = [];
        // Pushes wait outside, so the answer stays what it is.
        if (!isTrue()) return undefined;
        for (const removal of batch) if (await this.#remove(removal, rules)) done.push(removal);
        return done;
      });
      if (removed === undefined) return false;
      // Only now: the caller may take its time.
      yield* removed;
    }
    return true;
  }

  async #remove(removal: Exclude<Removal, { kind: 'blob' }>, rules: CollectionRules): Promise<boolean> {
    const { blobs, manifests, tags } = this.#deps.catalog;
    const { repository, digest } = removal;
    if (removal.kind === 'tag') return (await tags.delete(repository, removal.tag)) !== undefined;
    if (removal.kind === 'manifest') {
      // Whoever asked for it since may rely on it.
      const pulledAtMs = (await this.#deps.pulls?.last(repository, digest)) ?? 0;
      return isOld(pulledAtMs, rules) && (await manifests.delete(repository, digest)) !== undefined;
    }
    // It may have been pushed, mounted or asked for since.
    const link = await blobs.get(repository, digest);
    return link !== undefined && isOld(link.linkedAtMs, rules) && (await blobs.delete(repository, digest));
  }

  async *#collectBlobs(run: Run): AsyncGenerator<CollectionEvent> {
    const { blobs } = this.#deps.storage;
    const { rules, watch, dryRun, signal } = run;
    let after: Digest | undefined;
    do {
      const old = new Map<Digest, number>();
      const from: Digest | undefined = after;
      after = undefined;
      for await (const { digest, sizeBytes, storedAtMs } of blobs.list({ after: from, signal })) {
        if (isOld(storedAtMs, rules)) old.set(digest, sizeBytes);
        if (old.size < WINDOW) continue;
        after = digest;
        break;
      }
      await this.#spareNeeded(old, run);
      for (const [digest, sizeBytes] of old) {
        signal?.throwIfAborted();
        const isGone = dryRun || (await watch.take(digest, async () => await this.#removeBlob(digest, rules)));
        if (isGone) yield { kind: 'blob', digest, sizeBytes };
      }
    } while (after !== undefined);
  }

  async #removeBlob(digest: Digest, rules: CollectionRules): Promise<boolean> {
    const { blobs } = this.#deps.storage;
    const stored = await blobs.stat(digest);
    return stored !== undefined && isOld(stored.storedAtMs, rules) && (await blobs.delete(digest));
  }

  /** Takes out of `digests` what a repository links or needs. */
  async #spareNeeded(digests: Map<Digest, number>, run: Run): Promise<void> {
    for await (const repository of this.#repositories(run)) {
      if (digests.size === 0) return;
      // What a dry run did not remove is still there, and has to be left out.
      const needed = run.dryRun ? (await this.#find(repository, run)).survivors() : this.#neededNow(repository);
      for await (const digest of needed) digests.delete(digest);
    }
  }

  async *#neededNow(repository: RepositoryName): AsyncGenerator<Digest> {
    const { blobs, manifests } = this.#deps.catalog;
    for await (const link of blobs.list(repository)) yield link.digest;
    // A blob may be deleted from a repository while manifests there need it.
    for await (const manifest of manifests.list(repository)) yield* manifest.blobs;
  }

  async #find(repository: RepositoryName, { rules }: Run): Promise<RepositoryGarbage> {
    const { catalog, policy, pulls } = this.#deps;
    return await RepositoryGarbage.find({ catalog, policy, pulls, retention: this.#retention }, rules, repository);
  }

  async *#repositories({ signal }: Run): AsyncGenerator<RepositoryName> {
    let after: RepositoryName | undefined;
    do {
      const names: RepositoryName[] = await this.#deps.catalog.repositories.list({ after, limit: PAGE });
      after = names.at(-1);
      for (const name of names) {
        signal?.throwIfAborted();
        yield name;
      }
    } while (after !== undefined);
  }
}
