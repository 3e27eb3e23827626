import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { allowsRange, entityTag, matchesIfNoneMatch } from '../../../src/registry/entity-tag.ts';

const TAG = entityTag(digestOf(Buffer.from('x')));

describe('conditions', () => {
  test.each([TAG, `W/${TAG}`, `"other", ${TAG}`, '*', ` ${TAG} `])('If-None-Match: %s matches', (header) => {
    expect(matchesIfNoneMatch(header, TAG)).toBe(true);
  });

  test.each([undefined, '', '"other"', TAG.replaceAll('"', ''), `x${TAG}`])(
    'If-None-Match: %s does not match',
    (header) => {
      expect(matchesIfNoneMatch(header, TAG)).toBe(false);
    },
  );

  test('If-Range heeds the range for the strong tag alone', () => {
    expect(allowsRange('', TAG)).toBe(true);
    expect(allowsRange(TAG, TAG)).toBe(true);
    expect(allowsRange(`W/${TAG}`, TAG)).toBe(false);
    expect(allowsRange('Wed, 21 Oct 2015 07:28:00 GMT', TAG)).toBe(false);
  });
});
