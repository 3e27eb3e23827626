import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askRaw, errorCode, openTestFacade, type TestFacade } from './facade-fixture.ts';

const HEX = 'a'.repeat(64);
const DIGEST = `sha256:${HEX}`;

let node: TestFacade;

beforeAll(async () => {
  node = await openTestFacade();
});

afterAll(async () => {
  await node[Symbol.asyncDispose]();
});

describe('bad paths, sent as they are', () => {
  test.each([
    ['/v2/../../etc/passwd', 404, 'UNSUPPORTED'],
    ['/v2/../manifests/x', 400, 'NAME_INVALID'],
    ['/v2/a/../b/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/./a/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/%2e%2e%2fetc/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/%252e%252e/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/a%00b/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/a%2fb/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/a\\..\\b/manifests/x', 400, 'NAME_INVALID'],
    ['/v2//manifests/x', 400, 'NAME_INVALID'],
    ['/v2/a//b/manifests/x', 400, 'NAME_INVALID'],
    ['/v2//etc/passwd/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/A/manifests/x', 400, 'NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/manifests/x`, 400, 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(5000)}a/manifests/x`, 400, 'NAME_INVALID'],
    ['/v2/_catalog', 404, 'UNSUPPORTED'],
    ['/v2/_catalog/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/a/manifests/x/', 404, 'UNSUPPORTED'],
    ['/v2/a/manifests/', 404, 'UNSUPPORTED'],
    ['/v2/manifests/x', 400, 'NAME_INVALID'],
    ['/v2/blobs/uploads/tags/manifests/x', 404, 'MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/.INVALID_MANIFEST_NAME', 404, 'MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/-x', 404, 'MANIFEST_UNKNOWN'],
    [`/v2/a/manifests/${'x'.repeat(129)}`, 404, 'MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/..', 404, 'MANIFEST_UNKNOWN'],
    ['/', 404, 'UNSUPPORTED'],
    ['/v1/_ping', 404, 'UNSUPPORTED'],
    ['http://169.254.169.254/v2/a/manifests/x', 400, 'NAME_INVALID'],
  ])('GET %s', async (target, status, code) => {
    const answer = await askRaw(node.port, target);
    expect([answer.status, errorCode(answer.body)]).toEqual([status, code]);
    expect(answer.headers['content-type']).toBe('application/json');
  });

  test('a NUL or another control character in a path is no HTTP', async () => {
    for (const target of ['/v2/a\0b/manifests/x', '/v2/a\x01/manifests/x']) {
      const answer = await askRaw(node.port, target);
      expect([answer.status, errorCode(answer.body)]).toEqual([400, 'UNSUPPORTED']);
    }
  });
});

describe('bad digests', () => {
  test.each([
    `md5:${'a'.repeat(32)}`,
    `blake3:${HEX}`,
    `sha256:${HEX.toUpperCase()}`,
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX}a`,
    'sha256:',
    'sha256:baddigeststring',
    `sha512:${HEX}`,
    HEX,
    `${DIGEST}:${HEX}`,
  ])('a blob named %s', async (digest) => {
    const answer = await askRaw(node.port, `/v2/a/blobs/${digest}`);
    expect([answer.status, errorCode(answer.body)]).toEqual([400, 'DIGEST_INVALID']);
  });

  test('a manifest or referrers of a bad digest', async () => {
    for (const path of ['manifests', 'referrers']) {
      const answer = await askRaw(node.port, `/v2/a/${path}/sha256:baddigeststring`);
      expect([answer.status, errorCode(answer.body)]).toEqual([400, 'DIGEST_INVALID']);
    }
  });

  test('a digest whose colon is encoded is the same digest', async () => {
    const digest = node.blobs.add(Buffer.from('content'));
    expect((await askRaw(node.port, `/v2/a/blobs/${digest.replace(':', '%3A')}`)).body.toString()).toBe('content');
  });
});

describe('upstreams that are none', () => {
  test.each([
    ['ns=169.254.169.254', 404, 'NAME_UNKNOWN'],
    ['ns=localhost', 404, 'NAME_UNKNOWN'],
    ['ns=127.0.0.1%3A5001', 404, 'NAME_UNKNOWN'],
    ['ns=%5B%3A%3A1%5D', 404, 'NAME_UNKNOWN'],
    ['ns=2130706433', 404, 'NAME_UNKNOWN'],
    ['ns=ghcr.io:22', 404, 'NAME_UNKNOWN'],
    ['ns=user@ghcr.io', 400, 'NAME_INVALID'],
    ['ns=ghcr.io%2523', 400, 'NAME_INVALID'],
    ['ns=ghcr.io/..', 400, 'NAME_INVALID'],
    ['ns=http%3A%2F%2Fghcr.io', 400, 'NAME_INVALID'],
    ['ns=ghcr.io%0d%0aX-Evil%3A1', 400, 'NAME_INVALID'],
    ['ns=', 400, 'NAME_INVALID'],
    ['ns', 400, 'NAME_INVALID'],
    ['ns=ghcr.io&ns=docker.io', 400, 'NAME_INVALID'],
  ])('?%s', async (query, status, code) => {
    const answer = await askRaw(node.port, `/v2/a/blobs/${DIGEST}?${query}`);
    expect([answer.status, errorCode(answer.body)]).toEqual([status, code]);
  });

  test.each([
    ['169.254.169.254/latest', 404, 'NAME_UNKNOWN'],
    ['127.0.0.1:5001/a', 404, 'NAME_UNKNOWN'],
    ['127.0.0.1%3A5001/a', 404, 'NAME_UNKNOWN'],
    ['[::1]:5001/a', 404, 'NAME_UNKNOWN'],
    ['localhost:22/a', 404, 'NAME_UNKNOWN'],
    ['user@ghcr.io/a', 400, 'NAME_INVALID'],
    ['ghcr.io%40evil.com/a', 400, 'NAME_INVALID'],
    ['quay.io/a/b', 404, 'NAME_UNKNOWN'],
  ])('/v2/%s', async (name, status, code) => {
    const answer = await askRaw(node.port, `/v2/${name}/blobs/${DIGEST}`);
    expect([answer.status, errorCode(answer.body)]).toEqual([status, code]);
  });

  test('the refusal says which setting would allow it', async () => {
    expect((await askRaw(node.port, '/v2/quay.io/a/manifests/x')).body.toString()).toContain('--upstream quay.io=URL');
  });
});

describe('odd headers', () => {
  test('a head larger than the limit is answered 431', async () => {
    const answer = await askRaw(node.port, '/v2/', { headers: [`Accept: ${'x'.repeat(64 * 1024)}`] });
    expect([answer.status, errorCode(answer.body)]).toEqual([431, 'UNSUPPORTED']);
  });

  test('Transfer-Encoding beside Content-Length is refused', async () => {
    const answer = await askRaw(node.port, '/v2/', { headers: ['Content-Length: 5', 'Transfer-Encoding: chunked'] });
    expect(answer.status).toBe(400);
  });

  test('what is not HTTP is answered 400', async () => {
    expect((await askRaw(node.port, '/v2/ x y')).status).toBe(400);
  });
});
