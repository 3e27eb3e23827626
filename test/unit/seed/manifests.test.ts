/** Manifests, tags, lists and referrers of a seed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import {
  makeManifest,
  openTestSeed,
  outcomeOf,
  pushBlob,
  pushManifest,
  putManifest,
  type Answer,
  type TestSeed,
} from './seed-fixture.ts';

let seed: TestSeed;
beforeAll(async () => {
  seed = await openTestSeed();
});
afterAll(async () => await seed[Symbol.asyncDispose]());

const jsonOf = ({ body }: Answer): unknown => JSON.parse(body.toString());

async function tagsOf(name: string, query = ''): Promise<[string[], unknown]> {
  const answer = await seed.send('GET', `/v2/${name}/tags/list${query}`);
  expect(answer.status).toBe(200);
  return [(jsonOf(answer) as { tags: string[] }).tags, answer.headers.link];
}

describe('manifests', () => {
  test('a manifest comes back to the byte, by tag and by digest, by GET and by HEAD', async () => {
    const manifest = makeManifest('exact', { 'x-unknown': { kept: [1.5, null] } });
    const pushed = await pushManifest(seed, 'm/exact', 'v1', manifest);
    expect(pushed.headers.location).toBe(`/v2/m/exact/manifests/${manifest.digest}`);
    expect(pushed.headers['docker-content-digest']).toBe(manifest.digest);
    for (const reference of ['v1', manifest.digest]) {
      for (const method of ['GET', 'HEAD']) {
        const { status, headers, body } = await seed.send(method, `/v2/m/exact/manifests/${reference}`);
        expect(status).toBe(200);
        expect(headers).toMatchObject({
          'content-type': MEDIA_TYPES.ociManifest,
          'content-length': String(manifest.bytes.length),
          'docker-content-digest': manifest.digest,
        });
        expect(body.equals(method === 'GET' ? manifest.bytes : Buffer.alloc(0))).toBe(true);
      }
    }
  });

  test('parameters of the media type are passed over', async () => {
    const manifest = makeManifest('parameters');
    for (const blob of manifest.blobs) await pushBlob(seed, 'm/parameters', blob);
    const path = '/v2/m/parameters/manifests/v1';
    expect((await putManifest(seed, path, manifest.bytes, `${MEDIA_TYPES.ociManifest}; charset=utf-8`)).status).toBe(
      201,
    );
    expect((await seed.send('GET', path)).headers['content-type']).toBe(MEDIA_TYPES.ociManifest);
  });

  test('a manifest without a Content-Type is what it calls itself', async () => {
    const manifest = makeManifest('untyped');
    for (const blob of manifest.blobs) await pushBlob(seed, 'm/untyped', blob);
    const answer = await seed.send('PUT', '/v2/m/untyped/manifests/v1', { body: manifest.bytes });
    expect(answer.status).toBe(201);
  });

  test('a manifest is pushed under its sha512 digest', async () => {
    const manifest = makeManifest('sha512');
    const digest = digestOf(manifest.bytes, 'sha512');
    const { headers } = await pushManifest(seed, 'm/sha512', digest, manifest);
    expect(headers['docker-content-digest']).toBe(digest);
    expect((await seed.send('GET', `/v2/m/sha512/manifests/${digest}`)).status).toBe(200);
    expect((await seed.send('GET', `/v2/m/sha512/manifests/${manifest.digest}`)).status).toBe(404);
  });

  test('a manifest is pushed by digest with tags, and the answer names them', async () => {
    const manifest = makeManifest('tags');
    const tags = Array.from({ length: 12 }, (_, index) => `t${index}`);
    const query = tags.map((tag) => `tag=${tag}`).join('&');
    const answer = await pushManifest(seed, 'm/tags', `${manifest.digest}?${query}`, manifest);
    expect(String(answer.headers['oci-tag']).split(', ').toSorted()).toEqual(tags.toSorted());
    expect((await tagsOf('m/tags'))[0]).toEqual(tags.toSorted());
  });

  test('a manifest is invisible until all that it needs is there', async () => {
    const manifest = makeManifest('needs');
    const path = '/v2/m/needs/manifests/v1';
    expect(outcomeOf(await putManifest(seed, path, manifest.bytes))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN']);
    await pushBlob(seed, 'm/needs', manifest.blobs[0] ?? Buffer.alloc(0));
    await pushBlob(seed, 'm/elsewhere', manifest.blobs[1] ?? Buffer.alloc(0));
    expect(outcomeOf(await putManifest(seed, path, manifest.bytes))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN']);
    expect((await seed.send('GET', path)).status).toBe(404);
    expect((await seed.send('GET', `/v2/m/needs/manifests/${manifest.digest}`)).status).toBe(404);
    await pushBlob(seed, 'm/needs', manifest.blobs[1] ?? Buffer.alloc(0));
    expect((await putManifest(seed, path, manifest.bytes)).status).toBe(201);
  });

  test('an index needs its manifests in the same repository', async () => {
    const manifest = makeManifest('child');
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociIndex,
        manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest: manifest.digest, size: manifest.bytes.length }],
      }),
    );
    const path = '/v2/m/index/manifests/all';
    await pushManifest(seed, 'm/other', 'v1', manifest);
    expect(outcomeOf(await putManifest(seed, path, index, MEDIA_TYPES.ociIndex))).toEqual([
      404,
      'MANIFEST_BLOB_UNKNOWN',
    ]);
    await pushManifest(seed, 'm/index', 'v1', manifest);
    expect((await putManifest(seed, path, index, MEDIA_TYPES.ociIndex)).status).toBe(201);
  });

  test('layers that are not distributed need not be there', async () => {
    const layer = {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      digest: digestOf(Buffer.from('foreign')),
      size: 99,
      urls: ['https://example.com/layer'],
    };
    const manifest = makeManifest('foreign', { layers: [layer] });
    expect((await pushManifest(seed, 'm/foreign', 'v1', manifest)).status).toBe(201);
  });

  test('deleting a tag leaves the manifest; deleting the manifest takes its tags', async () => {
    const manifest = makeManifest('delete');
    await pushManifest(seed, 'm/delete', 'a', manifest);
    await pushManifest(seed, 'm/delete', 'b', manifest);
    expect((await seed.send('DELETE', '/v2/m/delete/manifests/a')).status).toBe(202);
    expect((await tagsOf('m/delete'))[0]).toEqual(['b']);
    expect((await seed.send('GET', `/v2/m/delete/manifests/${manifest.digest}`)).status).toBe(200);
    expect((await seed.send('DELETE', `/v2/m/delete/manifests/${manifest.digest}`)).status).toBe(202);
    expect((await tagsOf('m/delete'))[0]).toEqual([]);
    for (const reference of ['a', 'b', manifest.digest]) {
      const path = `/v2/m/delete/manifests/${reference}`;
      expect(outcomeOf(await seed.send('GET', path))).toEqual([404, 'MANIFEST_UNKNOWN']);
      expect(outcomeOf(await seed.send('DELETE', path))).toEqual([404, 'MANIFEST_UNKNOWN']);
    }
  });
});

describe('lists', () => {
  test('tags come in pages, each with the way to the next', async () => {
    const manifest = makeManifest('paged');
    const tags = ['a', 'b', 'c', 'd', 'e'];
    const query = tags.map((tag) => `tag=${tag}`).join('&');
    await pushManifest(seed, 'l/paged', `${manifest.digest}?${query}`, manifest);
    expect(await tagsOf('l/paged')).toEqual([tags, undefined]);
    expect(await tagsOf('l/paged', '?n=2')).toEqual([['a', 'b'], '</v2/l/paged/tags/list?n=2&last=b>; rel="next"']);
    expect(await tagsOf('l/paged', '?n=2&last=b')).toEqual([['c', 'd'], expect.stringContaining('last=d')]);
    expect(await tagsOf('l/paged', '?n=2&last=d')).toEqual([['e'], undefined]);
    expect(await tagsOf('l/paged', '?n=5')).toEqual([tags, undefined]);
    expect(await tagsOf('l/paged', '?last=bb')).toEqual([['c', 'd', 'e'], undefined]);
    expect(await tagsOf('l/paged', '?n=0')).toEqual([[], undefined]);
    expect(await tagsOf('l/paged', '?n=1000000000')).toEqual([tags, undefined]);
  });

  test('repositories are listed in pages', async () => {
    await using other = await openTestSeed();
    for (const name of ['z/last', 'a/first', 'm']) await pushBlob(other, name, Buffer.from(name));
    const first = await other.send('GET', '/v2/_catalog?n=2');
    expect(jsonOf(first)).toEqual({ repositories: ['a/first', 'm'] });
    expect(first.headers.link).toBe('</v2/_catalog?n=2&last=m>; rel="next"');
    expect(jsonOf(await other.send('GET', '/v2/_catalog?n=2&last=m'))).toEqual({ repositories: ['z/last'] });
  });

  test('nothing but a whole number counts', async () => {
    await pushBlob(seed, 'l/count', Buffer.from('x'));
    for (const path of ['/v2/_catalog', '/v2/l/count/tags/list']) {
      for (const n of ['-1', 'NaN', '', '1.5', '1e9', '0x10', '9'.repeat(30), '1&n=2']) {
        expect(outcomeOf(await seed.send('GET', `${path}?n=${n}`))).toEqual([400, 'PAGINATION_NUMBER_INVALID']);
      }
      for (const last of ['%22', '%0d%0aX-Injected:%201', '%00', '%f0%9f%92%a5', 'no/such']) {
        const answer = await seed.send('GET', `${path}?n=1&last=${last}`);
        expect([answer.status, answer.headers['x-injected']]).toEqual([200, undefined]);
      }
    }
  });
});

describe('referrers', () => {
  const refer = (subject: string, size: number, kind: string, note: string): ReturnType<typeof makeManifest> =>
    makeManifest(`${kind} ${note}`, {
      artifactType: kind,
      subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size },
      annotations: { note },
    });

  async function referrersOf(name: string, digest: string, query = ''): Promise<[Record<string, unknown>[], Answer]> {
    const answer = await seed.send('GET', `/v2/${name}/referrers/${digest}${query}`);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, MEDIA_TYPES.ociIndex]);
    return [(jsonOf(answer) as { manifests: Record<string, unknown>[] }).manifests, answer];
  }

  test('what refers to a manifest is found, before it is there and after, with a filter and without', async () => {
    const subject = makeManifest('subject');
    const [signature, sbom] = ['sig', 'sbom'].map((kind) =>
      refer(subject.digest, subject.bytes.length, `application/${kind}`, kind),
    );
    if (signature === undefined || sbom === undefined) throw new TypeError('there are two');
    const pushed = await pushManifest(seed, 'r/app', signature.digest, signature);
    expect(pushed.headers['oci-subject']).toBe(subject.digest);
    await pushManifest(seed, 'r/app', sbom.digest, sbom);
    const [before] = await referrersOf('r/app', subject.digest);
    expect(before).toHaveLength(2);
    await pushManifest(seed, 'r/app', 'v1', subject);
    const [filtered, answer] = await referrersOf('r/app', subject.digest, '?artifactType=application/sig');
    expect(answer.headers['oci-filters-applied']).toBe('artifactType');
    expect(filtered).toEqual([
      {
        mediaType: MEDIA_TYPES.ociManifest,
        digest: signature.digest,
        size: signature.bytes.length,
        artifactType: 'application/sig',
        annotations: { note: 'sig' },
      },
    ]);
    const [none] = await referrersOf('r/app', digestOf(Buffer.from('nothing')));
    expect(none).toEqual([]);
    await seed.send('DELETE', `/v2/r/app/manifests/${sbom.digest}`);
    expect((await referrersOf('r/app', subject.digest))[0]).toHaveLength(1);
  });

  test('without an artifact type, that of the config stands for it', async () => {
    const subject = makeManifest('plain subject');
    const plain = makeManifest('plain', {
      subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject.digest, size: subject.bytes.length },
    });
    await pushManifest(seed, 'r/plain', plain.digest, plain);
    expect((await referrersOf('r/plain', subject.digest))[0]).toMatchObject([{ artifactType: MEDIA_TYPES.ociConfig }]);
  });

  test('what old clients list under the fallback tag is found too, once', async () => {
    const subject = makeManifest('fallback subject');
    const [old, known] = [
      makeManifest('old signature'),
      refer(subject.digest, subject.bytes.length, 'application/sig', 'known'),
    ];
    await pushManifest(seed, 'r/fallback', old.digest, old);
    await pushManifest(seed, 'r/fallback', known.digest, known);
    const listed = [old, known].map(({ digest, bytes }) => ({
      mediaType: MEDIA_TYPES.ociManifest,
      digest,
      size: bytes.length,
      artifactType: 'application/sig',
    }));
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: listed }));
    const tag = subject.digest.replace(':', '-');
    expect((await putManifest(seed, `/v2/r/fallback/manifests/${tag}`, index, MEDIA_TYPES.ociIndex)).status).toBe(201);
    const [found] = await referrersOf('r/fallback', subject.digest, '?artifactType=application/sig');
    expect(found).toHaveLength(2);
    expect(new Set(found.map(({ digest }) => digest))).toEqual(new Set([old.digest, known.digest]));
  });

  test('thousands of referrers come in pages that together are all of them', async () => {
    const subject = makeManifest('popular');
    const config = Buffer.from('{}');
    await pushBlob(seed, 'r/many', config);
    const digests = new Set<string>();
    for (let index = 0; index < 1100; index += 1) {
      const { digest, bytes } = makeManifest('x', {
        config: { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(config), size: config.length },
        layers: [],
        subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject.digest, size: 1 },
        annotations: { index: String(index) },
      });
      digests.add(digest);
      await putManifest(seed, `/v2/r/many/manifests/${digest}`, bytes);
    }
    const found: unknown[] = [];
    let query = '';
    let pages = 0;
    do {
      const [manifests, answer] = await referrersOf('r/many', subject.digest, query);
      found.push(...manifests.map(({ digest }) => digest));
      query = /<[^?]*(\?[^>]*)>; rel="next"/.exec(String(answer.headers.link))?.[1] ?? '';
      pages += 1;
    } while (query !== '');
    expect(pages).toBe(2);
    expect(found).toHaveLength(1100);
    expect(new Set(found)).toEqual(digests);
  });
});
