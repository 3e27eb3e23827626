/** Manifests, tags and what refers to them: pushed, listed, read and deleted. */
import { describe, expect, test } from 'vitest';
import { DIGEST_ALGORITHMS, digestOf, type Digest, type DigestAlgorithm } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { DATA_SETS, plainImage, plainIndex, type DataSet, type PushedManifest } from './data-sets.ts';
import type { Answer } from './registry-client.ts';
import type { Registry } from './registry-under-test.ts';

const ABSENT = digestOf(Buffer.from('never pushed'));

/** Declares the checks. */
export function describeManifests(registry: () => Registry): void {
  const send = async (...args: Parameters<Registry['client']['send']>): Promise<Answer> =>
    await registry().client.send(...args);
  const pathOf = (reference: string): string => `/v2/${registry().repository}/manifests/${reference}`;

  async function pushBlobs({ blobs }: DataSet): Promise<void> {
    const { client, repository } = registry();
    await Promise.all(
      new Map(blobs.map((blob) => [blob.digest, blob])).values().map((blob) => client.push(repository, blob)),
    );
  }

  async function put({ bytes, mediaType }: PushedManifest, reference: string, query = ''): Promise<Answer> {
    return await send('PUT', pathOf(reference) + query, { headers: { 'content-type': mediaType }, body: bytes });
  }

  async function push(manifest: PushedManifest): Promise<void> {
    const answer = await put(manifest, manifest.tag ?? manifest.digest);
    expect([answer.status, answer.code]).toEqual([201, undefined]);
    expect(answer.headers.get('docker-content-digest')).toBe(manifest.digest);
    expect(answer.headers.get('oci-subject')).toBe(manifest.subject ?? null);
    expect((await send('GET', answer.headers.get('location') ?? '')).body).toEqual(manifest.bytes);
  }

  async function expectThere({ bytes, digest, mediaType }: PushedManifest, reference: string): Promise<void> {
    for (const method of ['HEAD', 'GET']) {
      const answer = await send(method, pathOf(reference), { headers: { accept: mediaType } });
      expect([answer.status, Object.fromEntries(answer.headers)]).toEqual([
        200,
        expect.objectContaining({
          'content-type': mediaType,
          'content-length': String(bytes.length),
          'docker-content-digest': digest,
        }),
      ]);
      expect(answer.body.equals(method === 'HEAD' ? Buffer.alloc(0) : bytes)).toBe(true);
    }
  }

  async function expectGone(reference: string): Promise<void> {
    expect((await send('HEAD', pathOf(reference))).status).toBe(404);
    expect(await send('GET', pathOf(reference))).toMatchObject({ status: 404, code: 'MANIFEST_UNKNOWN' });
  }

  async function tags(query = ''): Promise<string[]> {
    const answer = await send('GET', `/v2/${registry().repository}/tags/list${query}`);
    expect(answer.status).toBe(200);
    const list = JSON.parse(answer.body.toString()) as { name: string; tags: string[] };
    expect(list.name).toBe(registry().repository);
    return list.tags;
  }

  async function referrers(subject: Digest, artifactType?: string): Promise<object[]> {
    const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType }).toString()}`;
    const answer = await send('GET', `/v2/${registry().repository}/referrers/${subject}${query}`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, MEDIA_TYPES.ociIndex]);
    expect(answer.headers.get('oci-filters-applied')).toBe(artifactType === undefined ? null : 'artifactType');
    const index = JSON.parse(answer.body.toString()) as { schemaVersion: number; manifests: object[] };
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex });
    return index.manifests;
  }

  async function expectReferrers({ manifests }: DataSet): Promise<void> {
    const bySubject = Map.groupBy(manifests, ({ subject }) => subject);
    bySubject.delete(undefined);
    for (const [subject, attached] of bySubject) {
      if (subject === undefined) continue;
      const expected = attached.map(({ referrer }) => referrer as { artifactType?: string });
      const listed = await referrers(subject);
      expect(listed).toHaveLength(expected.length);
      expect(listed).toEqual(expect.arrayContaining(expected));
      for (const [type, some] of Map.groupBy(expected, ({ artifactType }) => artifactType)) {
        if (type === undefined) continue;
        const found = await referrers(subject, type);
        expect(found).toHaveLength(some.length);
        expect(found).toEqual(expect.arrayContaining(some));
      }
    }
  }

  /** Tags first, then what nothing refers to any more. */
  async function deleteAll({ blobs, manifests }: DataSet): Promise<void> {
    for (const manifest of manifests) {
      if (manifest.tag === undefined) continue;
      expect((await send('DELETE', pathOf(manifest.tag))).status).toBe(202);
      await expectGone(manifest.tag);
      await expectThere(manifest, manifest.digest);
    }
    for (const { digest } of manifests.toReversed()) {
      expect((await send('DELETE', pathOf(digest))).status).toBe(202);
      await expectGone(digest);
    }
    for (const { subject } of manifests) if (subject !== undefined) expect(await referrers(subject)).toEqual([]);
    for (const digest of new Set(blobs.map((blob) => blob.digest))) {
      const path = `/v2/${registry().repository}/blobs/${digest}`;
      expect((await send('DELETE', path)).status).toBe(202);
      expect((await send('HEAD', path)).status).toBe(404);
    }
  }

  test('a repository without anything has no referrers and no tags', async () => {
    expect(await referrers(ABSENT)).toEqual([]);
    expect(await referrers(ABSENT, 'application/x')).toEqual([]);
    const answer = await send('GET', `/v2/${registry().repository}-new/tags/list`);
    expect([answer.status, answer.code]).toEqual([404, 'NAME_UNKNOWN']);
  });

  test.each(DATA_SETS)('%s', async (_, make) => {
    const set = make(registry().client);
    await pushBlobs(set);
    for (const manifest of set.manifests) await push(manifest);
    const tagged = set.manifests.flatMap(({ tag }) => (tag === undefined ? [] : [tag]));
    if (tagged.length > 0) expect(await tags()).toEqual(tagged.toSorted());
    for (const manifest of set.manifests) {
      await expectThere(manifest, manifest.digest);
      if (manifest.tag !== undefined) await expectThere(manifest, manifest.tag);
    }
    await expectReferrers(set);
    await deleteAll(set);
  });

  test.each(Object.keys(DIGEST_ALGORITHMS) as DigestAlgorithm[])(
    'ten tags at once for a manifest of %s',
    async (algorithm) => {
      const set = plainIndex(registry().client, algorithm);
      await pushBlobs(set);
      for (const [at, manifest] of set.manifests.entries()) {
        const names = Array.from({ length: 10 }, (_, count) => `at-once-${at}-${count}`);
        const answer = await put(manifest, manifest.digest, `?${names.map((name) => `tag=${name}`).join('&')}`);
        expect(answer.status).toBe(201);
        expect((answer.headers.get('oci-tag') ?? '').split(/\s*,\s*/).toSorted()).toEqual(names);
        for (const name of names) await expectThere(manifest, name);
      }
      await deleteAll(set);
      expect(await tags()).toEqual([]);
    },
  );

  test('a list of tags has pages, and goes on behind any tag', async () => {
    const set = plainImage(registry().client);
    await pushBlobs(set);
    const names = ['alpha', 'beta', 'delta', 'gamma', 'omega'];
    for (const manifest of set.manifests)
      for (const name of names) expect((await put(manifest, name)).status).toBe(201);
    expect(await tags()).toEqual(names);
    expect(await tags('?n=2')).toEqual(['alpha', 'beta']);
    expect(await tags('?n=2&last=beta')).toEqual(['delta', 'gamma']);
    expect(await tags('?last=carrot')).toEqual(['delta', 'gamma', 'omega']);
    expect(await tags('?n=0')).toEqual([]);
    const seen: string[] = [];
    let next: string | undefined = `/v2/${registry().repository}/tags/list?n=2`;
    while (next !== undefined) {
      const page = await send('GET', next);
      seen.push(...(JSON.parse(page.body.toString()) as { tags: string[] }).tags);
      next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
    }
    expect(seen).toEqual(names);
    // With its manifest, every tag is gone.
    await deleteAll(set);
    expect(await tags()).toEqual([]);
  });

  test('a manifest under the digest of another one is refused', async () => {
    const set = plainImage(registry().client);
    await pushBlobs(set);
    for (const manifest of set.manifests) {
      const altered = { ...manifest, bytes: Buffer.concat([manifest.bytes, Buffer.from('  ')]) };
      expect(await put(altered, manifest.digest)).toMatchObject({ status: 400, code: 'DIGEST_INVALID' });
      expect((await put(manifest, 'sha256:baddigeststring')).status).toBe(400);
      await expectGone(manifest.digest);
    }
  });

  describe('what is not there', () => {
    test.each(['missing-tag', ABSENT])('%s', async (reference) => {
      await expectGone(reference);
      expect((await send('DELETE', pathOf(reference))).status).toBe(404);
    });

    test('a digest that is none', async () => {
      expect([400, 404]).toContain((await send('GET', pathOf('sha256:baddigeststring'))).status);
      expect((await send('GET', `/v2/${registry().repository}/referrers/sha256:baddigeststring`)).status).toBe(400);
    });

    test('a manifest whose layers were never sent', async () => {
      for (const manifest of plainImage(registry().client).manifests) {
        const answer = await put(manifest, 'incomplete');
        expect([400, 404]).toContain(answer.status);
        expect(answer.code).toBe('MANIFEST_BLOB_UNKNOWN');
        await expectGone('incomplete');
      }
    });
  });
}
