/**
 * What is to happen in virtual time: a heap of numbers. An event is a kind and two numbers, kept in typed arrays, since a run
 * has some hundred million of them; what is rare is a function. Of two events of one time the one that was put in first
 * comes first, so a run with the same seed is the same run.
 */

/** The kind of an event whose action is a function: `call` makes it, `takeAction` gives it. */
export const CALL = 0;

const FIRST_CAPACITY = 1024;
/** Children of one place in the heap: four are in one line of the processor's cache. */
const FANOUT = 4;

export class EventQueue {
  #size = 0;
  #nextOrder = 0;
  // Heap order.
  #times = new Float64Array(FIRST_CAPACITY);
  #orders = new Float64Array(FIRST_CAPACITY);
  #slots = new Uint32Array(FIRST_CAPACITY);
  // By slot.
  #kinds = new Uint8Array(FIRST_CAPACITY);
  #firsts = new Int32Array(FIRST_CAPACITY);
  #seconds = new Int32Array(FIRST_CAPACITY);
  #freeSlots: number[] = [];
  #slotCount = 0;
  readonly #actions = new Map<number, () => void>();
  #nextAction = 0;

  /** The event that `next` took out. */
  timeMs = 0;
  kind = CALL;
  first = 0;
  second = 0;

  /** Events to come. */
  get size(): number {
    return this.#size;
  }

  /** @param kind 1 to 255 */
  push(timeMs: number, kind: number, first: number, second: number): void {
    const slot = this.#freeSlots.pop() ?? this.#newSlot();
    this.#kinds[slot] = kind;
    this.#firsts[slot] = first;
    this.#seconds[slot] = second;
    this.#nextOrder += 1;
    this.#rise(timeMs, this.#nextOrder, slot);
  }

  /** Something rare is to happen. */
  call(timeMs: number, action: () => void): void {
    const id = this.#nextAction;
    this.#nextAction = (id + 1) | 0;
    this.#actions.set(id, action);
    this.push(timeMs, CALL, id, 0);
  }

  /** The function of an event that was taken out and is a `CALL`. */
  takeAction(): (() => void) | undefined {
    const action = this.#actions.get(this.first);
    this.#actions.delete(this.first);
    return action;
  }

  /** Takes the earliest event out, into the fields; false when there is none. */
  next(): boolean {
    if (this.#size === 0) return false;
    const slot = this.#slots[0] ?? 0;
    this.timeMs = this.#times[0] ?? 0;
    this.kind = this.#kinds[slot] ?? 0;
    this.first = this.#firsts[slot] ?? 0;
    this.second = this.#seconds[slot] ?? 0;
    this.#freeSlots.push(slot);
    this.#size -= 1;
    if (this.#size > 0) this.#sink();
    return true;
  }

  #newSlot(): number {
    if (this.#slotCount === this.#times.length) this.#grow();
    this.#slotCount += 1;
    return this.#slotCount - 1;
  }

  #grow(): void {
    const capacity = this.#times.length * 2;
    const grown = <T extends { set(from: T): void }>(made: T, from: T): T => {
      made.set(from);
      return made;
    };
    this.#times = grown(new Float64Array(capacity), this.#times);
    this.#orders = grown(new Float64Array(capacity), this.#orders);
    this.#slots = grown(new Uint32Array(capacity), this.#slots);
    this.#kinds = grown(new Uint8Array(capacity), this.#kinds);
    this.#firsts = grown(new Int32Array(capacity), this.#firsts);
    this.#seconds = grown(new Int32Array(capacity), this.#seconds);
  }

  /** Puts a new event at the end and moves it up to its place. */
  #rise(timeMs: number, order: number, slot: number): void {
    const times = this.#times;
    let place = this.#size;
    this.#size += 1;
    while (place > 0) {
      const parent = Math.floor((place - 1) / FANOUT);
      // The new one has the highest order: it goes above later times only.
      if ((times[parent] ?? 0) <= timeMs) break;
      this.#move(parent, place);
      place = parent;
    }
    this.#put(place, timeMs, order, slot);
  }

  /** Moves the last event down from the top to its place. */
  #sink(): void {
    const size = this.#size;
    const timeMs = this.#times[size] ?? 0;
    const order = this.#orders[size] ?? 0;
    const slot = this.#slots[size] ?? 0;
    let place = 0;
    for (;;) {
      const child = this.#earliestChild(place);
      if (child >= size || !this.#isEarlier(child, timeMs, order)) break;
      this.#move(child, place);
      place = child;
    }
    this.#put(place, timeMs, order, slot);
  }

  #earliestChild(place: number): number {
    const from = place * FANOUT + 1;
    const end = Math.min(from + FANOUT, this.#size);
    let best = from;
    for (let child = from + 1; child < end; child += 1) {
      if (this.#isEarlier(child, this.#times[best] ?? 0, this.#orders[best] ?? 0)) best = child;
    }
    return best;
  }

  #isEarlier(place: number, timeMs: number, order: number): boolean {
    const other = this.#times[place] ?? 0;
    return other < timeMs || (other === timeMs && (this.#orders[place] ?? 0) < order);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from] ?? 0, this.#orders[from] ?? 0, this.#slots[from] ?? 0);
  }

  #put(place: number, timeMs: number, order: number, slot: number): void {
    this.#times[place] = timeMs;
    this.#orders[place] = order;
    this.#slots[place] = slot;
  }
}
