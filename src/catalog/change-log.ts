/**
 * The changes of tags and manifests in the order in which they were made here, for seeds that keep the same: each tag and
 * each manifest stands in it once, with its last change. Deletions stand in it as well, until they are forgotten.
 *
 * A change is written together with what it changes, so neither is ever there without the other. Changes of several
 * repositories are written at once, and may end in another order than they were numbered: whoever reads is shown nothing
 * that is behind one that is still being written.
 */
import type { KeyedLock } from '../content/keyed-lock.ts';
import { isDigest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName } from '../oci/name.ts';
import { catalogError } from './errors.ts';
import type { Change, ChangedReference, Standing } from './changes.ts';
import type { KeyValue, KeyValueChange } from './key-value.ts';
import { LogChapters, type LogPlace } from './log-chapters.ts';
import { KEY, keysUnder, numberOf, PREFIX } from './layout.ts';
import { decodeRecord, encodeRecord, RECORD } from './records.ts';

/** A change, and its place in the order. */
export interface NumberedChange extends Change {
  readonly number: number;
}

/** A part of the changes. */
export interface ChangePage {
  readonly changes: readonly NumberedChange[];
  /** All changes up to this number have been seen with this page. */
  readonly upTo: number;
}

/** What is read of the changes of a seed. */
export interface Changes {
  /** Of this catalog alone: another one counts anew. */
  readonly id: string;
  /** How far changes are written. */
  readonly place: LogPlace;
  /** False for a place of another catalog, or of what this one was before it was restored from a backup. */
  knows(place: LogPlace): boolean;
  /** What stands of a tag or a manifest; `undefined` when nothing is known of it. */
  standing(of: ChangedReference): Promise<Standing | undefined>;
  list(options: { readonly after: number; readonly limit: number }): Promise<ChangePage>;
  /** Resolves when there may be changes after a number, or when the signal is aborted. */
  news(after: number, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Forgets deletions that are older, and answers how many. */
  forgetDeletions(beforeMs: number): Promise<number>;
}

export interface ChangeLogDeps {
  readonly database: KeyValue;
  /** Changes that depend on what is there, one at a time in each repository. */
  readonly locks: KeyedLock<RepositoryName>;
  readonly newId: () => string;
}

const BATCH = 1000;

/** Made by the catalog, which is the only one to write. */
export class ChangeLog implements Changes {
  readonly id: string;
  readonly #database: KeyValue;
  readonly #locks: KeyedLock<RepositoryName>;
  readonly #chapters: LogChapters;
  #lastNumber: number;
  /** Numbers that are given and not yet written. */
  readonly #writing = new Set<number>();
  readonly #waiting = new Set<() => void>();

  private constructor({ database, locks }: ChangeLogDeps, id: string, chapters: LogChapters, lastNumber: number) {
    this.#database = database;
    this.#locks = locks;
    this.id = id;
    this.#chapters = chapters;
    this.#lastNumber = lastNumber;
  }

  /** Goes on with the log of a database. Where there is none, as in those of older releases, all that is there is written into it. */
  static async open(deps: ChangeLogDeps): Promise<ChangeLog> {
    const { database, newId } = deps;
    const known = await database.get(KEY.logId());
    const id = known?.toString() ?? newId();
    const lastNumber = await lastWritten(database);
    const log = new ChangeLog(deps, id, await LogChapters.begin(database, newId(), lastNumber), lastNumber);
    if (known !== undefined) return log;
    await log.#writeAll();
    await database.write([{ type: 'put', key: KEY.logId(), value: Buffer.from(id) }]);
    return log;
  }

