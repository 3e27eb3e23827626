import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDistributionPath, parseRequestTarget } from '../../../src/registry/distribution-path.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('paths', () => {
  test.each([
    ['/v2/', { kind: 'base' }],
    ['/v2', { kind: 'base' }],
    ['/v2/a/manifests/latest', { kind: 'manifest', nameText: 'a', referenceText: 'latest' }],
    ['/v2/a/b/c/blobs/x', { kind: 'blob', nameText: 'a/b/c', digestText: 'x' }],
    ['/v2/a/tags/list', { kind: 'tags', nameText: 'a' }],
    ['/v2/a/referrers/x', { kind: 'referrers', nameText: 'a', digestText: 'x' }],
    ['/v2/a/manifests/b/blobs/x', { kind: 'blob', nameText: 'a/manifests/b', digestText: 'x' }],
    ['/v2/blobs/manifests/manifests/x', { kind: 'manifest', nameText: 'blobs/manifests', referenceText: 'x' }],
    ['/v2/tags/list/tags/list', { kind: 'tags', nameText: 'tags/list' }],
    ['/v2/a/blobs/uploads/manifests/x', { kind: 'manifest', nameText: 'a/blobs/uploads', referenceText: 'x' }],
    ['/v2/_catalog', { kind: 'catalog' }],
    ['/v2/a/blobs/uploads', { kind: 'upload', nameText: 'a', sessionText: '' }],
    ['/v2/a/blobs/uploads/', { kind: 'upload', nameText: 'a', sessionText: '' }],
    ['/v2/a/blobs/uploads/id', { kind: 'upload', nameText: 'a', sessionText: 'id' }],
    ['/v2/ghcr.io/a/manifests/1', { kind: 'manifest', nameText: 'ghcr.io/a', referenceText: '1' }],
    ['/v2/manifests/latest', { kind: 'manifest', nameText: '', referenceText: 'latest' }],
    ['/v2//manifests/latest', { kind: 'manifest', nameText: '', referenceText: 'latest' }],
  ])('%s is read from its right end', (path, expected) => {
    expect(parseDistributionPath(path)).toEqual(expected);
  });

  test.each([
    '',
    '/',
    '/v1/_ping',
    '/v2x/',
    '/v2/a',
    '/v2/a/manifests/',
    '/v2/a/manifests/latest/',
    '/v2/a/blobs/',
    '/v2/a/tags/all',
    '/v2/a/uploads/x',
    '//v2/a/tags/list',
  ])('%j is none of ours', (path) => {
    expect(parseDistributionPath(path)).toBeUndefined();
  });

  test('any name and any last part come back as they were put in', () => {
    const name = fc.array(fc.constantFrom('a', 'blobs', 'manifests', 'tags', 'list', 'uploads', 'referrers', 'x.y'), {
      minLength: 1,
      maxLength: 6,
    });
    const last = fc.constantFrom('latest', DIGEST, 'list', 'blobs', 'manifests');
    fc.assert(
      fc.property(name, last, (components, text) => {
        const nameText = components.join('/');
        expect(parseDistributionPath(`/v2/${nameText}/manifests/${text}`)).toEqual({
          kind: 'manifest',
          nameText,
          referenceText: text,
        });
        expect(parseDistributionPath(`/v2/${nameText}/blobs/${text}`)).toEqual({
          kind: 'blob',
          nameText,
          digestText: text,
        });
        expect(parseDistributionPath(`/v2/${nameText}/tags/list`)).toEqual({ kind: 'tags', nameText });
      }),
    );
  });
});

describe('request targets', () => {
  test('an encoded colon is a colon, and the query is left alone', () => {
    expect(parseRequestTarget('/v2/a/blobs/sha256%3Aab?ns=x%3A1&n=%2F?')).toEqual({
      path: '/v2/a/blobs/sha256:ab',
      search: 'ns=x%3A1&n=%2F?',
    });
  });

  test.each([
    '/v2/%2e%2e/a',
    '/v2/a%2Fb',
    '/v2/a%253Ab',
    '/v2/a%00',
    '/v2/a\\b',
    '/v2/\xe9',
    'http://example.com/v2/',
    '*',
    '',
    'v2/',
    '/v2/a b',
    '/v2/a%',
  ])('%j is refused', (target) => {
    expect(() => parseRequestTarget(target)).toThrow(expect.objectContaining({ code: 'ERR_TARGET_INVALID' }));
  });
});
