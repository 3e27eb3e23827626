import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  digestAlgorithm,
  digestBytes,
  digestHex,
  DigestHasher,
  digestOf,
  isDigest,
  parseDigest,
  type DigestAlgorithm,
} from '../../../src/oci/digest.ts';

const HEX = 'a'.repeat(64);

describe('digests', () => {
  test.each([
    ['another algorithm', `md5:${'a'.repeat(32)}`],
    ['an unknown algorithm', `blake3:${HEX}`],
    ['upper-case digits', `sha256:${HEX.toUpperCase()}`],
    ['an upper-case algorithm', `SHA256:${HEX}`],
    ['63 digits', `sha256:${HEX.slice(1)}`],
    ['65 digits', `sha256:${HEX}a`],
    ['no digits', 'sha256:'],
    ['sha512 with 64 digits', `sha512:${HEX}`],
    ['sha256 with 128 digits', `sha256:${HEX}${HEX}`],
    ['a newline behind it', `sha256:${HEX}\n`],
    ['a path', `sha256:../../${HEX.slice(6)}`],
    ['nothing', ''],
  ])('a digest with %s is refused', (_what, text) => {
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'ERR_DIGEST_INVALID' }));
  });

  test('the message of a refusal does not grow with the input', () => {
    expect(() => parseDigest('x'.repeat(100_000))).toThrow(/^.{1,220}$/);
  });

  test('any bytes have a digest that parses, and whose parts are the hash', () => {
    const algorithms = fc.constantFrom<DigestAlgorithm>('sha256', 'sha512');
    fc.assert(
      fc.property(fc.uint8Array(), algorithms, (bytes, algorithm) => {
        const digest = digestOf(bytes, algorithm);
        const expected = createHash(algorithm).update(bytes).digest();
        expect(parseDigest(digest)).toBe(digest);
        expect(digestAlgorithm(digest)).toBe(algorithm);
        expect(digestHex(digest)).toBe(expected.toString('hex'));
        expect(digestBytes(digest).equals(expected)).toBe(true);
      }),
    );
  });

  test('a hasher gives the digest of all that was added so far, however it was cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array(), { maxLength: 8 }), (parts) => {
        const hasher = new DigestHasher('sha256');
        for (const [index, part] of parts.entries()) {
          hasher.update(part);
          expect(hasher.digest()).toBe(digestOf(Buffer.concat(parts.slice(0, index + 1))));
        }
      }),
    );
  });

  test('no random text is taken for a digest', () => {
    fc.assert(fc.property(fc.string(), (text) => !isDigest(text)));
  });
});
