/** What every `ManifestStore` must do. */
import { describe, expect, test } from 'vitest';
import type { ManifestStore, StoredManifest, StoredTag } from '../../src/content/manifest-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { RepositoryName, Tag } from '../../src/oci/name.ts';
import type { Repository } from '../../src/oci/repository.ts';

/** Makes an empty store; it is disposed after each test. */
export type MakeManifestStore = (config: { maxManifestBytes: number; maxTags: number }) => Promise<ManifestStore>;

/** A manifest of `sizeBytes` bytes. */
export function makeManifest(sizeBytes: number, fill = 'a'): StoredManifest {
  const bytes = Buffer.alloc(sizeBytes, fill);
  return { digest: digestOf(bytes), mediaType: 'application/vnd.oci.image.manifest.v1+json', bytes };
}

/** A repository and a tag, as a test needs them. */
export function repository(upstream: string, name: string): Repository {
  return { upstream, name: name as RepositoryName };
}

function answer(manifest: StoredManifest, checkedAtMs: number): StoredTag {
  return { digest: manifest.digest, mediaType: manifest.mediaType, sizeBytes: manifest.bytes.length, checkedAtMs };
}

const latest = 'latest' as Tag;

/** Runs the suite against one implementation. */
export function describeManifestStore(name: string, makeStore: MakeManifestStore): void {
  const empty = async (limits: { maxManifestBytes?: number; maxTags?: number } = {}): Promise<ManifestStore> =>
    await makeStore({ maxManifestBytes: Infinity, maxTags: Infinity, ...limits });

  describe(`${name}: manifests and tags`, () => {
    test('a manifest is kept to the byte, with its media type', async () => {
      await using store = await empty();
      const manifest = { ...makeManifest(1000), mediaType: 'application/x-odd' };
      expect(await store.getManifest(manifest.digest)).toBeUndefined();
      await store.putManifest(manifest);
      expect(await store.getManifest(manifest.digest)).toEqual(manifest);
    });

    test('an empty manifest and a sha512 manifest are kept', async () => {
      await using store = await empty();
      const bytes = Buffer.from('{}');
      for (const manifest of [makeManifest(0), { digest: digestOf(bytes, 'sha512'), mediaType: 'a/b', bytes }]) {
        await store.putManifest(manifest);
        expect(await store.getManifest(manifest.digest)).toEqual(manifest);
      }
    });

    test('bytes that are not what the digest says are refused', async () => {
      await using store = await empty();
      const manifest = { ...makeManifest(10), bytes: Buffer.from('other') };
      await expect(store.putManifest(manifest)).rejects.toMatchObject({ code: 'ERR_CONTENT_MISMATCH' });
      expect(await store.getManifest(manifest.digest)).toBeUndefined();
    });

    test('the manifest that was used least recently goes first', async () => {
      await using store = await empty({ maxManifestBytes: 300 });
      const [a, b, c, d] = [
        makeManifest(100, 'a'),
        makeManifest(100, 'b'),
        makeManifest(100, 'c'),
        makeManifest(100, 'd'),
      ];
      for (const manifest of [a, b, c]) await store.putManifest(manifest);
      await store.getManifest(a.digest);
      await store.putManifest(d);
      const held = await Promise.all(
        [a, b, c, d].map(async ({ digest }) => (await store.getManifest(digest)) !== undefined),
      );
      expect(held).toEqual([true, false, true, true]);
    });

    test('putting a manifest again takes no more room', async () => {
      await using store = await empty({ maxManifestBytes: 300 });
      const [a, b] = [makeManifest(150, 'a'), makeManifest(150, 'b')];
      for (const manifest of [a, b, a, b, a]) await store.putManifest(manifest);
      expect(await store.getManifest(a.digest)).toBeDefined();
      expect(await store.getManifest(b.digest)).toBeDefined();
    });

    test('a manifest larger than the limit is refused, and nothing goes for it', async () => {
      await using store = await empty({ maxManifestBytes: 300 });
      const small = makeManifest(100);
      await store.putManifest(small);
      await expect(store.putManifest(makeManifest(301))).rejects.toMatchObject({ code: 'ERR_STORE_FULL' });
      expect(await store.getManifest(small.digest)).toBeDefined();
    });

    test('the last answer for a tag is kept, replaced and removed', async () => {
      await using store = await empty();
      const alpine = repository('docker.io', 'library/alpine');
      expect(await store.getTag(alpine, latest)).toBeUndefined();
      await store.putTag(alpine, latest, answer(makeManifest(10, 'a'), 1));
      await store.putTag(alpine, latest, answer(makeManifest(20, 'b'), 2));
      expect(await store.getTag(alpine, latest)).toEqual(answer(makeManifest(20, 'b'), 2));
      await store.removeTag(alpine, latest);
      await store.removeTag(alpine, latest);
      expect(await store.getTag(alpine, latest)).toBeUndefined();
    });

    test('tags that look alike are kept apart', async () => {
      await using store = await empty();
      const places = [
        [repository('a', 'b/c'), 'd'],
        [repository('a', 'b'), 'c'],
        [repository('a/b', 'c'), 'd'],
        [repository('a.b', 'c'), 'd'],
        [repository('a:1', 'b'), 'c'],
        [repository('a', 'b'), 'C'],
      ] as const;
      for (const [index, [place, tag]] of places.entries())
        await store.putTag(place, tag as Tag, answer(makeManifest(index), index));
      for (const [index, [place, tag]] of places.entries()) {
        expect(await store.getTag(place, tag as Tag)).toEqual(answer(makeManifest(index), index));
      }
    });

    test('beyond the limit the tags that were checked first go', async () => {
      await using store = await empty({ maxTags: 2 });
      const alpine = repository('docker.io', 'library/alpine');
      for (const [tag, atMs] of [
        ['1', 1],
        ['2', 2],
        ['1', 3],
        ['3', 4],
      ] as const) {
        await store.putTag(alpine, tag as Tag, answer(makeManifest(10), atMs));
      }
      const found = await Promise.all(
        ['1', '2', '3'].map(async (tag) => (await store.getTag(alpine, tag as Tag))?.checkedAtMs),
      );
      expect(found).toEqual([3, undefined, 4]);
    });
  });
}
