import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatContentRange,
  formatUnsatisfiedRange,
  parseContentRange,
  parseRange,
} from '../../../src/oci/byte-range.ts';

const SIZE_BYTES = 2048;

describe('Range', () => {
  test.each([
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2048],
    ['bytes=-500', 1548, 2048],
    ['bytes=2000-5000', 2000, 2048],
    ['bytes=0-0', 0, 1],
    ['bytes=0-', 0, 2048],
    ['bytes=-9999', 0, 2048],
    ['BYTES=0-1', 0, 2],
    ['bytes=0-9223372036854775808', 0, 2048],
  ])('%s of 2048 bytes is %i to %i', (header, start, end) => {
    expect(parseRange(header, SIZE_BYTES)).toEqual({ kind: 'range', range: { start, end } });
  });

  test.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=2048-', 'bytes=-0', 'bytes=9223372036854775808-'])(
    '%s of 2048 bytes cannot be satisfied',
    (header) => {
      expect(parseRange(header, SIZE_BYTES)).toEqual({ kind: 'unsatisfiable' });
    },
  );

  test.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'items=0-1',
    'bytes=0-1,3-4',
    'bytes=--1',
    'bytes=1',
    'bytes=0x1-2',
  ])('%j is ignored', (header) => {
    expect(parseRange(header, SIZE_BYTES)).toEqual({ kind: 'whole' });
  });

  test.each(['bytes=0-', 'bytes=0-0', 'bytes=-1'])('%s of nothing cannot be satisfied', (header) => {
    expect(parseRange(header, 0)).toEqual({ kind: 'unsatisfiable' });
  });

  test('whatever is asked for, the answer lies within the content', () => {
    const part = fc.oneof(fc.constant(''), fc.nat().map(String), fc.bigInt({ min: 0n }).map(String), fc.string());
    fc.assert(
      fc.property(part, part, fc.nat(), (first, last, sizeBytes) => {
        const asked = parseRange(`bytes=${first}-${last}`, sizeBytes);
        if (asked.kind !== 'range') return;
        expect(asked.range.start).toBeGreaterThanOrEqual(0);
        expect(asked.range.end).toBeGreaterThan(asked.range.start);
        expect(asked.range.end).toBeLessThanOrEqual(sizeBytes);
      }),
    );
  });
});

describe('Content-Range', () => {
  test('what is printed reads back', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 1e9 }), fc.nat(), (start, lengthBytes, restBytes) => {
        const range = { start, end: start + lengthBytes };
        const sizeBytes = range.end + restBytes;
        expect(parseContentRange(formatContentRange(range, sizeBytes))).toEqual({ range, sizeBytes });
      }),
    );
  });

  test('a star stands for an unknown total', () => {
    expect(parseContentRange('bytes 0-9/*')).toEqual({ range: { start: 0, end: 10 }, sizeBytes: undefined });
    expect(formatUnsatisfiedRange(7)).toBe('bytes */7');
  });

  test.each([
    '',
    'bytes 5-4/10',
    'bytes 0-10/10',
    'bytes */10',
    '0-1/2',
    'bytes 0-1',
    'bytes 0-99999999999999999999/*',
    'bytes -1-2/3',
  ])('%j is malformed', (header) => {
    expect(parseContentRange(header)).toBeUndefined();
  });

  test('no text makes the parser throw', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => parseContentRange(text)).not.toThrow();
        expect(() => parseRange(text, 10)).not.toThrow();
      }),
    );
  });
});
