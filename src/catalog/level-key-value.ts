/**
 * The database of a catalog in level. A damaged database is repaired; where that fails it is left
 * as it is, and the seed does not start: made anew, it would forget what was pushed.
 */
import { dirname } from 'node:path';
import { Level } from 'level';
import type { Logger } from 'pino';
import { nodeDisk } from '../content/disk.ts';
import { innermost, isLevelDamage, isLevelLocked, isLevelOutOfSpace } from '../content/level-failures.ts';
import { makeFolder } from '../content/make-folder.ts';
import { ReopeningLevel } from '../content/reopening-level.ts';
import { asError } from '../oci/error.ts';
import { catalogError } from './errors.ts';
import type { KeyRange, KeyValue, KeyValueChange } from './key-value.ts';

/** In Node, `Level` has the static functions of classic-level; its types leave them out, since browsers have none. */
const repairable = Level as unknown as { repair(location: string): Promise<void> };
const BATCH_ENTRIES = 1000;
const BATCH_BYTES = 256 * 1024;

/** Keeps entries in a folder of its own. */
export class LevelKeyValue implements KeyValue {
  readonly #level: Level<string, Buffer>;
  readonly #writes: ReopeningLevel;

  private constructor(level: Level<string, Buffer>, log: Logger) {
    this.#level = level;
    this.#writes = new ReopeningLevel(level, (error) => log.warn({ err: error }, 'catalog write failed'));
  }

  /** @throws {DockyardError} ERR_CATALOG_LOCKED, ERR_CATALOG_DAMAGED, ERR_CATALOG_FULL, ERR_CATALOG_IO */
  static async open(folder: string, log: Logger): Promise<LevelKeyValue> {
    const level = new Level<string, Buffer>(folder, { valueEncoding: 'buffer' });
    try {
      await makeFolder(folder);
      // What is durable in a folder is lost with it, where its own name is not.
      await nodeDisk.syncFolder(dirname(folder));
      await level.open();
    } catch (error) {
      if (!isLevelDamage(error)) throw openingFailure(folder, error);
      log.error({ err: error, folder }, 'catalog damaged, to be repaired');
      await repair(level, folder, log);
    }
    return new LevelKeyValue(level, log);
  }

  async get(key: string): Promise<Buffer | undefined> {
    try {
      return await this.#level.get(key);
    } catch (error) {
      throw this.#translate(error);
    }
  }

  async keys({ from, to }: KeyRange, limit: number): Promise<string[]> {
    try {
      return await this.#level.keys({ gte: from, lt: to, limit: limit === Infinity ? -1 : limit }).all();
    } catch (error) {
      throw this.#translate(error);
    }
  }

  async *entries({ from, to }: KeyRange): AsyncGenerator<readonly [string, Buffer]> {
    const iterator = this.#level.iterator({ gte: from, lt: to, highWaterMarkBytes: BATCH_BYTES });
    try {
      for (;;) {
        const batch = await iterator.nextv(BATCH_ENTRIES);
        if (batch.length === 0) return;
        yield* batch;
      }
    } catch (error) {
      throw this.#translate(error);
    } finally {
      await iterator.close();
    }
  }

  async write(changes: KeyValueChange[], { isLossy = false }: { readonly isLossy?: boolean } = {}): Promise<void> {
    try {
      await this.#writes.write(changes, { sync: !isLossy });
    } catch (error) {
      throw this.#translate(error);
    }
  }

  async close(): Promise<void> {
    await this.#writes.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #translate(error: unknown): Error {
    if (this.#writes.isClosed) return catalogError('ERR_CATALOG_CLOSED', 'the catalog is closed', { cause: error });
    if (isLevelOutOfSpace(error))
      return catalogError('ERR_CATALOG_FULL', 'the disk has no room for the catalog', { cause: error });
    return catalogError('ERR_CATALOG_IO', 'the catalog could not be read or written', { cause: error });
  }
}

async function repair(level: Level<string, Buffer>, folder: string, log: Logger): Promise<void> {
  try {
    await repairable.repair(folder);
    await level.open();
    log.warn({ folder }, 'catalog repaired');
  } catch (cause) {
    throw catalogError('ERR_CATALOG_DAMAGED', `the catalog in ${folder} is damaged and could not be repaired`, {
      cause,
    });
  }
}

function openingFailure(folder: string, cause: unknown): Error {
  if (isLevelLocked(cause))
    return catalogError('ERR_CATALOG_LOCKED', `the catalog in ${folder} is in use by another process`, { cause });
  if (isLevelOutOfSpace(cause))
    return catalogError('ERR_CATALOG_FULL', `the disk has no room to open ${folder}`, { cause });
  const { message } = asError(innermost(cause));
  return catalogError('ERR_CATALOG_IO', `the catalog in ${folder} could not be opened: ${message}`, { cause });
}
