import { expect, test } from 'vitest';
import { isCrowded, isFull } from '../../../src/transfer/crowding.ts';

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
