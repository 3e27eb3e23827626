import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffDelayMs, parseRetryAfter, RETRY_MAX_DELAY_MS } from '../../../src/origin/retry-delay.ts';

describe('the delay before a repetition', () => {
  test('doubles, with jitter over the upper half', () => {
    expect([0, 1, 2].map((attempt) => backoffDelayMs(attempt, 0))).toEqual([100, 200, 400]);
    expect([0, 1, 2].map((attempt) => backoffDelayMs(attempt, 0.999))).toEqual([200, 400, 800]);
  });

  test('never exceeds its limit', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
        expect(backoffDelayMs(attempt, random)).toBeLessThanOrEqual(RETRY_MAX_DELAY_MS);
      }),
    );
  });
});

describe('Retry-After', () => {
  const nowMs = Date.parse('2026-01-01T00:00:00Z');

  test.each([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['soon', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j asks for %j ms', (header, delayMs) => {
    expect(parseRetryAfter(header, nowMs)).toBe(delayMs);
  });
});
