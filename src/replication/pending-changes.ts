/**
 * Changes of another seed that are to be made here, on disk: together with how far its changes were read, so that none is
 * missed whenever the process ends. Of each tag and manifest only the last change waits.
 *
 *   s!<seed>                        how far its changes were read, of which catalog
 *   o!                              how far the catalog here was when something of this was last written
 *   p!<seed>!<name>NUL<reference>   a change that waits; no name of a seed has a `!`
 */
import { z } from 'zod';
import type { Change } from '../catalog/changes.ts';
import type { LogPlace } from '../catalog/log-chapters.ts';
import type { ContentIndex, IndexChange } from '../content/content-index.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag } from '../oci/name.ts';

/** How far the changes of a seed were read. */
export interface FeedPosition {
  /** Of which catalog; empty before the first answer. */
  readonly log: string;
  /** In which chapter of it; empty before the first answer. */
  readonly chapter: string;
  readonly number: number;
}

/** A change that waits. */
export interface PendingChange {
  readonly change: Change;
  /** When it was first heard of. */
  readonly sinceMs: number;
  /** How often it could not be made since the process began. */
  readonly failures: number;
}

const time = z.number().nonnegative();
const POSITION = z.object({ log: z.string(), chapter: z.string().default(''), number: time });
const PLACE = z.object({ chapter: z.string(), number: time });
const PENDING = z.object({
  digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)).optional(),
  atMs: time,
  sinceMs: time,
});
const START: FeedPosition = { log: '', chapter: '', number: 0 };

const OWN_PLACE = 'o!';

interface Entry extends PendingChange {
  readonly key: string;
}

/** Of one seed. The database is opened and closed by whoever has it. */
export class PendingChanges {
  readonly #index: ContentIndex;
  readonly #seed: string;
  readonly #ownPlace: () => LogPlace;
  #position: FeedPosition = START;
  #writing: Promise<void> = Promise.resolve();
  /** In the order in which they are to be made. */
  readonly #ready = new Map<string, Entry>();
  /** Those that failed, and when to try again. */
  readonly #resting = new Map<string, { readonly entry: Entry; readonly untilMs: number }>();
  readonly #inHand = new Map<string, Entry>();

  private constructor(index: ContentIndex, seed: string, ownPlace: () => LogPlace) {
    this.#index = index;
    this.#seed = seed;
    this.#ownPlace = ownPlace;
  }

  /**
   * Reads what an earlier process left.
   * @param ownPlace how far the catalog here is
   * @throws {DockyardError} ERR_STORE_IO
   */
  static async load(index: ContentIndex, seed: string, ownPlace: () => LogPlace): Promise<PendingChanges> {
    const pending = new PendingChanges(index, seed, ownPlace);
    pending.#position = parseOr(POSITION, await index.get(`s!${seed}`)) ?? START;
    for await (const [key, value] of index.entries(`p!${seed}!`)) {
      const [repository = '', reference = ''] = key.split('\0');
      const kept = parseOr(PENDING, value);
      if (kept === undefined || !isRepositoryName(repository) || !(isTag(reference) || isDigest(reference))) continue;
      const { digest, atMs, sinceMs } = kept;
      pending.#ready.set(key, { key, change: { repository, reference, digest, atMs }, sinceMs, failures: 0 });
    }
    return pending;
  }

  /** How far the catalog here was when something was last written; `undefined` when nothing was. @throws {DockyardError} ERR_STORE_IO */
  static async lastOwnPlace(index: ContentIndex): Promise<LogPlace | undefined> {
    return parseOr(PLACE, await index.get(OWN_PLACE));
  }

  /** Drops what waits of seeds that are configured no more. @throws {DockyardError} ERR_STORE_IO, ERR_STORE_FULL */
  static async forgetOthers(index: ContentIndex, seeds: readonly string[]): Promise<void> {
    const gone: IndexChange[] = [];
    for await (const [seed] of index.entries('s!')) {
      if (seeds.includes(seed)) continue;
      gone.push({ type: 'del', key: `s!${seed}` });
      for await (const [key] of index.entries(`p!${seed}!`)) gone.push({ type: 'del', key: `p!${seed}!${key}` });
    }
    await index.write(gone);
  }

  get position(): FeedPosition {
    return this.#position;
  }

  get count(): number {
    return this.#ready.size + this.#resting.size + this.#inHand.size;
  }

  /** Those that failed when they were last tried. */
  get failingCount(): number {
    return this.#resting.size;
  }

