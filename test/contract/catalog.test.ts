import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, expect, test } from 'vitest';
import { KeyedCatalog } from '../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../src/catalog/memory-key-value.ts';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../src/oci/name.ts';
import { makeTemporaryDirectory } from './blob-store-fixtures.ts';
import { describeCatalog } from './catalog.ts';

const directories = new AsyncDisposableStack();
afterAll(async () => await directories.disposeAsync());
const silent = pino({ level: 'silent' });

async function makeFolder(): Promise<string> {
  const directory = directories.use(await makeTemporaryDirectory());
  return join(directory.path, 'catalog');
}

describeCatalog('catalog in level', async () => {
  const folder = await makeFolder();
  return { open: async () => await openCatalog(folder, silent) };
});

describeCatalog('catalog in memory', async () => {
  const entries = new Map<string, Buffer>();
  return await Promise.resolve({ open: async () => await KeyedCatalog.over(new MemoryKeyValue(entries)) });
});

test('a second process is kept out of a catalog, with a clear word', async () => {
  const folder = await makeFolder();
  await using _ = await openCatalog(folder, silent);
  await expect(openCatalog(folder, silent)).rejects.toMatchObject({ code: 'ERR_CATALOG_LOCKED' });
});

test('an entry that cannot be read is said to be damage, and not to be absent', async () => {
  const database = new MemoryKeyValue();
  const catalog = await KeyedCatalog.over(database);
  const name = parseRepositoryName('team/app');
  for (const value of ['not json', '{}', '{"digest":"sha256:short","updatedAtMs":1}']) {
    await database.write([{ type: 'put', key: `t!${name}\0latest`, value: Buffer.from(value) }]);
    await expect(catalog.tags.get(name, 'latest' as Tag)).rejects.toMatchObject({ code: 'ERR_CATALOG_DAMAGED' });
  }
});

test('a catalog of another version is not touched', async () => {
  const database = new MemoryKeyValue();
  await database.write([{ type: 'put', key: 'v!', value: Buffer.from('99') }]);
  await expect(KeyedCatalog.over(database)).rejects.toMatchObject({ code: 'ERR_CATALOG_DAMAGED' });
});

test('a page of 100,000 tags comes in milliseconds, the last as well as the first', async () => {
  await using catalog = await openCatalog(await makeFolder(), silent);
  const name = parseRepositoryName('team/app');
  const bytes = Buffer.from('image');
  const manifest = {
    digest: digestOf(bytes),
    mediaType: 'a/b',
    sizeBytes: bytes.length,
    pushedAtMs: 1,
    annotations: {},
    blobs: [],
    manifests: [],
    bytes,
  };
  const tags = Array.from({ length: 100_000 }, (_, index) => `v${String(index).padStart(6, '0')}` as Tag);
  for (let at = 0; at < tags.length; at += 10_000)
    await catalog.manifests.put(name, manifest, tags.slice(at, at + 10_000));
  for (const after of [undefined, 'v050000', 'v099000']) {
    const beganAtMs = performance.now();
    const page = await catalog.tags.list(name, { after, limit: 1000 });
    // Ten times what it takes on an idle machine, and far less than it takes to read them all.
    expect(performance.now() - beganAtMs).toBeLessThan(50);
    expect(page).toEqual(
      after === undefined ? tags.slice(0, 1000) : tags.slice(Number(after.slice(1)) + 1).slice(0, 1000),
    );
  }
}, 60_000);
