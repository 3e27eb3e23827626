/** What an operator forbids, and whose repository a name means. */
import { describe, expect, test } from 'vitest';
import { DockyardError } from '../../../src/oci/error.ts';
import { patternOf } from '../../../src/seed/tag-pattern.ts';
import { VouchedBlobs } from '../../../src/seed/vouched-blobs.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { makeManifest, openTestSeed, outcomeOf, pushBlob, pushManifest, putManifest } from './seed-fixture.ts';

describe('patterns', () => {
  test.each([
    ['team/*', 'team/app', true],
    ['team/*', 'team/deep/app', false],
    ['team/**', 'team/deep/app', true],
    ['**', 'anything/at/all', true],
    ['v1.*', 'v1.2', true],
    ['v1.*', 'v1x2', false],
    ['team/app', 'team/app2', false],
    ['(a+)+', 'aaaa', false],
  ])('%s and %s: %s', (pattern, text, isMatch) => {
    expect(patternOf(pattern).test(text)).toBe(isMatch);
  });
});

describe('a seed that forbids deletion', () => {
  test('refuses it on every route, and deletes nothing', async () => {
    await using seed = await openTestSeed({ policy: { allowDelete: false } });
    const manifest = makeManifest('kept');
    await pushManifest(seed, 'team/app', 'v1', manifest);
    const paths = [
      '/v2/team/app/manifests/v1',
      `/v2/team/app/manifests/${manifest.digest}`,
      `/v2/team/app/blobs/${digestOf(manifest.blobs[0] ?? Buffer.alloc(0))}`,
    ];
    for (const path of paths) {
      expect(outcomeOf(await seed.send('DELETE', path)), path).toEqual([405, 'UNSUPPORTED']);
      expect((await seed.send('GET', path)).status, path).toBe(200);
    }
    // What is not there is refused alike, so that nothing is learnt from the answer.
    expect((await seed.send('DELETE', '/v2/team/app/manifests/nothing')).status).toBe(405);
    // An upload is no content yet.
    const { headers } = await seed.send('POST', '/v2/team/app/blobs/uploads/');
    expect((await seed.send('DELETE', headers.location ?? '')).status).toBe(204);
  });
});

describe('immutable tags', () => {
  test('are set once, and neither moved nor deleted; others move', async () => {
    await using seed = await openTestSeed({ policy: { immutableTags: ['team/**:v*', 'release'] } });
    const [first, second] = [makeManifest('first'), makeManifest('second')];
    await pushManifest(seed, 'team/app', 'v1', first);
    await pushManifest(seed, 'team/app', 'v1', first);
    await pushManifest(seed, 'team/app', 'latest', first);
    await pushManifest(seed, 'team/app', 'latest', second);
    await pushManifest(seed, 'other/app', 'v1', first);
    await pushManifest(seed, 'other/app', 'v1', second);
    await pushManifest(seed, 'other/app', 'release', first);
    for (const [name, reference] of [
      ['team/app', 'v1'],
      ['team/app', `${second.digest}?tag=v1`],
      ['other/app', `${second.digest}?tag=fresh&tag=release`],
    ] as const) {
      const answer = await putManifest(seed, `/v2/${name}/manifests/${reference}`, second.bytes);
      expect(outcomeOf(answer), reference).toEqual([403, 'DENIED']);
    }
    expect((await seed.send('GET', '/v2/other/app/manifests/fresh')).status).toBe(404);
    expect(outcomeOf(await seed.send('DELETE', '/v2/team/app/manifests/v1'))).toEqual([403, 'DENIED']);
    const { headers } = await seed.send('HEAD', '/v2/team/app/manifests/v1');
    expect(headers['docker-content-digest']).toBe(first.digest);
  });
});

