/**
 * Looks after what a seed keeps. A pass first asks for every blob that a repository has whether it is there and as long as it
 * was, and then reads and hashes all that is stored, slowly, from where an earlier process stopped. What is damaged is set
 * aside by storage; what is damaged or missing is fetched from whoever has it, now and again until somebody gives it.
 */
import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../oci/digest.ts';
import { isAbortError } from '../oci/error.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { StoredBlobs, StoredState } from '../storage/blob-storage.ts';
import { Pace, type PaceDeps } from './pace.ts';
import { NOTHING_SCRUBBED, type LostBlob, type ScrubJournal, type ScrubState } from './scrub-journal.ts';
import type { ScrubMetrics } from './scrub-metrics.ts';

export interface ScrubberDeps {
  readonly catalog: Pick<Catalog, 'repositories' | 'blobs'>;
  readonly blobs: Pick<StoredBlobs, 'list' | 'stat' | 'verify'>;
  /** Stores a blob again that somebody has; false when nobody does. */
  readonly repair: (digest: Digest, name: RepositoryName, options: { signal: AbortSignal }) => Promise<boolean>;
  readonly journal: ScrubJournal;
  readonly metrics: ScrubMetrics;
  readonly clock: PaceDeps['clock'];
  readonly log: Logger;
}

export interface ScrubberConfig {
  /** From the end of one pass to the beginning of the next; 0 is never. */
  readonly everyMs: number;
  readonly rateBytesPerSecond: number;
  /** Whether content is read and hashed, or is only looked for. */
  readonly content: boolean;
}

/** Where scrubbing stands, for operators. */
export interface ScrubReport extends Pick<ScrubState, 'passStartedAtMs' | 'counts' | 'lost'> {
  readonly lastEndAtMs: number | undefined;
}

/** So often it is looked whether a pass is due, and lost blobs are asked for again. */
const LOOK_INTERVAL_MS = 600_000;
/** So often a pass writes down how far it has come. */
const SAVE_INTERVAL_MS = 10_000;
/** Lost blobs that are remembered; further ones are found again by the next pass. */
const MAX_LOST = 1000;
/** What one look at a blob counts for at the rate. */
const LOOK_BYTES = 4096;
const PAGE = 1000;

/** Works in the background from `start` to `close`. */
export class Scrubber implements AsyncDisposable {
  readonly #deps: ScrubberDeps;
  readonly #config: ScrubberConfig;
  readonly #stopping = new AbortController();
  #state: ScrubState;
  #savedAtMs = 0;
  #working: Promise<void> | undefined;

  constructor(deps: ScrubberDeps, config: ScrubberConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#state = { counts: NOTHING_SCRUBBED, lastEndAtMs: deps.clock.nowMs(), hasEnded: false, lost: [] };
  }

