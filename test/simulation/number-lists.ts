/** Lists of numbers that events carry: an event holds the place of its list. */
export class NumberLists {
  readonly #lists: (readonly number[])[] = [];
  readonly #free: number[] = [];

  put(list: readonly number[]): number {
    const place = this.#free.pop() ?? this.#lists.length;
    this.#lists[place] = list;
    return place;
  }

  /** Takes a list out. */
  take(place: number): readonly number[] {
    const list = this.#lists[place] ?? NONE;
    this.#lists[place] = NONE;
    this.#free.push(place);
    return list;
  }
}

const NONE: readonly number[] = [];