describe('names', () => {
  test('a push is confined to the names that are allowed, on every route', async () => {
    await using seed = await openTestSeed({ policy: { names: ['team/**'] } });
    const manifest = makeManifest('confined');
    const digest = await pushBlob(seed, 'team/deep/app', Buffer.from('x'));
    for (const [method, path] of [
      ['POST', '/v2/library/alpine/blobs/uploads/'],
      ['POST', `/v2/library/alpine/blobs/uploads/?digest=${digest}`],
      ['POST', `/v2/library/alpine/blobs/uploads/?mount=${digest}&from=team/deep/app`],
      ['PUT', '/v2/library/alpine/manifests/latest'],
    ] as const) {
      expect(outcomeOf(await seed.send(method, path, { body: manifest.bytes })), path).toEqual([403, 'DENIED']);
    }
    expect(seed.medium.uploads.size).toBe(0);
  });

  test("names that are the seed's alone are never asked of an upstream, pushed or not", async () => {
    await using seed = await openTestSeed({ policy: { names: ['team/**'] } });
    seed.upstream.manifests.failure = new Error('the upstream was asked');
    expect((await seed.send('GET', '/v2/team/app/manifests/latest')).status).toBe(404);
    expect((await seed.send('GET', `/v2/team/app/blobs/${digestOf(Buffer.from('x'))}`)).status).toBe(404);
    expect((await seed.send('GET', `/v2/team/app/referrers/${digestOf(Buffer.from('x'))}`)).status).toBe(200);
    expect(seed.upstream.manifests.asked).toEqual([]);
  });

  test('what was pushed wins over the upstream; other names go there as before', async () => {
    await using seed = await openTestSeed();
    const [mine, theirs] = [makeManifest('mine'), makeManifest('theirs')];
    const served = { digest: theirs.digest, mediaType: 'a/b', bytes: theirs.bytes };
    seed.upstream.manifests.served.set('docker.io/team/app latest', served);
    seed.upstream.manifests.served.set('docker.io/team/other latest', served);
    await pushManifest(seed, 'team/app', 'latest', mine);
    const digestAt = async (path: string): Promise<unknown> =>
      (await seed.send('HEAD', path)).headers['docker-content-digest'];
    expect(await digestAt('/v2/team/app/manifests/latest')).toBe(mine.digest);
    expect(await digestAt('/v2/team/other/manifests/latest')).toBe(theirs.digest);
    expect(await digestAt('/v2/docker.io/team/app/manifests/latest')).toBe(theirs.digest);
    expect(await digestAt('/v2/team/app/manifests/latest?ns=docker.io')).toBe(theirs.digest);
  });

  test('a name with a host cannot be pushed', async () => {
    await using seed = await openTestSeed();
    for (const path of ['/v2/ghcr.io/a/b/blobs/uploads/', '/v2/team/app/blobs/uploads/?ns=docker.io']) {
      const answer = await seed.send('POST', path);
      expect(outcomeOf(answer), path).toEqual([405, 'UNSUPPORTED']);
    }
  });

  test('before its first push, a name is not there, whatever the upstream says and without asking it for blobs', async () => {
    await using seed = await openTestSeed();
    for (const code of ['ERR_ORIGIN_UNAVAILABLE', 'ERR_ORIGIN_DENIED']) {
      const failure = new DockyardError(code, 'the upstream fails');
      seed.upstream.manifests.failure = failure;
      seed.upstream.blobs.failure = failure;
      expect((await seed.send('HEAD', '/v2/team/new/manifests/v1')).status).toBe(404);
      expect((await seed.send('HEAD', `/v2/team/new/blobs/${digestOf(Buffer.from('x'))}`)).status).toBe(404);
      expect((await seed.send('GET', '/v2/docker.io/team/new/manifests/v1')).status).not.toBe(404);
    }
    expect(seed.upstream.blobs.contexts).toEqual([]);
  });
});

describe('repositories of upstreams on a seed', () => {
  test('get a blob of record when the upstream has it too, and not otherwise', async () => {
    const digest = digestOf(Buffer.from('private'));
    const asked: string[] = [];
    const vouched = new VouchedBlobs({
      blobs: {
        open: async () => await Promise.reject(new Error('not to be opened here')),
        stat: async () => await Promise.resolve({ sizeBytes: 7 }),
      },
      isOfRecord: () => true,
      origin: {
        statBlob: async ({ name }) => {
          asked.push(name);
          return await Promise.resolve(name === 'library/has' ? { sizeBytes: 7 } : undefined);
        },
      },
    });
    const context = (name: string): Parameters<typeof vouched.stat>[1] => ({
      repository: { upstream: 'docker.io', name: parseRepositoryName(name) },
      signal: new AbortController().signal,
    });
    expect(await vouched.stat(digest, context('library/lacks'))).toBeUndefined();
    expect(await vouched.open(digest, context('library/lacks'))).toBeUndefined();
    expect(await vouched.stat(digest, context('library/has'))).toEqual({ sizeBytes: 7 });
    expect(await vouched.stat(digest, context('library/has'))).toEqual({ sizeBytes: 7 });
    expect(asked).toEqual(['library/lacks', 'library/lacks', 'library/has']);
  });
});

describe('events', () => {
  test('tell of pushes, mounts, pulls and deletions, after they happened', async () => {
    await using seed = await openTestSeed();
    const manifest = makeManifest('told');
    await pushManifest(seed, 'team/app', 'v1', manifest);
    const layer = digestOf(manifest.blobs[1] ?? Buffer.alloc(0));
    await seed.send('POST', `/v2/team/copy/blobs/uploads/?mount=${layer}&from=team/app`);
    await seed.send('GET', '/v2/team/app/manifests/v1', { headers: { 'User-Agent': 'client/1' } });
    await seed.send('HEAD', '/v2/team/app/manifests/v1');
    await seed.send('GET', `/v2/team/app/blobs/${layer}`);
    await seed.send('DELETE', '/v2/team/app/manifests/v1');
    await seed.send('DELETE', `/v2/team/app/manifests/${manifest.digest}`);
    await seed.send('DELETE', `/v2/team/copy/blobs/${layer}`);
    await seed.send('GET', '/v2/team/app/manifests/v1');
    const told = seed.events.map(({ action, repository, tag, digest }) => [action, repository, tag ?? digest]);
    expect(told).toEqual([
      ['push', 'team/app', digestOf(manifest.blobs[0] ?? Buffer.alloc(0))],
      ['push', 'team/app', layer],
      ['push', 'team/app', 'v1'],
      ['mount', 'team/copy', layer],
      ['pull', 'team/app', 'v1'],
      ['pull', 'team/app', layer],
      ['delete', 'team/app', 'v1'],
      ['delete', 'team/app', manifest.digest],
      ['delete', 'team/copy', layer],
    ]);
    expect(seed.events[3]).toMatchObject({ fromRepository: 'team/app', sizeBytes: manifest.blobs[1]?.length });
    expect(seed.events[4]?.request).toMatchObject({ method: 'GET', userAgent: 'client/1', clientAddress: '127.0.0.1' });
  });

  test('a listener that fails changes nothing for the client', async () => {
    const onEvent = async (): Promise<void> => await Promise.reject(new Error('the queue is full'));
    await using seed = await openTestSeed({ listener: { onEvent } });
    const manifest = makeManifest('untold');
    await pushManifest(seed, 'team/app', 'v1', manifest);
    expect((await seed.send('GET', '/v2/team/app/manifests/v1')).status).toBe(200);
  });
});
