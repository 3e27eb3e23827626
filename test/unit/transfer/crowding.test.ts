import { expect, test } from 'vitest';
import { isCrowded, isFull, soughtHolders } from '../../../src/transfer/crowding.ts';

test('a home first names others, and then takes nobody any more', () => {
  const states = [0, 31, 32, 47, 48].map((channels) => [isCrowded(channels, 16), isFull(channels, 16)]);
  expect(states).toEqual([
    [false, false],
    [false, false],
    [true, false],
    [true, false],
    [true, true],
  ]);
});

test('who looks again finds as many as those have whom others found', () => {
  expect([0, 1, 2, 3].map((searches) => soughtHolders(searches, 16))).toEqual([16, 16, 28, 28]);
});
