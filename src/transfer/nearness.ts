/** How near two nodes stand by the labels that operators gave them (`zone-a/rack-7`), and what follows for whom to meet. Pure. */

/** Places of every so many that are kept for those farther away, so that what only they have comes in. */
const PLACES_FOR_ONE_FAR = 4;

/** How many leading labels two places share; 0 where either is unknown. */
export function nearness(a: string, b: string): number {
  if (a === '' || b === '') return 0;
  const [as, bs] = [a.split('/'), b.split('/')];
  let shared = 0;
  while (shared < as.length && shared < bs.length && as[shared] === bs[shared]) shared += 1;
  return shared;
}

/** Whether two places are known and have nothing in common. */
export function isFar(a: string, b: string): boolean {
  return a !== '' && b !== '' && nearness(a, b) === 0;
}

/**
 * The `count` of a list to meet: the nearest, in the list's order among equals, and for every few of them one of those that
 * come first in the list, however far.
 */
export function chooseNear<Item>(list: readonly Item[], nearnessOf: (item: Item) => number, count: number): Item[] {
  if (list.length <= count) return [...list];
  const farCount = Math.floor(count / PLACES_FOR_ONE_FAR);
  const byNearness = list
    .map((item, index) => ({ item, index, near: nearnessOf(item) }))
    .toSorted((a, b) => b.near - a.near || a.index - b.index);
  const near = byNearness.slice(0, count - farCount);
  const taken = new Set(near.map(({ index }) => index));
  const rest = list.filter((_, index) => !taken.has(index)).slice(0, farCount);
  return [...near.map(({ item }) => item), ...rest];
}
