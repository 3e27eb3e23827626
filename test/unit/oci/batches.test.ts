import { expect, test } from 'vitest';
import { inBatches } from '../../../src/oci/batches.ts';

async function* numbers(count: number): AsyncGenerator<number> {
  for (let number = 1; number <= count; number += 1) yield await Promise.resolve(number);
}

test.each([
  [0, []],
  [2, [[1, 2]]],
  [3, [[1, 2, 3]]],
  [4, [[1, 2, 3], [4]]],
])('%i items come in batches of three, with the rest last', async (count, batches) => {
  expect(await Array.fromAsync(inBatches(numbers(count), 3))).toEqual(batches);
});
