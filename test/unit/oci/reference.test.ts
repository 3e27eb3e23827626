import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../src/oci/error.ts';
import { formatImageReference, isHost, looksLikeHost, parseImageReference } from '../../../src/oci/reference.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

describe('image references', () => {
  test.each([
    ['alpine', { name: 'alpine' }],
    ['alpine:3.20', { name: 'alpine', tag: '3.20' }],
    ['library/alpine', { name: 'library/alpine' }],
    ['ghcr.io/a/b:tag', { host: 'ghcr.io', name: 'a/b', tag: 'tag' }],
    [`ghcr.io/a/b:tag@${DIGEST}`, { host: 'ghcr.io', name: 'a/b', tag: 'tag', digest: DIGEST }],
    ['localhost:5000/x', { host: 'localhost:5000', name: 'x' }],
    ['localhost/x', { host: 'localhost', name: 'x' }],
    ['localhost:5000', { name: 'localhost', tag: '5000' }],
    ['[::1]:5000/x:1', { host: '[::1]:5000', name: 'x', tag: '1' }],
    ['Upper/x', { host: 'Upper', name: 'x' }],
    ['a.b', { name: 'a.b' }],
  ])('%s is read as docker reads it', (text, parts) => {
    expect(parseImageReference(text)).toEqual(parts);
  });

  test.each([
    '',
    ':',
    '@',
    'a:',
    'a@',
    ':tag',
    'Alpine',
    'a//b',
    'ghcr.io/',
    '/a',
    'a b',
    'http://ghcr.io/a',
    'user@ghcr.io/a',
    'a@sha256:abc',
    `a@${DIGEST}@${DIGEST}`,
    'a:-x',
    '-x.io/a',
    'x_y.io/a',
    'ghcr.io:/a',
    'ghcr.io:123456/a',
    'a'.repeat(256),
    'ab'.repeat(32),
    `ghcr.io/${'a'.repeat(250)}`,
    '../a',
    'ghcr.io/../a',
  ])('%j is refused', (text) => {
    expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ code: 'ERR_REFERENCE_INVALID' }));
  });

  test('a reference reads back as it was written', () => {
    const host = fc.option(fc.stringMatching(/^[a-z0-9]{1,8}\.[a-z]{2,3}(?::[1-9][0-9]{1,3})?$/));
    const name = fc
      .stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,4})?(?:\/[a-z0-9]{1,8}){0,3}$/)
      .filter((text) => !looksLikeHost(text.split('/')[0] ?? ''));
    const tag = fc.option(fc.stringMatching(/^[\w][\w.-]{0,20}$/));
    const digest = fc.option(fc.stringMatching(/^sha256:[a-f0-9]{64}$/));
    fc.assert(
      fc.property(host, name, tag, digest, (h, n, t, d) => {
        const text = `${h === null ? '' : `${h}/`}${n}${t === null ? '' : `:${t}`}${d === null ? '' : `@${d}`}`;
        expect(formatImageReference(parseImageReference(text))).toBe(text);
      }),
    );
  });

  test('any text is either read or refused by code', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'aB0.:/@-_[] ') }), (text) => {
        try {
          expect(parseImageReference(text).name).not.toBe('');
        } catch (error) {
          expect(isDockyardError(error, 'ERR_REFERENCE_INVALID')).toBe(true);
        }
      }),
    );
  });

  test('hosts are names or addresses with or without a port', () => {
    for (const host of ['ghcr.io', 'localhost:5001', 'registry.local:5000', '10.0.0.1', '[fe80::1]'])
      expect(isHost(host)).toBe(true);
    for (const text of ['', 'a..b', 'a@b', 'http://a', 'a/b', 'a:', ':1', 'a b', '-a', '[::1', 'a%3A1'])
      expect(isHost(text)).toBe(false);
  });
});
