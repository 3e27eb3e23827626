/** Names that are parts of keys, in order. */
import type { Page } from './catalog.ts';
import { catalogError } from './errors.ts';
import type { KeyValue } from './key-value.ts';
import { keysUnder } from './layout.ts';

/** A page of the names under a prefix. @throws {DockyardError} ERR_CATALOG_DAMAGED for what names nothing */
export async function listNames<Name extends string>(
  database: KeyValue,
  prefix: string,
  { after, limit }: Page<string>,
  isName: (text: string) => text is Name,
): Promise<Name[]> {
  if (limit <= 0) return [];
  const keys = await database.keys(keysUnder(prefix, after), limit);
  return keys.map((key) => {
    const name = key.slice(prefix.length);
    if (isName(name)) return name;
    throw catalogError('ERR_CATALOG_DAMAGED', `the key ${JSON.stringify(key)} of the catalog names nothing`);
  });
}
