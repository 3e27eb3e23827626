/** Opens the catalog that a seed keeps on its disk. */
import type { Logger } from 'pino';
import { CachedKeyValue } from './cached-key-value.ts';
import type { Catalog } from './catalog.ts';
import { KeyedCatalog } from './keyed-catalog.ts';
import { LevelKeyValue } from './level-key-value.ts';

/** Room for the tags and manifests of thousands of images; the largest manifests are rare, and read from disk. */
const CACHE = { maxBytes: 16 * 1024 * 1024, maxValueBytes: 256 * 1024 };

/**
 * Opens or makes the catalog in `folder`, which must not be used by anything else.
 * @throws {DockyardError} ERR_CATALOG_LOCKED, ERR_CATALOG_DAMAGED, ERR_CATALOG_FULL, ERR_CATALOG_IO
 */
export async function openCatalog(folder: string, log: Logger): Promise<Catalog> {
  const database = await LevelKeyValue.open(folder, log);
  try {
    return await KeyedCatalog.over(new CachedKeyValue(database, CACHE));
  } catch (error) {
    await database.close();
    throw error;
  }
}
