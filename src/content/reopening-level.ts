/**
 * Writes to a level database that come back after a full disk: LevelDB refuses every write after one that the disk had no room
 * for, until it is opened again; so a failed write is tried once more on a fresh opening.
 */
import type { Level } from 'level';

/** One change of a database. */
export type LevelChange =
  | { readonly type: 'put'; readonly key: string; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: string };

/** LevelDB's own option, which level's types leave out, since browsers have none. */
interface DurableOptions {
  sync: boolean;
}

export class ReopeningLevel {
  readonly #level: Level<string, Buffer>;
  readonly #onRetry: (error: unknown) => void;
  #reopening: Promise<void> | undefined;
  #isClosed = false;

  /**
   * @param level open; closed by `close`
   * @param onRetry told why a write failed that is tried once more
   */
  constructor(level: Level<string, Buffer>, onRetry: (error: unknown) => void) {
    this.#level = level;
    this.#onRetry = onRetry;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Makes all changes or none; waits for the disk when `sync`. Throws what level throws. */
  async write(changes: LevelChange[], options: DurableOptions): Promise<void> {
    try {
      await this.#reopening;
      await this.#level.batch(changes, options);
    } catch (first) {
      if (this.#isClosed) throw first;
      this.#onRetry(first);
      await this.#reopen();
      await this.#level.batch(changes, options);
    }
  }

  /** Closes the database and frees its lock; idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#level.close();
  }

  async #reopen(): Promise<void> {
    this.#reopening ??= (async () => {
      await this.#level.close();
      await this.#level.open();
    })();
    try {
      await this.#reopening;
    } finally {
      this.#reopening = undefined;
    }
  }
}
