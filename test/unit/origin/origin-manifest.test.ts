import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { digestOf, parseDigest } from '../../../src/oci/digest.ts';
import { manifestMediaType } from '../../../src/origin/origin-manifest.ts';
import {
  LATEST,
  makeOrigin,
  MANIFEST_BYTES,
  MANIFEST_DIGEST,
  MANIFEST_HEADERS,
  MANIFEST_TYPE,
  REPOSITORY,
  startServer,
} from './origin-fixture.ts';

const BY_TAG = { kind: 'tag', tag: LATEST } as const;
const BY_DIGEST = { kind: 'digest', digest: MANIFEST_DIGEST } as const;

describe('a tag', () => {
  test('is resolved by HEAD, with every manifest type accepted and no encoding', async () => {
    const upstream = await startServer((_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    const { origin } = makeOrigin(upstream);
    expect(await origin.resolveTag(REPOSITORY, LATEST)).toEqual({
      digest: MANIFEST_DIGEST,
      mediaType: MANIFEST_TYPE,
      sizeBytes: MANIFEST_BYTES.length,
    });
    expect(upstream.seen).toMatchObject([{ method: 'HEAD', url: '/v2/library/thing/manifests/latest' }]);
    expect(upstream.seen[0]?.headers['accept']).toContain('application/vnd.oci.image.index.v1+json');
    expect(upstream.seen[0]?.headers['accept-encoding']).toBe('identity');
  });

  test('that is not there is absent, not an error', async () => {
    const upstream = await startServer((_request, response) => response.writeHead(404).end());
    const { origin, metric } = makeOrigin(upstream);
    expect(await origin.resolveTag(REPOSITORY, LATEST)).toBeUndefined();
    expect(await metric('dockyard_origin_requests_total', { kind: 'tag', outcome: 'absent' })).toBe(1);
  });

  test.each([
    ['is not allowed', 405, {}],
    ['has no digest', 200, { 'content-type': MANIFEST_TYPE, 'content-length': '9' }],
    ['has a digest of an unknown kind', 200, { ...MANIFEST_HEADERS, 'docker-content-digest': 'md5:abc' }],
    ['has no type of a manifest', 200, { ...MANIFEST_HEADERS, 'content-type': 'text/html' }],
  ])('is resolved by GET when HEAD %s', async (_what, status, headers) => {
    const upstream = await startServer((request, response) => {
      if (request.method === 'HEAD') response.writeHead(status, headers).end();
      else response.writeHead(200, { 'content-type': MANIFEST_TYPE }).end(MANIFEST_BYTES);
    });
    const resolved = await makeOrigin(upstream).origin.resolveTag(REPOSITORY, LATEST);
    expect(resolved).toMatchObject({
      digest: MANIFEST_DIGEST,
      mediaType: MANIFEST_TYPE,
      sizeBytes: MANIFEST_BYTES.length,
    });
    expect(resolved?.bytes?.equals(MANIFEST_BYTES)).toBe(true);
  });
});

describe('a manifest', () => {
  test('comes with the exact bytes, under the path and name prefix of the upstream', async () => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(200, MANIFEST_HEADERS).end(MANIFEST_BYTES),
    );
    const { origin, metric } = makeOrigin({ url: `${upstream.url}/base/`, repositoryPrefix: 'proxy/hub' });
    const manifest = await origin.fetchManifest(REPOSITORY, BY_DIGEST);
    expect(manifest?.bytes.equals(MANIFEST_BYTES)).toBe(true);
    expect(upstream.seen[0]?.url).toBe(`/base/v2/proxy/hub/library/thing/manifests/${MANIFEST_DIGEST}`);
    expect(await metric('dockyard_origin_bytes_total')).toBe(MANIFEST_BYTES.length);
  });

  test('asked for by sha512 is checked by sha512', async () => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(200, { 'content-type': MANIFEST_TYPE }).end(MANIFEST_BYTES),
    );
    const digest = digestOf(MANIFEST_BYTES, 'sha512');
    const manifest = await makeOrigin(upstream).origin.fetchManifest(REPOSITORY, { kind: 'digest', digest });
    expect(manifest?.digest).toBe(digest);
  });

  test.each([
    ['a wrong digest', 200, MANIFEST_HEADERS, Buffer.alloc(MANIFEST_BYTES.length, 32)],
    ['gzip', 200, { 'content-type': MANIFEST_TYPE, 'content-encoding': 'gzip' }, gzipSync(MANIFEST_BYTES)],
    [
      'more than 4 MiB, announced',
      200,
      { 'content-type': MANIFEST_TYPE, 'content-length': String(5 << 20) },
      Buffer.alloc(5 << 20, 32),
    ],
    ['more than 4 MiB, not announced', 200, { 'content-type': MANIFEST_TYPE }, Buffer.alloc(5 << 20, 32)],
    ['a teapot', 418, {}, Buffer.alloc(0)],
  ])('answered with %s is refused', async (_what, status, headers, body) => {
    const upstream = await startServer((_request, response) => response.writeHead(status, headers).end(body));
    const fetching = makeOrigin(upstream).origin.fetchManifest(REPOSITORY, BY_DIGEST);
    await expect(fetching).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
    expect(upstream.seen).toHaveLength(1);
  });

  test.each([
    ['HTML', 'text/html', '<html>please log in</html>'],
    ['HTML that calls itself a manifest', MANIFEST_TYPE, '<html>please log in</html>'],
    ['JSON that is no manifest', 'application/json', '{"hello":"world"}'],
    ['a list', 'application/json', '[1]'],
    ['nothing', 'application/json', ''],
  ])('asked for by tag and answered 200 with %s is refused', async (_what, type, body) => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(200, { 'content-type': type }).end(body),
    );
    const fetching = makeOrigin(upstream).origin.fetchManifest(REPOSITORY, BY_TAG);
    await expect(fetching).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
  });

  test('asked for by tag must have the digest that its header tells', async () => {
    const headers = { ...MANIFEST_HEADERS, 'docker-content-digest': digestOf(Buffer.from('other')) };
    const upstream = await startServer((_request, response) => response.writeHead(200, headers).end(MANIFEST_BYTES));
    await expect(makeOrigin(upstream).origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({
      code: 'ERR_ORIGIN_BAD_ANSWER',
    });
  });

  test('that is cut off is asked for again', async () => {
    const upstream = await startServer((_request, response) => {
      response.writeHead(200, MANIFEST_HEADERS);
      if (upstream.seen.length > 1) response.end(MANIFEST_BYTES);
      else response.write(MANIFEST_BYTES.subarray(0, 10), () => response.destroy());
    });
    const { origin, metric } = makeOrigin(upstream);
    expect((await origin.fetchManifest(REPOSITORY, BY_DIGEST))?.digest).toBe(MANIFEST_DIGEST);
    expect(await metric('dockyard_origin_retries_total', { kind: 'manifest' })).toBe(1);
  });

  test('of an unknown upstream is an error with its code', async () => {
    const { origin } = makeOrigin({ url: 'http://127.0.0.1:9' });
    await expect(origin.fetchManifest({ ...REPOSITORY, upstream: 'other.test' }, BY_TAG)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_UNKNOWN',
    });
  });

  test('that nobody waits for any more is given up with the reason of the signal', async () => {
    const upstream = await startServer(() => leaver.abort(reason));
    const leaver = new AbortController();
    const reason = new Error('the client has gone');
    const { origin, metric } = makeOrigin(upstream);
    await expect(origin.fetchManifest(REPOSITORY, BY_DIGEST, { signal: leaver.signal })).rejects.toBe(reason);
    expect(await metric('dockyard_origin_retries_total')).toBe(0);
  });
});