  /** When the one that has waited longest was first heard of. */
  get oldestSinceMs(): number | undefined {
    let oldestMs: number | undefined;
    const resting = Array.from(this.#resting.values(), ({ entry }) => entry);
    for (const { sinceMs } of [...this.#ready.values(), ...resting, ...this.#inHand.values()])
      oldestMs = Math.min(oldestMs ?? sinceMs, sinceMs);
    return oldestMs;
  }

  /** Adds changes and notes how far was read, durably and at once. @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO */
  async add(changes: readonly Change[], position: FeedPosition, nowMs: number): Promise<void> {
    const entries = changes.map((change): Entry => {
      const key = `${change.repository}\0${change.reference}`;
      return { key, change, sinceMs: nowMs, failures: 0 };
    });
    const writes = entries.map(({ key, change: { digest, atMs }, sinceMs }): IndexChange => {
      return { type: 'put', key: this.#key(key), value: Buffer.from(JSON.stringify({ digest, atMs, sinceMs })) };
    });
    writes.push({ type: 'put', key: `s!${this.#seed}`, value: Buffer.from(JSON.stringify(position)) }, this.#noteOwn());
    // Before the write, so that one of the same that ends meanwhile leaves this one's note on disk. Where the write fails it is heard of again.
    for (const entry of entries) {
      this.#resting.delete(entry.key);
      this.#ready.delete(entry.key);
      this.#ready.set(entry.key, entry);
    }
    await this.#write(writes, { sync: true });
    this.#position = position;
  }

  /** Begins anew: all changes of the seed are to be looked at again. @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO */
  async restart(): Promise<void> {
    await this.add([], START, 0);
  }

  /** The next change to make; `undefined` when there is none just now. Whoever takes it calls `done` or `failed`. */
  take(nowMs: number): PendingChange | undefined {
    for (const [key, { entry, untilMs }] of this.#resting) {
      if (untilMs > nowMs) continue;
      this.#resting.delete(key);
      this.#ready.set(key, entry);
    }
    for (const [key, entry] of this.#ready) {
      // The same is in hand as it was before: one after the other.
      if (this.#inHand.has(key)) continue;
      this.#ready.delete(key);
      this.#inHand.set(key, entry);
      return entry;
    }
    return undefined;
  }

  /** When the next of those that failed is to be tried again. */
  get nextTryAtMs(): number | undefined {
    const times = Array.from(this.#resting.values(), ({ untilMs }) => untilMs);
    return times.length === 0 ? undefined : times.reduce((least, untilMs) => Math.min(least, untilMs));
  }

  /** A change was made, or need not be made any more. A loss of power may bring it back, which does no harm. */
  async done(pending: PendingChange): Promise<void> {
    const key = this.#letGo(pending);
    if (this.#ready.has(key)) return;
    await this.#write([{ type: 'del', key: this.#key(key) }, this.#noteOwn()]);
  }

  /** A change could not be made, and rests. */
  failed(pending: PendingChange, untilMs: number): void {
    const key = this.#letGo(pending);
    // A later one of the same tag or manifest has come meanwhile.
    if (this.#ready.has(key)) return;
    this.#resting.set(key, { entry: { ...pending, key, failures: pending.failures + 1 }, untilMs });
  }

  /** What rests need not rest any longer. */
  wakeAll(): void {
    for (const [key, { entry }] of this.#resting) this.#ready.set(key, entry);
    this.#resting.clear();
  }

  /** One after the other, in the order in which they were decided upon. */
  async #write(changes: IndexChange[], options: { readonly sync?: boolean } = {}): Promise<void> {
    const writing = this.#writing.then(async () => await this.#index.write(changes, options));
    this.#writing = writing.catch(() => undefined);
    await writing;
  }

  #noteOwn(): IndexChange {
    return { type: 'put', key: OWN_PLACE, value: Buffer.from(JSON.stringify(this.#ownPlace())) };
  }

  #letGo({ change: { repository, reference } }: PendingChange): string {
    const key = `${repository}\0${reference}`;
    this.#inHand.delete(key);
    return key;
  }

  #key(key: string): string {
    return `p!${this.#seed}!${key}`;
  }
}

/** What cannot be read is as if it were not there: then the changes are read again from the beginning. */
function parseOr<Shape extends z.ZodType>(shape: Shape, value: Buffer | undefined): z.output<Shape> | undefined {
  if (value === undefined) return undefined;
  try {
    return shape.parse(JSON.parse(value.toString('utf8')));
  } catch {
    return undefined;
  }
}
