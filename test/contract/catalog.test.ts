import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, expect, test } from 'vitest';
import { CachedKeyValue } from '../../src/catalog/cached-key-value.ts';
import type { KeyRange, KeyValue, KeyValueChange } from '../../src/catalog/key-value.ts';
import { KeyedCatalog } from '../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../src/catalog/memory-key-value.ts';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../src/oci/name.ts';
import { makeTemporaryDirectory } from './blob-store-fixtures.ts';
import { describeChanges, manifestAt } from './catalog-changes.ts';
import { describeCatalog, type CatalogPlace } from './catalog.ts';

const directories = new AsyncDisposableStack();
afterAll(async () => await directories.disposeAsync());
const silent = pino({ level: 'silent' });

async function makeFolder(): Promise<string> {
  const directory = directories.use(await makeTemporaryDirectory());
  return join(directory.path, 'catalog');
}

const KINDS: Readonly<Record<string, () => Promise<CatalogPlace>>> = {
  'catalog in level': async () => {
    const folder = await makeFolder();
    return { open: async () => await openCatalog(folder, silent) };
  },
  'catalog in memory': async () => {
    const entries = new Map<string, Buffer>();
    return await Promise.resolve({ open: async () => await KeyedCatalog.over(new MemoryKeyValue(entries)) });
  },
  'catalog in memory, cached': async () => {
    const entries = new Map<string, Buffer>();
    const limits = { maxBytes: 2000, maxValueBytes: 500 };
    return await Promise.resolve({
      open: async () => await KeyedCatalog.over(new CachedKeyValue(new MemoryKeyValue(entries), limits)),
    });
  },
};
for (const [kind, makePlace] of Object.entries(KINDS)) {
  describeCatalog(kind, makePlace);
  describeChanges(kind, makePlace);
}

test('a catalog of a release that kept no changes gets them from what is there', async () => {
  const database = new MemoryKeyValue();
  const name = parseRepositoryName('team/app');
  const image = manifestAt('image', 1000);
  const before = await KeyedCatalog.over(database);
  await before.manifests.put(name, image, ['v1' as Tag]);
  for (const prefix of ['c!', 'f!', 'n!', 'h!'])
    for (const key of await database.keys({ from: prefix, to: `${prefix}~` }, Infinity))
      await database.write([{ type: 'del', key }]);
  const { changes } = await KeyedCatalog.over(database);
  expect((await changes.list({ after: 0, limit: 10 })).changes).toEqual([
    { number: 1, repository: name, reference: image.digest, digest: image.digest, atMs: 1000 },
    { number: 2, repository: name, reference: 'v1', digest: image.digest, atMs: 1000 },
  ]);
});

test('no change is shown before those that were begun earlier are there', async () => {
  const below = new MemoryKeyValue();
  const gates: PromiseWithResolvers<void>[] = [];
  const slow: KeyValue = {
    get: async (key) => await below.get(key),
    keys: async (range, limit) => await below.keys(range, limit),
    entries: (range) => below.entries(range),
    write: async (changes) => {
      await gates.shift()?.promise;
      await below.write(changes);
    },
    close: async () => await below.close(),
    [Symbol.asyncDispose]: async () => await below.close(),
  };
  const catalog = await KeyedCatalog.over(slow);
  const gate = Promise.withResolvers<void>();
  gates.push(gate);
  const first = catalog.manifests.put(parseRepositoryName('slow'), manifestAt('first', 1), []);
  while (gates.length > 0) await Promise.resolve();
  await catalog.manifests.put(parseRepositoryName('quick'), manifestAt('second', 2), []);
  expect(await catalog.changes.list({ after: 0, limit: 10 })).toEqual({ changes: [], upTo: 0 });
  gate.resolve();
  await first;
  expect((await catalog.changes.list({ after: 0, limit: 10 })).changes).toHaveLength(2);
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

test('a cache never answers with what was changed meanwhile, and stays within its bounds', async () => {
  const below = new MemoryKeyValue();
  const gates: PromiseWithResolvers<void>[] = [];
  let reads = 0;
  const slow = {
    get: async (key: string) => {
      reads += 1;
      const value = await below.get(key);
      await gates.shift()?.promise;
      return value;
    },
    keys: async (range: KeyRange, limit: number) => await below.keys(range, limit),
    entries: (range: KeyRange) => below.entries(range),
    write: async (changes: KeyValueChange[]) => await below.write(changes),
    close: async () => await below.close(),
    [Symbol.asyncDispose]: async () => await below.close(),
  };
  const cached = new CachedKeyValue(slow, { maxBytes: 3000, maxValueBytes: 1000 });
  const put = async (key: string, text: string): Promise<void> =>
    await cached.write([{ type: 'put', key, value: Buffer.from(text) }]);
  await put('a', 'old');
  const gate = Promise.withResolvers<void>();
  gates.push(gate);
  const reading = cached.get('a');
  await put('a', 'new');
  gate.resolve();
  // This one began before the change, and may still see what was; the next may not.
  expect((await reading)?.toString()).toBe('old');
  expect((await cached.get('a'))?.toString()).toBe('new');
  reads = 0;
  expect((await cached.get('a'))?.toString()).toBe('new');
  expect(reads).toBe(0);
  await put('large', 'x'.repeat(1001));
  await cached.get('large');
  await cached.get('large');
  expect(reads).toBe(2);
  for (let index = 0; index < 10; index += 1) {
    await put(`k${index}`, 'x'.repeat(500));
    await cached.get(`k${index}`);
  }
  reads = 0;
  await cached.get('k9');
  expect(reads).toBe(0);
  await cached.get('a');
  expect(reads).toBe(1);
  await cached.write([{ type: 'del', key: 'k9' }]);
  expect(await cached.get('k9')).toBeUndefined();
});
