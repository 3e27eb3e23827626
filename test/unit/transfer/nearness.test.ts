import { expect, test } from 'vitest';
import { chooseNear, isFar, nearness } from '../../../src/transfer/nearness.ts';

test.each([
  ['a/r1', 'a/r1', 2],
  ['a/r1', 'a/r2', 1],
  ['a/r1', 'b/r1', 0],
  ['a', 'a/r1', 1],
  ['', 'a', 0],
  ['ab/r1', 'a/r1', 0],
])('%j and %j share %i labels', (a, b, shared) => {
  expect(nearness(a, b)).toBe(shared);
});

test('only known places can be far', () => {
  expect([isFar('a/r1', 'b/r1'), isFar('a/r1', 'a/r2'), isFar('', 'b'), isFar('a', '')]).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

test('the nearest are met, and some far ones', () => {
  const places = ['b/1', 'b/2', 'a/2', 'b/3', 'a/1', 'a/2', 'a/1', 'b/4', 'a/3', 'a/1', 'c/1'];
  const chosen = chooseNear(places, (place) => nearness('a/1', place), 8);
  expect(chosen).toEqual(['a/1', 'a/1', 'a/1', 'a/2', 'a/2', 'a/3', 'b/1', 'b/2']);
});

test('without labels the list stays as it is', () => {
  const list = Array.from({ length: 20 }, (_, index) => index);
  expect(chooseNear(list, () => 0, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(chooseNear([1, 2], () => 0, 8)).toEqual([1, 2]);
});
