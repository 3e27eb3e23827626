/** Any bencoded value, for property tests. */
import fc from 'fast-check';
import type { BencodeValue } from '../../../src/bencode/bencode.ts';

/** Values up to four levels deep. */
export const arbitraryValue: fc.Arbitrary<BencodeValue> = fc.letrec<{ value: BencodeValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.integer(),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.string({ unit: 'binary-ascii', maxLength: 5 }), tie('value')), { maxLength: 4 })
      .map((entries) => new Map(entries)),
  ),
})).value;
