import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBencode, encodeBencode, splitBencodedDictionary } from '../../../src/bencode/bencode.ts';
import { arbitraryValue } from './arbitrary-value.ts';

describe('a bencoded value', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(arbitraryValue, (written) => {
        expect(decodeBencode(encodeBencode(written), { isSorted: true })).toEqual(written);
      }),
    );
  });

  test('of any bytes is read, or refused as a syntax error', () => {
    const near = fc
      .string({ unit: fc.constantFrom(...'idle0123456789:-x'), maxLength: 30 })
      .map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 50 })), (bytes) => {
        try {
          decodeBencode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError);
        }
      }),
    );
  });

  test('has its keys sorted by their bytes, whatever order they were given in', () => {
    expect(encodeBencode({ b: 1, a: 'x', 'a b': [], left: undefined }).toString()).toBe('d1:a1:x3:a ble1:bi1ee');
  });

  test.each(['i01e', 'i-0e', 'ie', 'i1', 'i99999999999999999e', '3:ab', '-1:a', 'd1:a', 'di1ei2ee', 'i1ei1e', ''])(
    'is refused when it is %j',
    (text) => {
      expect(() => decodeBencode(Buffer.from(text))).toThrow(SyntaxError);
    },
  );

  test('that is nested without end is refused', () => {
    expect(() => decodeBencode(Buffer.from('l'.repeat(100_000)))).toThrow(SyntaxError);
  });

  test('with more parts than are allowed is refused', () => {
    const list = Buffer.from(`l${'le'.repeat(50)}e`);
    expect(decodeBencode(list, { maxValues: 51 })).toHaveLength(50);
    expect(() => decodeBencode(list, { maxValues: 50 })).toThrow(/too many/);
  });

  test.each(['d1:b0:1:a0:e', 'd1:a0:1:a0:e'])(
    'with unsorted or doubled keys, %j, is refused where it matters',
    (text) => {
      expect(() => decodeBencode(Buffer.from(text), { isSorted: true })).toThrow(/sorted/);
      expect(decodeBencode(Buffer.from(text))).toBeInstanceOf(Map);
    },
  );

  test('that is not a safe integer cannot be written', () => {
    expect(() => encodeBencode(2 ** 60)).toThrow(RangeError);
  });
});

describe('a bencoded dictionary', () => {
  test('is cut into its entries as they were written', () => {
    const entries = splitBencodedDictionary(Buffer.from('d4:infod1:ai1ee1:xli2ei3eee'));
    expect([...entries].map(([key, bytes]) => [key, bytes.toString()])).toEqual([
      ['info', 'd1:ai1ee'],
      ['x', 'li2ei3ee'],
    ]);
  });

  test('is refused when it is something else', () => {
    expect(() => splitBencodedDictionary(Buffer.from('le'))).toThrow(SyntaxError);
  });
});
