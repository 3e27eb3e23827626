import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseRate,
  parseSize,
} from '../../../../node/config/quantity.ts';

describe('durations', () => {
  test.each([
    ['30s', 30_000],
    ['500ms', 500],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['0', 0],
    ['Infinity', Infinity],
  ])('%s is read', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  test.each(['', '30', '-1s', '1 s', 's', '1sec', 'infinity', '1e3s', '٣s'])('%j is no duration', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test('every duration that is formatted is read back', () => {
    fc.assert(fc.property(fc.nat(), (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});

describe('sizes', () => {
  test.each([
    ['10GiB', 10 * 1024 ** 3],
    ['500MB', 500_000_000],
    ['1.5KiB', 1536],
    ['4096', 4096],
    ['0', 0],
    ['Infinity', Infinity],
  ])('%s is read', (text, expected) => {
    expect(parseSize(text)).toBe(expected);
  });

  test.each(['', '10gib', '10G', '-1', '1e9', '99999999999999999999', '1..5MB', '10 000'])('%j is no size', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  test('every size that is formatted is read back', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
  });
});

describe('rates', () => {
  test.each([
    ['200mbit', 25_000_000],
    ['1Gbit/s', 125_000_000],
    ['100MiB/s', 100 * 1024 ** 2],
    ['100MiB', 100 * 1024 ** 2],
    ['0', 0],
    ['Infinity', Infinity],
  ])('%s is read', (text, expected) => {
    expect(parseRate(text)).toBe(expected);
  });

  test('every rate that is formatted is read back', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (rate) => parseRate(formatRate(rate)) === rate));
  });
});
