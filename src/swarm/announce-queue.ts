/**
 * Keys that are announced again and again: bounded in number, a few at a time, evenly spaced. What is added first is
 * announced first; a key is due again after the renewal time.
 */
import type { Clock } from './clock.ts';
import { TaskSet } from './task-set.ts';

export interface AnnounceQueueDeps {
  readonly clock: Clock;
  /** Announces one key; deals with its own errors. May answer after how long the key is due again. */
  readonly announce: (key: Uint8Array, options: { signal: AbortSignal; first: boolean }) => Promise<number | void>;
}

export interface AnnounceQueueConfig {
  /** Beyond, the key announced longest ago is dropped. */
  readonly maxKeys: number;
  readonly renewalMs: number;
  /** Announces that run at once. */
  readonly concurrency: number;
  /** Time between the starts of two announces. */
  readonly spacingMs: number;
}

interface AnnouncedKey {
  readonly key: Uint8Array;
  dueAtMs: number;
  first: boolean;
}

/** Whoever makes it closes it. */
export class AnnounceQueue {
  readonly #deps: AnnounceQueueDeps;
  readonly #config: AnnounceQueueConfig;
  /** In the order in which they are due. */
  readonly #keys = new Map<string, AnnouncedKey>();
  readonly #running = new Set<string>();
  readonly #tasks = new TaskSet();
  readonly #ending = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: AnnounceQueueDeps, config: AnnounceQueueConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  has(key: Uint8Array): boolean {
    return this.#keys.has(nameOf(key));
  }

  /** Keys that were announced at least once. */
  announcedKeys(): Uint8Array[] {
    return [...this.#keys.values()].flatMap((entry) => (entry.first ? [] : [entry.key]));
  }

  /** Announces the key soon, and keeps it announced. One that is announced already is left as it is. */
  add(key: Uint8Array): void {
    const name = nameOf(key);
    if (this.#keys.has(name) || this.#ending.signal.aborted) return;
    this.#keys.set(name, { key: Uint8Array.from(key), dueAtMs: 0, first: true });
    if (this.#keys.size > this.#config.maxKeys) this.#dropOldest();
    this.#schedule(0);
  }

  /** Ends announcing the key; false when it was not announced. */
  remove(key: Uint8Array): boolean {
    return this.#keys.delete(nameOf(key));
  }

  /** Ends all, and waits for what is running. Idempotent. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#keys.clear();
    this.#ending.abort();
    await this.#tasks.settled();
  }

  #dropOldest(): void {
    let oldest: [string | undefined, number] = [undefined, Infinity];
    // Keys that wait for their first turn are due at 0; those announced longest ago are due next after them.
    for (const [name, { dueAtMs, first }] of this.#keys) if (!first && dueAtMs < oldest[1]) oldest = [name, dueAtMs];
    const dropped = oldest[0] ?? this.#keys.keys().next().value;
    if (dropped !== undefined) this.#keys.delete(dropped);
  }

  #schedule(waitMs: number): void {
    if (this.#ending.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#startDue(), Math.max(waitMs, this.#config.spacingMs));
  }

  #startDue(): void {
    const nowMs = this.#deps.clock.nowMs();
    let nextMs = Infinity;
    for (const [name, entry] of this.#keys) {
      if (this.#running.has(name)) continue;
      if (entry.dueAtMs <= nowMs) {
        // Whatever ends schedules the next.
        if (this.#running.size < this.#config.concurrency) this.#start(name, entry);
        nextMs = this.#running.size < this.#config.concurrency ? nowMs : Infinity;
        break;
      }
      nextMs = Math.min(nextMs, entry.dueAtMs);
    }
    if (nextMs !== Infinity) this.#schedule(nextMs - nowMs);
  }

  #start(name: string, entry: AnnouncedKey): void {
    this.#running.add(name);
    const options = { signal: this.#ending.signal, first: entry.first };
    entry.first = false;
    const announced = this.#deps.announce(entry.key, options).then((renewalMs) => {
      entry.dueAtMs = this.#deps.clock.nowMs() + (renewalMs ?? this.#config.renewalMs);
    });
    const ended = announced.finally(() => {
      this.#running.delete(name);
      this.#schedule(0);
    });
    this.#tasks.run(ended);
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}