  get place(): LogPlace {
    return { chapter: this.#chapters.current, number: this.#horizon() };
  }

  knows(place: LogPlace): boolean {
    return this.#chapters.knows(place);
  }

  async standing({ repository, reference }: ChangedReference): Promise<Standing | undefined> {
    const { digest, atMs } = (await this.#last({ repository, reference })) ?? {};
    return atMs === undefined ? undefined : { digest, atMs };
  }

  /**
   * Makes changes with what they change, whole or not at all. Nobody else may change the same at once.
   * @param forgotten what is removed here and may stay elsewhere
   */
  async write(
    {
      changes,
      forgotten = [],
    }: { readonly changes: readonly Change[]; readonly forgotten?: readonly ChangedReference[] },
    others: readonly KeyValueChange[],
  ): Promise<void> {
    const all: KeyValueChange[] = [...others];
    const before = await Promise.all([...changes, ...forgotten].map(async (of) => await this.#last(of)));
    for (const last of before) if (last !== undefined) all.push({ type: 'del', key: KEY.change(last.number) });
    for (const { repository, reference } of forgotten)
      all.push({ type: 'del', key: KEY.lastChange(repository, reference) });
    // From here to the write nothing is waited for, so that numbers rise in the order of writing.
    const numbers = changes.map(() => (this.#lastNumber += 1));
    for (const [index, change] of changes.entries()) all.push(...entriesOf(change, numbers[index] ?? 0));
    if (numbers.length > 0)
      all.push({ type: 'put', key: KEY.lastNumber(), value: Buffer.from(String(this.#lastNumber)) });
    for (const number of numbers) this.#writing.add(number);
    try {
      await this.#database.write(all);
    } finally {
      for (const number of numbers) this.#writing.delete(number);
      for (const wake of this.#waiting) wake();
    }
  }

  async list({ after, limit }: { readonly after: number; readonly limit: number }): Promise<ChangePage> {
    const seen = this.#horizon();
    const changes: NumberedChange[] = [];
    if (seen <= after) return { changes, upTo: Math.min(after, seen) };
    const range = { from: KEY.change(after + 1), to: KEY.change(seen + 1) };
    for await (const [key, value] of this.#database.entries(range)) {
      if (changes.length >= limit) return { changes, upTo: changes.at(-1)?.number ?? after };
      changes.push({ number: numberOf(key), ...decodeRecord(RECORD.change, key, value) });
    }
    return { changes, upTo: seen };
  }

  async news(after: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    while (this.#horizon() <= after && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  async forgetDeletions(beforeMs: number): Promise<number> {
    let count = 0;
    for await (const [key, value] of this.#database.entries(keysUnder(PREFIX.changes))) {
      const { repository, reference, digest, atMs } = decodeRecord(RECORD.change, key, value);
      if (digest !== undefined || atMs >= beforeMs) continue;
      count += await this.#locks.run(repository, async () => {
        // It may have been pushed again since the list was begun.
        if ((await this.#last({ repository, reference }))?.number !== numberOf(key)) return 0;
        const gone = [key, KEY.lastChange(repository, reference)];
        await this.#database.write(
          gone.map((each) => ({ type: 'del', key: each })),
          { isLossy: true },
        );
        return 1;
      });
    }
    return count;
  }

  /** The last number before which all is written. */
  #horizon(): number {
    let horizon = this.#lastNumber;
    for (const number of this.#writing) horizon = Math.min(horizon, number - 1);
    return horizon;
  }

  async #last({ repository, reference }: ChangedReference): Promise<(Standing & { number: number }) | undefined> {
    const key = KEY.lastChange(repository, reference);
    const value = await this.#database.get(key);
    if (value === undefined) return undefined;
    const { digest, atMs, number } = decodeRecord(RECORD.lastChange, key, value);
    return { digest, atMs, number };
  }

  async #writeAll(): Promise<void> {
    let changes: Change[] = [];
    for await (const change of existing(this.#database)) {
      changes.push(change);
      if (changes.length < BATCH) continue;
      await this.write({ changes }, []);
      changes = [];
    }
    if (changes.length > 0) await this.write({ changes }, []);
  }
}

function entriesOf({ repository, reference, digest, atMs }: Change, number: number): KeyValueChange[] {
  const last = encodeRecord(RECORD.lastChange, { digest, atMs, number });
  const change = encodeRecord(RECORD.change, { repository, reference, digest, atMs });
  return [
    { type: 'put', key: KEY.lastChange(repository, reference), value: last },
    { type: 'put', key: KEY.change(number), value: change },
  ];
}

async function lastGiven(database: KeyValue): Promise<number> {
  return Number((await database.get(KEY.lastNumber()))?.toString() ?? 0);
}

/** Two writes may have ended in another order than they began, just before the end. */
async function lastWritten(database: KeyValue): Promise<number> {
  let last = await lastGiven(database);
  for await (const [key] of database.entries({ from: KEY.change(last + 1), to: KEY.change(Number.MAX_SAFE_INTEGER) }))
    last = numberOf(key);
  return last;
}

/** All tags and manifests that are there, as changes: manifests of a repository before its tags. */
async function* existing(database: KeyValue): AsyncGenerator<Change> {
  for await (const [key] of database.entries(keysUnder(PREFIX.repositories))) {
    const repository = key.slice(PREFIX.repositories.length);
    if (!isRepositoryName(repository))
      throw catalogError('ERR_CATALOG_DAMAGED', `${JSON.stringify(key)} names nothing`);
    const manifests = PREFIX.manifests(repository);
    for await (const [manifestKey, value] of database.entries(keysUnder(manifests))) {
      const digest = manifestKey.slice(manifests.length);
      const { pushedAtMs: atMs } = decodeRecord(RECORD.manifest, manifestKey, value);
      if (isDigest(digest)) yield { repository, reference: digest, digest, atMs };
    }
    const tags = PREFIX.tags(repository);
    for await (const [tagKey, value] of database.entries(keysUnder(tags))) {
      const reference = tagKey.slice(tags.length);
      const { digest, updatedAtMs: atMs } = decodeRecord(RECORD.tag, tagKey, value);
      if (isTag(reference)) yield { repository, reference, digest, atMs };
    }
  }
}
