/** What every catalog promises. */
import { describe, expect, test } from 'vitest';
import type { BlobLink, Catalog, CatalogManifest } from '../../src/catalog/catalog.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../src/oci/name.ts';
import { listAll } from './blob-store-fixtures.ts';

/** A place where a catalog is kept: empty at first, and opened as often as a test needs it. */
export interface CatalogPlace {
  open(): Promise<Catalog>;
}

const APP = parseRepositoryName('team/app');
const OTHER = parseRepositoryName('team/app-2');

/** A manifest whose digest follows from `text`. */
function manifestOf(text: string, facts: Partial<CatalogManifest> = {}): CatalogManifest {
  const bytes = Buffer.from(text);
  return {
    digest: digestOf(bytes),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    sizeBytes: bytes.length,
    pushedAtMs: 1000,
    annotations: {},
    blobs: [],
    manifests: [],
    bytes,
    ...facts,
  };
}

const linkOf = (text: string): BlobLink => ({
  digest: digestOf(Buffer.from(text)),
  sizeBytes: text.length,
  linkedAtMs: 5,
});
const tag = (text: string): Tag => text as Tag;

/** Runs the suite against a catalog. */
export function describeCatalog(name: string, makePlace: () => Promise<CatalogPlace>): void {
  const empty = async (): Promise<Catalog> => await (await makePlace()).open();

  describe(`${name}: blobs`, () => {
    test('a blob is seen in the repositories that it was put into, and in no other', async () => {
      await using catalog = await empty();
      const link = linkOf('layer');
      await catalog.blobs.put(APP, link);
      expect(await catalog.blobs.get(APP, link.digest)).toEqual(link);
      expect(await catalog.blobs.get(OTHER, link.digest)).toBeUndefined();
      expect(await catalog.blobs.get(parseRepositoryName('team'), link.digest)).toBeUndefined();
      expect(await catalog.blobs.delete(OTHER, link.digest)).toBe(false);
      expect(await catalog.blobs.delete(APP, link.digest)).toBe(true);
      expect(await catalog.blobs.get(APP, link.digest)).toBeUndefined();
      expect(await catalog.blobs.delete(APP, link.digest)).toBe(false);
    });

    test('blobs of a repository are listed in the order of their digests', async () => {
      await using catalog = await empty();
      const links = ['a', 'b', 'c'].map(linkOf).toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
      for (const link of links.toReversed()) await catalog.blobs.put(APP, link);
      await catalog.blobs.put(OTHER, linkOf('d'));
      expect(await listAll(catalog.blobs.list(APP))).toEqual(links);
    });
  });

  describe(`${name}: manifests and tags`, () => {
    test('a manifest comes back to the byte, with its facts', async () => {
      await using catalog = await empty();
      const needs = { blobs: [digestOf(Buffer.from('x'))], manifests: [digestOf(Buffer.from('y'), 'sha512')] };
      const manifest = manifestOf('{ "odd":   "bytes" }\n', { ...needs, artifactType: 'a/b', annotations: { k: 'v' } });
      await catalog.manifests.put(APP, manifest, []);
      expect(await catalog.manifests.get(APP, manifest.digest)).toEqual(manifest);
      const { bytes: _, ...facts } = manifest;
      expect(await catalog.manifests.stat(APP, manifest.digest)).toEqual(facts);
      expect(await listAll(catalog.manifests.list(APP))).toEqual([facts]);
      expect(await catalog.manifests.get(OTHER, manifest.digest)).toBeUndefined();
    });

    test('a tag moves, and deleting a manifest takes only the tags that point to it', async () => {
      await using catalog = await empty();
      const [first, second] = [manifestOf('first'), manifestOf('second', { pushedAtMs: 2000 })];
      await catalog.manifests.put(APP, first, [tag('v1'), tag('latest')]);
      await catalog.manifests.put(APP, second, [tag('latest'), tag('v2')]);
      expect(await catalog.tags.get(APP, tag('latest'))).toEqual({ digest: second.digest, updatedAtMs: 2000 });
      expect(await catalog.manifests.delete(APP, first.digest)).toEqual(['v1']);
      expect(await catalog.tags.get(APP, tag('v1'))).toBeUndefined();
      expect(await catalog.tags.list(APP, { limit: 10 })).toEqual(['latest', 'v2']);
      expect(await catalog.manifests.delete(APP, first.digest)).toBeUndefined();
    });

    test('deleting a tag leaves the manifest and its other tags', async () => {
      await using catalog = await empty();
      const manifest = manifestOf('image');
      await catalog.manifests.put(APP, manifest, [tag('a'), tag('b')]);
      expect(await catalog.tags.delete(APP, tag('a'))).toEqual({ digest: manifest.digest, updatedAtMs: 1000 });
      expect(await catalog.tags.delete(APP, tag('a'))).toBeUndefined();
      expect(await catalog.manifests.get(APP, manifest.digest)).toEqual(manifest);
      expect(await catalog.manifests.delete(APP, manifest.digest)).toEqual(['b']);
    });

    test('tags are listed with where they point', async () => {
      await using catalog = await empty();
      const [first, second] = [manifestOf('first'), manifestOf('second', { pushedAtMs: 2000 })];
      await catalog.manifests.put(APP, first, [tag('b'), tag('a')]);
      await catalog.manifests.put(APP, second, [tag('c')]);
      expect(await listAll(catalog.tags.entries(APP))).toEqual([
        ['a', { digest: first.digest, updatedAtMs: 1000 }],
        ['b', { digest: first.digest, updatedAtMs: 1000 }],
        ['c', { digest: second.digest, updatedAtMs: 2000 }],
      ]);
    });

    test('a tag that points to the same manifest again stays where it is', async () => {
      await using catalog = await empty();
      const manifest = manifestOf('image');
      await catalog.manifests.put(APP, manifest, [tag('a')]);
      await catalog.manifests.put(APP, { ...manifest, pushedAtMs: 3000 }, [tag('a')]);
      expect(await catalog.tags.get(APP, tag('a'))).toEqual({ digest: manifest.digest, updatedAtMs: 3000 });
      expect(await catalog.manifests.delete(APP, manifest.digest)).toEqual(['a']);
    });

    test('tags that race for one name leave exactly one of them', async () => {
      await using catalog = await empty();
      const manifests = Array.from({ length: 10 }, (_, index) => manifestOf(`image ${index}`));
      await Promise.all(manifests.map(async (manifest) => await catalog.manifests.put(APP, manifest, [tag('latest')])));
      const entry = await catalog.tags.get(APP, tag('latest'));
      const taken: string[] = [];
      for (const { digest } of manifests) {
        const tags = await catalog.manifests.delete(APP, digest);
        if (tags?.length === 1) taken.push(digest);
      }
      expect(taken).toEqual([entry?.digest]);
    });

    test('tags are listed in order, in pages, from names that need not exist', async () => {
      await using catalog = await empty();
      const manifest = manifestOf('image');
      const names = ['1', '10', '2', 'A', 'Z', '_', 'a', 'a.b', 'a_b', 'ab', 'b'];
      await catalog.manifests.put(APP, manifest, names.toReversed().map(tag));
      await catalog.manifests.put(OTHER, manifest, [tag('elsewhere')]);
      const list = async (after: string | undefined, limit: number): Promise<string[]> =>
        await catalog.tags.list(APP, { after, limit });
      expect(await list(undefined, 100)).toEqual(names);
      expect(await list(undefined, 0)).toEqual([]);
      expect(await list(undefined, 3)).toEqual(names.slice(0, 3));
      expect(await list('10', 2)).toEqual(['2', 'A']);
      expect(await list('a0', 2)).toEqual(['a_b', 'ab']);
      expect(await list('zzz', 2)).toEqual([]);
      for (const strange of ['\0', '\uffff', '"', '\r\n', '💥', 'a\0b']) {
        expect(Array.isArray(await list(strange, 5))).toBe(true);
      }
    });
  });

  describe(`${name}: referrers`, () => {
    test('what names a subject is found under it, and no longer once it is deleted', async () => {
      await using catalog = await empty();
      const subject = digestOf(Buffer.from('not pushed yet'));
      const signature = manifestOf('signature', { subject, artifactType: 'sig/v1', annotations: { by: 'me' } });
      const sbom = manifestOf('sbom', { subject, artifactType: 'sbom/v1' });
      await catalog.manifests.put(APP, signature, []);
      await catalog.manifests.put(APP, sbom, []);
      await catalog.manifests.put(APP, manifestOf('unrelated'), []);
      const found = await listAll(catalog.manifests.referrers(APP, subject));
      const expected = [signature, sbom].toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
      expect(found).toEqual(
        expected.map(({ digest, mediaType, sizeBytes, artifactType, annotations }) => ({
          digest,
          mediaType,
          sizeBytes,
          artifactType,
          annotations,
        })),
      );
      const first = expected[0]?.digest;
      const after = await listAll(catalog.manifests.referrers(APP, subject, first));
      expect(after.map(({ digest }) => digest)).toEqual([expected[1]?.digest]);
      expect(await listAll(catalog.manifests.referrers(OTHER, subject))).toEqual([]);
      await catalog.manifests.delete(APP, signature.digest);
      const left = await listAll(catalog.manifests.referrers(APP, subject));
      expect(left.map(({ digest }) => digest)).toEqual([sbom.digest]);
    });
  });

  describe(`${name}: repositories and uploads`, () => {
    test('repositories are there once something is in them, in order', async () => {
      await using catalog = await empty();
      expect(await catalog.repositories.has(APP)).toBe(false);
      await catalog.manifests.put(OTHER, manifestOf('image'), []);
      await catalog.blobs.put(APP, linkOf('layer'));
      expect(await catalog.repositories.has(APP)).toBe(true);
      expect(await catalog.repositories.has(parseRepositoryName('team'))).toBe(false);
      expect(await catalog.repositories.list({ limit: 10 })).toEqual([APP, OTHER]);
      expect(await catalog.repositories.list({ after: APP, limit: 10 })).toEqual([OTHER]);
      expect(await catalog.repositories.list({ limit: 1 })).toEqual([APP]);
    });

    test('a repository is listed no more when nothing is left in it, until something is put there again', async () => {
      await using catalog = await empty();
      const image = manifestOf('image');
      await catalog.manifests.put(APP, image, [tag('v1')]);
      await catalog.blobs.put(APP, linkOf('layer'));
      await catalog.manifests.put(OTHER, image, []);
      expect(await catalog.repositories.hideEmpty(APP)).toBe(false);
      await catalog.manifests.delete(APP, image.digest);
      expect(await catalog.repositories.hideEmpty(APP)).toBe(false);
      await catalog.blobs.delete(APP, linkOf('layer').digest);
      expect(await catalog.repositories.hideEmpty(APP)).toBe(true);
      expect(await catalog.repositories.hideEmpty(APP)).toBe(false);
      expect(await catalog.repositories.has(APP)).toBe(true);
      expect(await catalog.repositories.list({ limit: 10 })).toEqual([OTHER]);
      await catalog.blobs.put(APP, linkOf('layer'));
      expect(await catalog.repositories.list({ limit: 10 })).toEqual([APP, OTHER]);
    });

    test('times of pulls are kept of manifests that are there, and go with them', async () => {
      const place = await makePlace();
      const [image, gone] = [manifestOf('image'), manifestOf('gone')];
      {
        await using catalog = await place.open();
        expect(await catalog.pulls.keptSinceMs(5)).toBe(5);
        await catalog.manifests.put(APP, image, []);
        await catalog.pulls.put(
          APP,
          [image, gone].map(({ digest }) => ({ digest, atMs: 7 })),
        );
        await catalog.pulls.put(APP, [{ digest: image.digest, atMs: 9 }]);
      }
      await using catalog = await place.open();
      expect(await catalog.pulls.keptSinceMs(6)).toBe(5);
      expect(await catalog.pulls.get(APP, image.digest)).toBe(9);
      expect(await listAll(catalog.pulls.list(APP))).toEqual([{ digest: image.digest, atMs: 9 }]);
      expect(await listAll(catalog.pulls.list(OTHER))).toEqual([]);
      await catalog.manifests.delete(APP, image.digest);
      expect(await catalog.pulls.get(APP, image.digest)).toBeUndefined();
    });

    test('an upload is remembered until it is forgotten', async () => {
      await using catalog = await empty();
      await catalog.sessions.put('id', { repository: APP, startedAtMs: 7 });
      expect(await catalog.sessions.get('id')).toEqual({ repository: APP, startedAtMs: 7 });
      expect(await listAll(catalog.sessions.list())).toEqual([['id', { repository: APP, startedAtMs: 7 }]]);
      await catalog.sessions.delete('id');
      expect(await catalog.sessions.get('id')).toBeUndefined();
    });

    test('everything outlives a restart', async () => {
      const place = await makePlace();
      const manifest = manifestOf('image');
      const digest: Digest = linkOf('layer').digest;
      {
        await using catalog = await place.open();
        await catalog.blobs.put(APP, linkOf('layer'));
        await catalog.manifests.put(APP, manifest, [tag('latest')]);
        await catalog.sessions.put('id', { repository: APP, startedAtMs: 7 });
      }
      await using catalog = await place.open();
      expect(await catalog.blobs.get(APP, digest)).toBeDefined();
      expect(await catalog.manifests.get(APP, manifest.digest)).toEqual(manifest);
      expect(await catalog.tags.get(APP, tag('latest'))).toMatchObject({ digest: manifest.digest });
      expect(await catalog.sessions.get('id')).toBeDefined();
    });

    test('a closed catalog says so', async () => {
      const catalog = await empty();
      await catalog.close();
      await expect(catalog.repositories.has(APP)).rejects.toMatchObject({ code: 'ERR_CATALOG_CLOSED' });
    });
  });
}
