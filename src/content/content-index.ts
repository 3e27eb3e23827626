/**
 * The store's level database, as far as the store needs it: binary values under short prefixes.
 *
 * Level locks its folder, which keeps a second process out of the whole store. A database that is damaged is repaired,
 * and if that fails made anew: all that it says of blobs can be read from the files.
 */
import { rename, rm } from 'node:fs/promises';
import { Level } from 'level';
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import { contentError } from './errors.ts';
import { innermost, isLevelDamage, isLevelLocked, isLevelOutOfSpace } from './level-failures.ts';
import { ReopeningLevel, type LevelChange } from './reopening-level.ts';

/** In Node, `Level` has the static functions of classic-level; its types leave them out, since browsers have none. */
const repairable = Level as unknown as { repair(location: string): Promise<void> };

/** One change of the index. */
export type IndexChange = LevelChange;

/** A key-value store with ordered keys. Whoever opens it closes it. */
export class ContentIndex implements AsyncDisposable {
  readonly #level: Level<string, Buffer>;
  readonly #writes: ReopeningLevel;

  private constructor(level: Level<string, Buffer>, log: Logger) {
    this.#level = level;
    this.#writes = new ReopeningLevel(level, (error) => log.warn({ err: error }, 'index write failed'));
  }

  /**
   * Opens or makes the database in `folder`, which must not be used by anything else.
   * @throws {DockyardError} ERR_STORE_LOCKED, ERR_STORE_IO, ERR_STORE_FULL
   */
  static async open(folder: string, log: Logger): Promise<ContentIndex> {
    const level = new Level<string, Buffer>(folder, { valueEncoding: 'buffer' });
    try {
      await openAndProbe(level);
    } catch (error) {
      if (!isLevelDamage(error)) throw openingError(folder, error);
      log.warn({ err: error, folder }, 'index damaged');
      await restore(level, folder, log);
    }
    return new ContentIndex(level, log);
  }

  /** The value of a key, or `undefined`. @throws {DockyardError} ERR_STORE_IO */
  async get(key: string): Promise<Buffer | undefined> {
    try {
      return await this.#level.get(key);
    } catch (error) {
      throw this.#translate(error);
    }
  }

  /**
   * All entries whose key begins with `prefix`, keys without it, in order, or at most `limit` of them.
   * @throws {DockyardError} ERR_STORE_IO
   */
  async *entries(prefix: string, options: { limit?: number } = {}): AsyncGenerator<[key: string, value: Buffer]> {
    const iterator = this.#level.iterator({ gte: prefix, lt: `${prefix}\uffff`, limit: options.limit ?? -1 });
    try {
      for (let batch = await iterator.nextv(1000); batch.length > 0; batch = await iterator.nextv(1000)) {
        for (const [key, value] of batch) yield [key.slice(prefix.length), value];
      }
    } catch (error) {
      throw this.#translate(error);
    } finally {
      await iterator.close();
    }
  }

  /**
   * Makes all changes or none. They survive the end of the process, and with `sync` a loss of power as well.
   * @throws {DockyardError} ERR_STORE_FULL, ERR_STORE_IO
   */
  async write(changes: IndexChange[], options: { sync?: boolean } = {}): Promise<void> {
    if (changes.length === 0) return;
    try {
      await this.#writes.write(changes, { sync: options.sync ?? false });
    } catch (error) {
      throw this.#translate(error);
    }
  }

  /** Closes the database and frees its lock. */
  async close(): Promise<void> {
    await this.#writes.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #translate(error: unknown): Error {
    if (this.#writes.isClosed) return contentError('ERR_STORE_CLOSED', 'the content store is closed', { cause: error });
    if (isLevelOutOfSpace(error))
      return contentError('ERR_STORE_FULL', 'the disk has no room for the index', { cause: error });
    return contentError('ERR_STORE_IO', 'the index could not be read or written', { cause: error });
  }
}

/** Opens a database and reads its first key, since some damage shows only then. */
async function openAndProbe(level: Level<string, Buffer>): Promise<void> {
  await level.open();
  try {
    for await (const key of level.keys({ limit: 1 }))
      if (typeof key !== 'string') throw new TypeError('a key is no text');
  } catch (error) {
    await level.close();
    throw error;
  }
}

async function restore(level: Level<string, Buffer>, folder: string, log: Logger): Promise<void> {
  try {
    await repairable.repair(folder);
    await openAndProbe(level);
    log.warn({ folder }, 'index repaired');
    return;
  } catch (error) {
    log.error({ err: error, folder }, 'index could not be repaired and is made anew');
  }
  try {
    // Not removed: on a seed it may be the last trace of what was pushed.
    await rm(`${folder}.damaged`, { recursive: true, force: true });
    await rename(folder, `${folder}.damaged`);
    await level.open();
  } catch (error) {
    throw openingError(folder, error);
  }
}

function openingError(folder: string, error: unknown): Error {
  if (isLevelLocked(error)) {
    return contentError('ERR_STORE_LOCKED', `the content store beside ${folder} is in use by another process`, {
      cause: error,
    });
  }
  if (isLevelOutOfSpace(error))
    return contentError('ERR_STORE_FULL', `the disk has no room to open ${folder}`, { cause: error });
  const { message } = asError(innermost(error));
  return contentError('ERR_STORE_IO', `the index ${folder} could not be opened: ${message}`, { cause: error });
}
