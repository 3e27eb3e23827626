/** Opens the catalog that a seed keeps on its disk. */
import type { Logger } from 'pino';
import type { Catalog } from './catalog.ts';
import { KeyedCatalog } from './keyed-catalog.ts';
import { LevelKeyValue } from './level-key-value.ts';

/**
 * Opens or makes the catalog in `folder`, which must not be used by anything else.
 * @throws {DockyardError} ERR_CATALOG_LOCKED, ERR_CATALOG_DAMAGED, ERR_CATALOG_FULL, ERR_CATALOG_IO
 */
export async function openCatalog(folder: string, log: Logger): Promise<Catalog> {
  const database = await LevelKeyValue.open(folder, log);
  try {
    return await KeyedCatalog.over(database);
  } catch (error) {
    await database.close();
    throw error;
  }
}
