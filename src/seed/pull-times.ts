/**
 * When manifests were last asked for. A pull costs an entry of a map; times are written together, once a minute, and need not
 * be durable: a crash forgets a minute, and retention is told in days.
 */
import type { Logger } from 'pino';
import type { Catalog, PullTime } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';

export interface PullTimesDeps {
  readonly catalog: Pick<Catalog, 'pulls'>;
  readonly clock: { nowMs(): number };
  readonly log: Logger;
}

/** When the manifests of a repository were last asked for. */
export interface RepositoryPulls {
  /** For one of which nothing is known: when times began to be kept, since it may have been asked for just before. */
  of(digest: Digest): number;
}

/** How old a time may get before it is written. */
export const PULLS_WRITTEN_EVERY_MS = 60_000;
/** So many manifests that wait to be written are written at once. */
const MAX_WAITING = 10_000;

/** Works from `open` to `close`, which writes what waits. */
export class PullTimes implements AsyncDisposable {
  readonly #deps: PullTimesDeps;
  readonly #keptSinceMs: number;
  readonly #timer: NodeJS.Timeout;
  #waiting = new Map<RepositoryName, Map<Digest, number>>();
  #waitingCount = 0;
  #writing = Promise.resolve();

  private constructor(deps: PullTimesDeps, keptSinceMs: number) {
    this.#deps = deps;
    this.#keptSinceMs = keptSinceMs;
    this.#timer = setInterval(() => void this.flush(), PULLS_WRITTEN_EVERY_MS);
    this.#timer.unref();
  }

  /** Begins to keep times. */
  static async open(deps: PullTimesDeps): Promise<PullTimes> {
    return new PullTimes(deps, await deps.catalog.pulls.keptSinceMs(deps.clock.nowMs()));
  }

  /** A manifest was asked for. */
  note(repository: RepositoryName, digest: Digest): void {
    let times = this.#waiting.get(repository);
    if (times === undefined) this.#waiting.set(repository, (times = new Map<Digest, number>()));
    if (!times.has(digest)) this.#waitingCount += 1;
    times.set(digest, this.#deps.clock.nowMs());
    if (this.#waitingCount >= MAX_WAITING) void this.flush();
  }

  /** The times of a repository as they are now. */
  async read(repository: RepositoryName): Promise<RepositoryPulls> {
    // What is being written is in neither place for a moment.
    await this.#writing;
    const waiting = new Map(this.#waiting.get(repository));
    const known = new Map<Digest, number>();
    for await (const { digest, atMs } of this.#deps.catalog.pulls.list(repository)) known.set(digest, atMs);
    return { of: (digest) => waiting.get(digest) ?? known.get(digest) ?? this.#keptSinceMs };
  }

  /** The time of one manifest as it is now. */
  async last(repository: RepositoryName, digest: Digest): Promise<number> {
    await this.#writing;
    const waiting = this.#waiting.get(repository)?.get(digest);
    return waiting ?? (await this.#deps.catalog.pulls.get(repository, digest)) ?? this.#keptSinceMs;
  }

  /** Writes what waits. */
  async flush(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = new Map();
    this.#waitingCount = 0;
    this.#writing = this.#writing.then(async () => {
      for (const [repository, times] of waiting) await this.#write(repository, times);
    });
    await this.#writing;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #write(repository: RepositoryName, times: ReadonlyMap<Digest, number>): Promise<void> {
    const entries: PullTime[] = [...times].map(([digest, atMs]) => ({ digest, atMs }));
    try {
      await this.#deps.catalog.pulls.put(repository, entries);
    } catch (error) {
      // On a full disk, say. Pulls go on; the older times stand.
      this.#deps.log.warn({ err: error, repository }, 'times of pulls could not be written');
    }
  }
}