  start(): void {
    if (this.#config.everyMs > 0) this.#working ??= this.#work(this.#stopping.signal);
  }

  /** What was found so far. */
  report(): ScrubReport {
    const { passStartedAtMs, counts, lost, lastEndAtMs, hasEnded } = this.#state;
    return { passStartedAtMs, counts, lost, lastEndAtMs: hasEnded ? lastEndAtMs : undefined };
  }

  /** Ends the work; the next process goes on with it. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#working;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { clock, journal, log, metrics } = this.#deps;
    let isLoaded = false;
    while (!signal.aborted) {
      let waitMs = LOOK_INTERVAL_MS;
      try {
        if (!isLoaded) this.#state = (await journal.load()) ?? this.#state;
        if (!isLoaded && this.#state.hasEnded) metrics.passEnded(this.#state.lastEndAtMs);
        isLoaded = true;
        await this.#retryLost(signal);
        if (this.#isDue()) await this.#pass(signal);
        else await this.#save();
        waitMs = Math.max(1, Math.min(LOOK_INTERVAL_MS, this.#dueAtMs - clock.nowMs()));
      } catch (error) {
        if (!isAbortError(error)) log.error({ err: error }, 'scrubbing was broken off, and goes on later');
      }
      await clock.sleep(waitMs, { signal }).catch(() => undefined);
    }
  }

  get #dueAtMs(): number {
    return this.#state.lastEndAtMs + this.#config.everyMs;
  }

  #isDue(): boolean {
    return this.#state.passStartedAtMs !== undefined || this.#deps.clock.nowMs() >= this.#dueAtMs;
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { clock, log, metrics } = this.#deps;
    const pace = new Pace({ clock }, this.#config.rateBytesPerSecond);
    if (this.#state.passStartedAtMs === undefined)
      this.#state = {
        ...this.#state,
        passStartedAtMs: clock.nowMs(),
        after: undefined,
        counts: NOTHING_SCRUBBED,
      };
    try {
      if (this.#state.after === undefined) await this.#lookForLinked(pace, signal);
      if (this.#config.content) await this.#readStored(pace, signal);
      const endAtMs = clock.nowMs();
      metrics.passEnded(endAtMs);
      const ended = { passStartedAtMs: undefined, after: undefined, lastEndAtMs: endAtMs, hasEnded: true };
      this.#state = { ...this.#state, ...ended };
      log.info({ ...this.#state.counts, lost: this.#state.lost.length }, 'storage scrubbed');
    } finally {
      await this.#save();
    }
  }

  /** What a repository has is there, and as long as it was. */
  async #lookForLinked(pace: Pace, signal: AbortSignal): Promise<void> {
    const { blobs, catalog, metrics } = this.#deps;
    for await (const name of this.#repositories(signal)) {
      for await (const { digest, sizeBytes } of catalog.blobs.list(name)) {
        await pace.spend(LOOK_BYTES, { signal });
        const stored = await blobs.stat(digest, { signal });
        if (stored?.sizeBytes === sizeBytes || this.#isLost(digest)) continue;
        // One of another length is read, and set aside.
        const state = stored === undefined ? 'missing' : await blobs.verify(digest, { signal });
        metrics.blob(state);
        // It may have been deleted since it was listed.
        const isNeeded = state !== 'good' && (await catalog.blobs.get(name, digest)) !== undefined;
        if (isNeeded) await this.#onBad(digest, state, name, signal);
      }
    }
  }

  async #readStored(pace: Pace, signal: AbortSignal): Promise<void> {
    const { blobs, metrics } = this.#deps;
    const onRead = async (sizeBytes: number): Promise<void> => {
      metrics.read(sizeBytes);
      this.#count({ readBytes: sizeBytes });
      await pace.spend(sizeBytes, { signal });
    };
    for await (const { digest } of blobs.list({ after: this.#state.after, signal })) {
      signal.throwIfAborted();
      const state = await blobs.verify(digest, { signal, onRead });
      metrics.blob(state);
      this.#count({ blobs: 1 });
      if (state !== 'good') await this.#onBad(digest, state, await this.#whoHas(digest, signal), signal);
      this.#state = { ...this.#state, after: digest };
      if (this.#deps.clock.nowMs() - this.#savedAtMs >= SAVE_INTERVAL_MS) await this.#save();
    }
  }

  async #onBad(
    digest: Digest,
    state: Exclude<StoredState, 'good'>,
    repository: RepositoryName | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    if (state === 'damaged') this.#count({ damaged: 1 });
    // Nobody needs it: it was deleted, or is garbage that is gone now.
    if (repository === undefined) return;
    if (state === 'missing') this.#count({ missing: 1 });
    const lost = { digest, repository, foundAtMs: this.#deps.clock.nowMs() };
    if (await this.#repair(lost, signal)) {
      this.#deps.log.warn({ digest, repository, state }, 'blob of record repaired');
      return;
    }
    this.#deps.log.error({ digest, repository, state }, 'blob of record lost: nobody has it; push the image again');
    if (this.#isLost(digest) || this.#state.lost.length >= MAX_LOST) return;
    this.#setLost([...this.#state.lost, lost]);
    await this.#save();
  }

  async #retryLost(signal: AbortSignal): Promise<void> {
    const { blobs, log } = this.#deps;
    for (const lost of this.#state.lost) {
      const { digest } = lost;
      const repository = await this.#whoHas(digest, signal);
      const isThere = (await blobs.stat(digest, { signal })) !== undefined;
      const isSettled = repository === undefined || isThere || (await this.#repair({ ...lost, repository }, signal));
      if (!isSettled) continue;
      this.#setLost(this.#state.lost.filter((other) => other.digest !== digest));
      log.info({ digest, repository }, 'blob of record is lost no more');
    }
    this.#setLost(this.#state.lost);
  }

  async #repair({ digest, repository }: LostBlob, signal: AbortSignal): Promise<boolean> {
    const isRepaired = await this.#deps.repair(digest, repository, { signal });
    this.#deps.metrics.repair(isRepaired ? 'repaired' : 'failed');
    if (isRepaired) this.#count({ repaired: 1 });
    return isRepaired;
  }

  #isLost(digest: Digest): boolean {
    return this.#state.lost.some((lost) => lost.digest === digest);
  }

  #setLost(lost: readonly LostBlob[]): void {
    this.#state = { ...this.#state, lost };
    this.#deps.metrics.lost(lost.length);
  }

  #count(more: Partial<ScrubState['counts']>): void {
    const { counts } = this.#state;
    const sum = {
      blobs: counts.blobs + (more.blobs ?? 0),
      readBytes: counts.readBytes + (more.readBytes ?? 0),
      damaged: counts.damaged + (more.damaged ?? 0),
      missing: counts.missing + (more.missing ?? 0),
      repaired: counts.repaired + (more.repaired ?? 0),
    };
    this.#state = { ...this.#state, counts: sum };
  }

  async #save(): Promise<void> {
    this.#savedAtMs = this.#deps.clock.nowMs();
    await this.#deps.journal.save(this.#state);
  }

  /** A repository that has a blob; all are asked, which happens only for what is damaged. */
  async #whoHas(digest: Digest, signal: AbortSignal): Promise<RepositoryName | undefined> {
    for await (const name of this.#repositories(signal))
      if ((await this.#deps.catalog.blobs.get(name, digest)) !== undefined) return name;
    return undefined;
  }

  async *#repositories(signal: AbortSignal): AsyncGenerator<RepositoryName> {
    let after: RepositoryName | undefined;
    do {
      const names: RepositoryName[] = await this.#deps.catalog.repositories.list({ after, limit: PAGE });
      after = names.at(-1);
      for (const name of names) {
        signal.throwIfAborted();
        yield name;
      }
    } while (after !== undefined);
  }
}
