import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import {
  encodeMapHeader,
  MAP_HEADER_BYTES,
  mapEntry,
  mapFileBytes,
  parseMapHeader,
} from '../../../src/content/partial-map.ts';
import { digestOf } from '../../../src/oci/digest.ts';

const header = fc.record({
  digest: fc
    .tuple(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const))
    .map(([bytes, algorithm]) => digestOf(bytes, algorithm)),
  geometry: fc.maxSafeNat().map(pieceGeometry),
});

test('a header is read as it was written', () => {
  fc.assert(
    fc.property(header, (written) => {
      const bytes = encodeMapHeader(written);
      expect(bytes).toHaveLength(MAP_HEADER_BYTES);
      expect(parseMapHeader(bytes)).toEqual(written);
    }),
  );
});

test('a header with any byte changed, or cut at any place, is not read', () => {
  fc.assert(
    fc.property(header, fc.nat(MAP_HEADER_BYTES - 1), fc.integer({ min: 1, max: 255 }), (written, position, change) => {
      const bytes = encodeMapHeader(written);
      expect(parseMapHeader(bytes.subarray(0, position))).toBeUndefined();
      bytes[position] = (bytes[position] ?? 0) ^ change;
      expect(parseMapHeader(bytes)).toBeUndefined();
    }),
  );
});

test('no bytes make the reader throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      expect(parseMapHeader(bytes)).toBeUndefined();
    }),
  );
});

test('an entry of zeros, or beyond the end, is not known', () => {
  const body = Buffer.concat([Buffer.alloc(32, 1), Buffer.alloc(32), Buffer.alloc(20, 1)]);
  expect([0, 1, 2, 3].map((index) => mapEntry(body, index)?.length)).toEqual([32, undefined, undefined, undefined]);
  expect(mapFileBytes(pieceGeometry(0))).toBe(MAP_HEADER_BYTES);
});
