import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bareMediaType, MANIFEST_ACCEPT, MEDIA_TYPES } from '../../../src/oci/media-type.ts';

describe('media types', () => {
  test('parameters, letter case and blanks are taken off', () => {
    expect(bareMediaType(' Application/JSON ; charset=utf-8;q=1')).toBe('application/json');
  });

  test('a bare type stays what it is, however often it is bared', () => {
    fc.assert(fc.property(fc.string(), (text) => bareMediaType(bareMediaType(text)) === bareMediaType(text)));
  });

  test('every kind of manifest is asked for', () => {
    const asked = MANIFEST_ACCEPT.split(', ');
    const kinds = Object.values(MEDIA_TYPES).filter((type) => /manifest|index/.test(type));
    expect(asked).toEqual(expect.arrayContaining(kinds));
    expect(asked.at(-1)).toBe('*/*');
  });
});
