import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatManifestReference,
  isRepositoryName,
  isTag,
  MAX_NAME_LENGTH,
  parseManifestReference,
  parseRepositoryName,
} from '../../../src/oci/name.ts';

describe('repository names', () => {
  test.each([
    'a',
    'library/alpine',
    'a/b/c/d/e/f',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a---b',
    'blobs/manifests/tags',
    '2130706433',
  ])("'%s' is a name", (name) => {
    expect(parseRepositoryName(name)).toBe(name);
  });

  test.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    'a/../b',
    'A',
    'a_',
    '_a',
    'a___b',
    'a..b',
    'a.-b',
    '-a',
    'a b',
    'a\0',
    'a\\b',
    'a%2fb',
    'a:b',
    'user@host',
    'a\n',
    'é',
    '_catalog',
  ])('%j is no name', (name) => {
    expect(() => parseRepositoryName(name)).toThrow(expect.objectContaining({ code: 'ERR_NAME_INVALID' }));
  });

  test('a name of 255 characters is the longest', () => {
    expect(isRepositoryName('a'.repeat(MAX_NAME_LENGTH))).toBe(true);
    expect(() => parseRepositoryName('a/'.repeat(2000) + 'a')).toThrow(/at most 255/);
  });

  test('a name made of good components is good', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/);
    fc.assert(
      fc.property(fc.array(component, { minLength: 1, maxLength: 6 }), (components) =>
        isRepositoryName(components.join('/')),
      ),
    );
  });

  test('text built to make the pattern backtrack is judged at once', () => {
    const startMs = performance.now();
    expect(isRepositoryName(`${'a-'.repeat(127)}!`)).toBe(false);
    expect(isRepositoryName(`${'-'.repeat(254)}a`)).toBe(false);
    expect(performance.now() - startMs).toBeLessThan(100);
  });
});

describe('manifest references', () => {
  test('a tag has up to 128 characters', () => {
    expect(isTag('a'.repeat(128))).toBe(true);
    expect(isTag('a'.repeat(129))).toBe(false);
  });

  test.each(['.a', '-a', '', 'a b', 'a/b', 'a+b', '..'])('%j is no tag', (text) => {
    expect(() => parseManifestReference(text)).toThrow(expect.objectContaining({ code: 'ERR_REFERENCE_INVALID' }));
  });

  test('what has a colon was meant as a digest', () => {
    expect(() => parseManifestReference('sha256:abc')).toThrow(expect.objectContaining({ code: 'ERR_DIGEST_INVALID' }));
  });

  test('every tag and digest reads back as it was written', () => {
    const text = fc.oneof(
      fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/),
      fc.stringMatching(/^sha256:[a-f0-9]{64}$/),
    );
    fc.assert(fc.property(text, (written) => formatManifestReference(parseManifestReference(written)) === written));
  });
});