describe('the media type of a manifest', () => {
  test.each([
    ['{"schemaVersion":2,"layers":[]}', 'Application/Vnd.Oci.Image.Manifest.V1+json; charset=utf-8', MANIFEST_TYPE],
    ['{"schemaVersion":2,"layers":[]}', 'application/json', MANIFEST_TYPE],
    ['{"schemaVersion":2,"manifests":[]}', undefined, 'application/vnd.oci.image.index.v1+json'],
    ['{"schemaVersion":2,"mediaType":"application/vnd.x+json"}', 'text/plain', 'application/vnd.x+json'],
    ['{"schemaVersion":1}', '', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['{}', MANIFEST_TYPE, undefined],
    ['nonsense', MANIFEST_TYPE, undefined],
  ])('of %s told as %j is %j', (text, told, expected) => {
    expect(manifestMediaType(Buffer.from(text), told)).toBe(expected);
  });
});

test('a list is passed on with the query of its next page, and without a link', async () => {
  const upstream = await startServer((_request, response) => {
    const link = '</v2/library/thing/tags/list?last=v1&n=1>; rel="next"';
    response
      .writeHead(200, { 'content-type': 'application/json', link, 'oci-filters-applied': 'artifactType', 'x-own': '1' })
      .end('{}');
  });
  const page = await makeOrigin(upstream).origin.passthrough(
    REPOSITORY,
    { kind: 'tags' },
    'n=1&ns=docker.io&last=a%20b',
  );
  expect(upstream.seen[0]?.url).toBe('/v2/library/thing/tags/list?n=1&last=a+b');
  expect(page).toMatchObject({
    status: 200,
    nextSearch: 'last=v1&n=1',
    headers: { 'oci-filters-applied': 'artifactType' },
  });
  expect(Object.keys(page?.headers ?? {})).toEqual(['oci-filters-applied']);
});

test('a list beyond 8 MiB is refused, and one that is not there is absent', async () => {
  const upstream = await startServer((request, response) => {
    if (request.url?.includes('/referrers/') === true) response.writeHead(404).end();
    else response.writeHead(200).end(Buffer.alloc(9 << 20, 32));
  });
  const { origin } = makeOrigin(upstream);
  await expect(origin.passthrough(REPOSITORY, { kind: 'tags' }, '')).rejects.toMatchObject({
    code: 'ERR_ORIGIN_BAD_ANSWER',
  });
  const digest = parseDigest(`sha256:${'0'.repeat(64)}`);
  expect(await origin.passthrough(REPOSITORY, { kind: 'referrers', digest }, '')).toBeUndefined();
});
