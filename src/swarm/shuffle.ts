/** The list in an order drawn at random: Fisher and Yates, in place. @param random uniform in [0, 1) */
export function shuffled<T>(list: T[], random: () => number): T[] {
  for (let last = list.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    const [a, b] = [list[last], list[other]] as [T, T];
    list[last] = b;
    list[other] = a;
  }
  return list;
}
