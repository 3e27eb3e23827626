/**
 * Keeps so many copies of images across the nodes of the swarm as the operator wants: looks at the tags of a repository a
 * moment after a push, and at all of them from time to time, since nodes come, go and evict.
 */
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import { asError, isAbortError } from '../oci/error.ts';
import type { RepositoryName } from '../oci/name.ts';
import { tagPatternOf, type TagPattern } from './tag-pattern.ts';

/** How many copies of which images. */
export interface CopyRule {
  /** `NAME:TAG`, or `TAG` for every repository. */
  readonly pattern: string;
  /** That of this seed included. */
  readonly copies: number;
}

export interface MinimumCopiesDeps {
  readonly catalog: Pick<Catalog, 'repositories' | 'tags'>;
  /** Has nodes fetch an image where it is held by too few; answers how many hold it then. */
  readonly ensure: (
    image: { readonly repository: RepositoryName; readonly digest: Digest },
    copies: number,
    options: { readonly signal: AbortSignal },
  ) => Promise<number>;
  readonly metrics: Registry;
  readonly log: Logger;
}

export interface MinimumCopiesConfig {
  readonly rules: readonly CopyRule[];
  /** Between two looks at all images. */
  readonly intervalMs: number;
}

/** A push is several requests, and what was pushed has to be told to the swarm first. */
const AFTER_PUSH_MS = 1_000;
const PAGE = 1000;

/** Works in the background from `start` to `close`. */
export class MinimumCopies implements AsyncDisposable {
  readonly #deps: MinimumCopiesDeps;
  readonly #config: MinimumCopiesConfig;
  readonly #rules: readonly (readonly [isMeant: TagPattern, copies: number])[];
  readonly #stopping = new AbortController();
  readonly #lacking: Gauge;
  readonly #pushed = new Set<RepositoryName>();
  #afterPush: NodeJS.Timeout | undefined;
  #interval: NodeJS.Timeout | undefined;
  #work: Promise<unknown> = Promise.resolve();

  constructor(deps: MinimumCopiesDeps, config: MinimumCopiesConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#rules = config.rules.map(({ pattern, copies }) => [tagPatternOf(pattern), copies]);
    this.#lacking = new Gauge({
      name: 'dockyard_seed_images_lacking_copies',
      help: 'Images that fewer nodes hold than `copies.minimum` wants, at the last look at all of them.',
      registers: [deps.metrics],
    });
  }

  /** Does nothing where there is no rule. The first look at all images is one interval later: the swarm has to be met first. */
  start(): void {
    if (this.#rules.length === 0) return;
    this.#interval = setInterval(() => void this.#run(async () => void (await this.look())), this.#config.intervalMs);
    this.#interval.unref();
  }

  /** Something was pushed to a repository. */
  onPush(repository: RepositoryName): void {
    if (this.#rules.length === 0 || this.#stopping.signal.aborted) return;
    this.#pushed.add(repository);
    this.#afterPush ??= setTimeout(() => {
      this.#afterPush = undefined;
      const repositories = [...this.#pushed];
      this.#pushed.clear();
      void this.#run(async () => {
        for (const name of repositories) await this.#lookAt(name);
      });
    }, AFTER_PUSH_MS);
  }

  /** Looks at all images. @returns how many lack copies that could not be made */
  async look(): Promise<number> {
    let lacking = 0;
    let after: RepositoryName | undefined;
    do {
      const names: RepositoryName[] = await this.#deps.catalog.repositories.list({ after, limit: PAGE });
      after = names.at(-1);
      for (const name of names) lacking += await this.#lookAt(name);
    } while (after !== undefined);
    this.#lacking.set(lacking);
    return lacking;
  }

  async close(): Promise<void> {
    clearInterval(this.#interval);
    clearTimeout(this.#afterPush);
    this.#stopping.abort();
    await this.#work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #lookAt(repository: RepositoryName): Promise<number> {
    const { ensure, log } = this.#deps;
    const { signal } = this.#stopping;
    let lacking = 0;
    for (const [digest, copies] of await this.#wanted(repository)) {
      signal.throwIfAborted();
      try {
        const found = await ensure({ repository, digest }, copies, { signal });
        if (found >= copies) continue;
        log.warn({ repository, digest, copies: found, wanted: copies }, 'too few nodes hold an image');
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ err: asError(error), repository, digest }, 'copies of an image could not be made');
      }
      lacking += 1;
    }
    return lacking;
  }

  /** What rules say of the images of a repository; the most, where several tags or rules mean one. */
  async #wanted(repository: RepositoryName): Promise<Map<Digest, number>> {
    const wanted = new Map<Digest, number>();
    for await (const [tag, { digest }] of this.#deps.catalog.tags.entries(repository)) {
      for (const [isMeant, copies] of this.#rules) {
        if (isMeant(repository, tag)) wanted.set(digest, Math.max(copies, wanted.get(digest) ?? 0));
      }
    }
    return wanted;
  }

  /** One after the other: a look that takes longer than the interval does not meet the next. */
  async #run(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(async () => {
      try {
        if (!this.#stopping.signal.aborted) await work();
      } catch (error) {
        if (!isAbortError(error)) this.#deps.log.error({ err: error }, 'copies of images could not be looked at');
      }
    });
    await this.#work;
  }
}
