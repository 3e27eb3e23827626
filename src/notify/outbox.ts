/**
 * The events that are to be delivered, on disk: what was written down outlives `kill -9` and a loss of power.
 *
 *   q!<endpoint>!<number>   an event that waits: the JSON of the event, as it is sent
 *   d!<endpoint>!<number>   an event that was given up: {event, reason, givenUpAtMs}
 *   <number>                16 digits, rising, so that the order of the keys is the order of the events
 *
 * A disk takes some milliseconds to make a write durable. Writes that come meanwhile go to it together.
 */
import type { Logger } from 'pino';
import { ContentIndex, type IndexChange } from '../content/content-index.ts';

const NUMBER_DIGITS = 16;

/** Which of the two lists of an endpoint. */
export type OutboxList = 'q' | 'd';

/** The prefix of a list; no name of an endpoint has a `!`. */
export function listPrefix(list: OutboxList, endpoint: string): string {
  return `${list}!${endpoint}!`;
}

/** The key of an entry. */
export function entryKey(list: OutboxList, endpoint: string, number: number): string {
  return listPrefix(list, endpoint) + String(number).padStart(NUMBER_DIGITS, '0');
}

interface Batch {
  readonly changes: IndexChange[];
  readonly done: Promise<void>;
}

/** The database of all endpoints. Whoever opens it closes it. */
export class Outbox implements AsyncDisposable {
  readonly #index: ContentIndex;
  #gathering: Batch | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(index: ContentIndex) {
    this.#index = index;
  }

  /** Opens or makes it. @throws {DockyardError} ERR_STORE_LOCKED, ERR_STORE_IO, ERR_STORE_FULL */
  static async open(folder: string, log: Logger): Promise<Outbox> {
    return new Outbox(await ContentIndex.open(folder, log));
  }

  /** Makes all changes or none, durably; those of concurrent calls in the order of the calls. @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO */
  async write(changes: readonly IndexChange[]): Promise<void> {
    this.#gathering ??= this.#gather();
    this.#gathering.changes.push(...changes);
    await this.#gathering.done;
  }

  /** The value of an entry, or `undefined`. @throws {DockyardError} ERR_STORE_IO */
  async get(key: string): Promise<string | undefined> {
    return (await this.#index.get(key))?.toString('utf8');
  }

  /** The numbers of a list, in order. @throws {DockyardError} ERR_STORE_IO */
  async numbers(list: OutboxList, endpoint: string): Promise<number[]> {
    const numbers: number[] = [];
    for await (const [key] of this.#index.entries(listPrefix(list, endpoint))) numbers.push(Number(key));
    return numbers;
  }

  /** The endpoints that have entries. @throws {DockyardError} ERR_STORE_IO */
  async endpoints(): Promise<Set<string>> {
    const names = new Set<string>();
    for (const list of ['q', 'd'] as const) {
      for await (const [key] of this.#index.entries(`${list}!`)) names.add(key.slice(0, key.indexOf('!')));
    }
    return names;
  }

  /** Waits for writes that are under way, and frees the database. */
  async close(): Promise<void> {
    await this.#gathering?.done.catch(() => undefined);
    await this.#writing;
    await this.#index.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #gather(): Batch {
    const changes: IndexChange[] = [];
    const done = this.#writing.then(async () => {
      this.#gathering = undefined;
      await this.#index.write(changes, { sync: true });
    });
    this.#writing = done.catch(() => undefined);
    return { changes, done };
  }
}
