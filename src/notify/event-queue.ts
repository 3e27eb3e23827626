/**
 * The events of one endpoint: those that wait, first in first out, and the dead letters, which were given up. Both lists
 * are bounded; the numbers of their entries are in memory, the entries on disk.
 */
import { entryKey, type Outbox, type OutboxList } from './outbox.ts';
import type { IndexChange } from '../content/content-index.ts';

/** An event that waits. */
export interface QueuedEvent {
  readonly number: number;
  /** Its JSON, as it is sent. */
  readonly text: string;
}

/** An event that was given up. */
export interface DeadLetter {
  readonly number: number;
  readonly event: unknown;
  readonly reason: string;
  readonly givenUpAtMs: number;
}

/** How much is kept. */
export interface QueueLimits {
  readonly maxPending: number;
  readonly maxDeadLetters: number;
}

/** What happened to events besides what the caller asked for: for counting. */
export interface QueueChanges {
  readonly givenUp: number;
  readonly forgotten: number;
}

/** One queue. One courier takes from it; any number of callers add. */
export class EventQueue {
  readonly #outbox: Outbox;
  readonly #endpoint: string;
  #limits: QueueLimits;
  /** In the order of their numbers: a Set keeps the order of insertion. */
  readonly #pending: Set<number>;
  readonly #dead: Set<number>;
  #lastNumber: number;
  /** The event that the courier has in hand. */
  #inHand: number | undefined;

  private constructor(outbox: Outbox, endpoint: string, limits: QueueLimits, found: { q: number[]; d: number[] }) {
    this.#outbox = outbox;
    this.#endpoint = endpoint;
    this.#limits = limits;
    this.#pending = new Set(found.q);
    this.#dead = new Set(found.d);
    this.#lastNumber = Math.max(0, found.q.at(-1) ?? 0, found.d.at(-1) ?? 0);
  }

  /** Finds what an earlier process left. @throws {DockyardError} ERR_STORE_IO */
  static async load(outbox: Outbox, endpoint: string, limits: QueueLimits): Promise<EventQueue> {
    const found = { q: await outbox.numbers('q', endpoint), d: await outbox.numbers('d', endpoint) };
    return new EventQueue(outbox, endpoint, limits, found);
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  get deadCount(): number {
    return this.#dead.size;
  }

  /** Other limits, which take effect as events come. */
  setLimits(limits: QueueLimits): void {
    this.#limits = limits;
  }

  /**
   * Adds an event durably. Where too many wait, the oldest is given up for it.
   * @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO; then it is not added
   */
  async add(text: string, nowMs: number): Promise<QueueChanges> {
    const number = (this.#lastNumber += 1);
    await this.#outbox.write([this.#put('q', number, text)]);
    this.#pending.add(number);
    const changes = { givenUp: 0, forgotten: 0 };
    while (this.#pending.size > this.#limits.maxPending) {
      const oldest = this.#pending.values().find((candidate) => candidate !== this.#inHand);
      if (oldest === undefined) break;
      changes.forgotten += (await this.giveUp(oldest, 'too many events waited', nowMs)).forgotten;
      changes.givenUp += 1;
    }
    return changes;
  }

  /** The event to deliver next, which is then in hand until `done`, `giveUp` or the next call. @throws {DockyardError} ERR_STORE_IO */
  async take(): Promise<QueuedEvent | undefined> {
    for (const number of this.#pending) {
      this.#inHand = number;
      const text = await this.#outbox.get(entryKey('q', this.#endpoint, number));
      if (text !== undefined) return { number, text };
      this.#pending.delete(number);
    }
    this.#inHand = undefined;
    return undefined;
  }

  /** An event was delivered. @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO; then a later process delivers it again */
  async done(number: number): Promise<void> {
    this.#letGo(number);
    await this.#outbox.write([this.#del('q', number)]);
  }

  /** Moves an event to the dead letters, whose oldest makes room. @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO */
  async giveUp(number: number, reason: string, nowMs: number): Promise<QueueChanges> {
    this.#letGo(number);
    const text = await this.#outbox.get(entryKey('q', this.#endpoint, number));
    if (text === undefined) return { givenUp: 0, forgotten: 0 };
    const letter = `{"event":${text},"reason":${JSON.stringify(reason)},"givenUpAtMs":${nowMs}}`;
    this.#dead.add(number);
    const forgotten = [...this.#dead].slice(0, Math.max(0, this.#dead.size - this.#limits.maxDeadLetters));
    for (const oldest of forgotten) this.#dead.delete(oldest);
    await this.#outbox.write([
      this.#put('d', number, letter),
      this.#del('q', number),
      ...forgotten.map((oldest) => this.#del('d', oldest)),
    ]);
    return { givenUp: 1, forgotten: forgotten.length };
  }

  /** The dead letters, oldest first. @throws {DockyardError} ERR_STORE_IO */
  async *deadLetters(): AsyncGenerator<DeadLetter> {
    for (const number of this.#dead) {
      const text = await this.#outbox.get(entryKey('d', this.#endpoint, number));
      if (text !== undefined) yield { number, ...(JSON.parse(text) as Omit<DeadLetter, 'number'>) };
    }
  }

  /**
   * Puts dead letters at the end of those that wait, as far as there is room, and answers how many.
   * @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO
   */
  async revive(): Promise<number> {
    let count = 0;
    for await (const { number, event } of this.deadLetters()) {
      if (this.#pending.size >= this.#limits.maxPending) break;
      const next = (this.#lastNumber += 1);
      await this.#outbox.write([this.#put('q', next, JSON.stringify(event)), this.#del('d', number)]);
      this.#dead.delete(number);
      this.#pending.add(next);
      count += 1;
    }
    return count;
  }

  /** Removes everything, for an endpoint that is no longer configured. @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO */
  async clear(): Promise<void> {
    const changes = [...this.#pending]
      .map((number) => this.#del('q', number))
      .concat([...this.#dead].map((number) => this.#del('d', number)));
    this.#pending.clear();
    this.#dead.clear();
    await this.#outbox.write(changes);
  }

  #letGo(number: number): void {
    this.#pending.delete(number);
    if (this.#inHand === number) this.#inHand = undefined;
  }

  #put(list: OutboxList, number: number, text: string): IndexChange {
    return { type: 'put', key: entryKey(list, this.#endpoint, number), value: Buffer.from(text) };
  }

  #del(list: OutboxList, number: number): IndexChange {
    return { type: 'del', key: entryKey(list, this.#endpoint, number) };
  }
}
