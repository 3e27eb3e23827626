/**
 * Where pushes and garbage collection meet. A collection never waits for a push that may be long: what a push uses it leaves
 * alone, and what was used since it began to look counts as used. A push waits for a collection only while the very thing
 * that it needs, or a few things of its repository, are being removed.
 *
 * - A blob is in use from before its commit, or before a mount looks for it, until it is linked.
 * - A repository is entered to add a link or a manifest, and while what a manifest needs is looked up.
 */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import { SharedLock } from './shared-lock.ts';

/** What a collection sees of pushes from the moment when it was made. Whoever makes it disposes of it. */
export interface PushWatch extends Disposable {
  /** How many manifests were pushed to a repository; when it has grown, what was marked before may be wrong. */
  manifestCount(repository: RepositoryName): number;
  /**
   * Runs `remove` on a blob unless a push uses it or has used it since the watch began; pushes that want it wait meanwhile.
   * @returns false when it was left alone
   */
  take(digest: Digest, remove: () => Promise<boolean>): Promise<boolean>;
}

interface Watching {
  readonly used: Set<Digest>;
  readonly manifests: Map<RepositoryName, number>;
}

/** One for each seed. */
export class PushGate {
  readonly #repositories = new Map<RepositoryName, SharedLock>();
  /** Blobs in use, and by how many. */
  readonly #using = new Map<Digest, number>();
  /** Blobs that are being removed. */
  readonly #taking = new Map<Digest, Promise<unknown>>();
  readonly #watches = new Set<Watching>();

  /** Uses a blob: it is not removed before `work` has ended. */
  async useBlob<Result>(digest: Digest, work: () => Promise<Result>): Promise<Result> {
    while (this.#taking.has(digest)) await this.#taking.get(digest);
    this.#using.set(digest, (this.#using.get(digest) ?? 0) + 1);
    for (const { used } of this.#watches) used.add(digest);
    try {
      return await work();
    } finally {
      const left = (this.#using.get(digest) ?? 1) - 1;
      if (left === 0) this.#using.delete(digest);
      else this.#using.set(digest, left);
    }
  }

  /** Adds a link to a repository: nothing is removed from it before `work` has ended. */
  async addLink<Result>(repository: RepositoryName, work: () => Promise<Result>): Promise<Result> {
    return await this.#lock(repository, async (lock) => await lock.share(work));
  }

  /** Adds a manifest to a repository, and looks up what it needs: nothing is removed from it before `work` has ended. */
  async addManifest<Result>(repository: RepositoryName, work: () => Promise<Result>): Promise<Result> {
    return await this.#lock(
      repository,
      async (lock) =>
        await lock.share(async () => {
          try {
            return await work();
          } finally {
            // At the end: what was marked while it ran may lack it.
            for (const { manifests } of this.#watches) manifests.set(repository, (manifests.get(repository) ?? 0) + 1);
          }
        }),
    );
  }

  /** Removes something from a repository: nothing is added to it meanwhile, so that `work` is to be brief. */
  async removeFrom<Result>(repository: RepositoryName, work: () => Promise<Result>): Promise<Result> {
    return await this.#lock(repository, async (lock) => await lock.alone(work));
  }

  /** Begins to watch what is used. */
  watch(): PushWatch {
    const watching: Watching = { used: new Set(this.#using.keys()), manifests: new Map() };
    this.#watches.add(watching);
    return {
      manifestCount: (repository) => watching.manifests.get(repository) ?? 0,
      take: async (digest, remove) => {
        if (watching.used.has(digest) || this.#using.has(digest) || this.#taking.has(digest)) return false;
        // Nothing is waited for between the question above and the answer here.
        const taking = remove();
        this.#taking.set(
          digest,
          taking.catch(() => undefined),
        );
        try {
          return await taking;
        } finally {
          this.#taking.delete(digest);
        }
      },
      [Symbol.dispose]: () => void this.#watches.delete(watching),
    };
  }

  async #lock<Result>(repository: RepositoryName, work: (lock: SharedLock) => Promise<Result>): Promise<Result> {
    const lock = this.#repositories.get(repository) ?? new SharedLock();
    this.#repositories.set(repository, lock);
    try {
      return await work(lock);
    } finally {
      if (lock.isFree) this.#repositories.delete(repository);
    }
  }
}
