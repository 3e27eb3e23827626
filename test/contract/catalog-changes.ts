/** What every catalog promises of its changes, by which seeds that keep the same follow each other. */
import { describe, expect, test } from 'vitest';
import type { Catalog, CatalogManifest } from '../../src/catalog/catalog.ts';
import type { Change } from '../../src/catalog/changes.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../src/oci/name.ts';
import type { CatalogPlace } from './catalog.ts';

const APP = parseRepositoryName('team/app');
const tag = (text: string): Tag => text as Tag;

/** A manifest whose digest follows from `text`. */
export function manifestAt(text: string, pushedAtMs: number): CatalogManifest {
  const bytes = Buffer.from(text);
  const facts = { mediaType: 'a/b', sizeBytes: bytes.length, annotations: {}, blobs: [], manifests: [] };
  return { digest: digestOf(bytes), bytes, pushedAtMs, ...facts };
}

/** All changes, without their numbers. */
async function all(catalog: Catalog, after = 0): Promise<Change[]> {
  const { changes } = await catalog.changes.list({ after, limit: Infinity });
  return changes.map(({ repository, reference, digest, atMs }) => ({ repository, reference, digest, atMs }));
}

/** Runs the suite against a catalog. */
export function describeChanges(name: string, makePlace: () => Promise<CatalogPlace>): void {
  const empty = async (): Promise<Catalog> => await (await makePlace()).open();

  describe(`${name}: changes`, () => {
    test('a tag and its manifest stand in the order of changes, each once, with the last', async () => {
      await using catalog = await empty();
      const [first, second] = [manifestAt('first', 1000), manifestAt('second', 2000)];
      await catalog.manifests.put(APP, first, [tag('v1')]);
      const set = (reference: Change['reference'], { digest, pushedAtMs: atMs }: CatalogManifest): Change => ({
        repository: APP,
        reference,
        digest,
        atMs,
      });
      expect(await all(catalog)).toEqual([set(first.digest, first), set(tag('v1'), first)]);
      const { upTo } = await catalog.changes.list({ after: 0, limit: 100 });
      await catalog.manifests.put(APP, second, [tag('v1')]);
      expect(await all(catalog)).toEqual([
        set(first.digest, first),
        set(second.digest, second),
        set(tag('v1'), second),
      ]);
      expect(await all(catalog, upTo)).toHaveLength(2);
      await catalog.manifests.delete(APP, second.digest, { atMs: 3000 });
      expect(await all(catalog)).toEqual([
        set(first.digest, first),
        { repository: APP, reference: second.digest, atMs: 3000 },
        { repository: APP, reference: 'v1', atMs: 2000 },
      ]);
    });

    test('changes are listed in pages that miss none', async () => {
      await using catalog = await empty();
      const images = Array.from({ length: 25 }, (_, index) => manifestAt(`image ${index}`, 1000 + index));
      for (const image of images) await catalog.manifests.put(APP, image, [tag('latest')]);
      const seen: Change['reference'][] = [];
      for (let after = 0; ;) {
        const page = await catalog.changes.list({ after, limit: 4 });
        seen.push(...page.changes.map(({ reference }) => reference));
        if (page.upTo === after) break;
        after = page.upTo;
      }
      expect(seen).toEqual([...images.map(({ digest }) => digest), 'latest']);
    });

    test('what is taken away here alone is no change, and its number is not given again', async () => {
      const place = await makePlace();
      let before = 0;
      {
        await using catalog = await place.open();
        await catalog.manifests.put(APP, manifestAt('image', 1000), [tag('a'), tag('b')]);
        ({ upTo: before } = await catalog.changes.list({ after: 0, limit: 10 }));
        await catalog.tags.delete(APP, tag('b'));
        await catalog.manifests.delete(APP, manifestAt('image', 0).digest);
        expect(await all(catalog)).toEqual([]);
      }
      await using catalog = await place.open();
      await catalog.manifests.put(APP, manifestAt('other', 2000), []);
      expect(await all(catalog, before)).toHaveLength(1);
    });

    test('what is done here comes after what was seen here, whatever the clock says', async () => {
      await using catalog = await empty();
      const [first, second] = [manifestAt('first', 5000), manifestAt('second', 100)];
      await catalog.manifests.put(APP, first, [tag('v1')]);
      await catalog.manifests.put(APP, second, [tag('v1')]);
      expect(await catalog.tags.get(APP, tag('v1'))).toEqual({ digest: second.digest, updatedAtMs: 5001 });
      await catalog.tags.delete(APP, tag('v1'), { atMs: 100 });
      expect(await catalog.changes.standing({ repository: APP, reference: tag('v1') })).toEqual({ atMs: 5001 });
      await catalog.manifests.put(APP, second, [tag('v1')]);
      expect(await catalog.tags.get(APP, tag('v1'))).toMatchObject({ updatedAtMs: 5002 });
    });

    test('deletions are forgotten when they are old, and what was pushed again is not', async () => {
      await using catalog = await empty();
      const image = manifestAt('image', 1000);
      await catalog.manifests.put(APP, image, [tag('a'), tag('b'), tag('c')]);
      for (const each of ['a', 'b']) await catalog.tags.delete(APP, tag(each), { atMs: 2000 });
      await catalog.manifests.put(APP, { ...image, pushedAtMs: 2500 }, [tag('b')]);
      expect(await catalog.changes.forgetDeletions(2000)).toBe(0);
      expect(await catalog.changes.forgetDeletions(2001)).toBe(1);
      expect((await all(catalog)).map(({ reference }) => reference)).toEqual(['c', image.digest, 'b']);
    });

    test('who waits for news is told of them, and of the end of waiting', async () => {
      await using catalog = await empty();
      const waiting = catalog.changes.news(0, { signal: new AbortController().signal });
      await catalog.manifests.put(APP, manifestAt('image', 1000), []);
      await waiting;
      const controller = new AbortController();
      const idle = catalog.changes.news(1, { signal: controller.signal });
      controller.abort();
      await idle;
      expect(await all(catalog)).toHaveLength(1);
    });

    test('a catalog keeps its name, and no two have the same', async () => {
      const place = await makePlace();
      const { id } = (await using(await place.open())).changes;
      expect((await using(await place.open())).changes.id).toBe(id);
      expect((await using(await empty())).changes.id).not.toBe(id);
    });
  });
}

/** Closes a catalog and answers it. */
async function using(catalog: Catalog): Promise<Catalog> {
  await catalog.close();
  return catalog;
}
