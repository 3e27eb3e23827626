/** Values that are kept for a while, so many at most; the oldest goes first. */

export interface ExpiringMapConfig<Value> {
  readonly maxEntries: number;
  readonly ttlMs: number;
  /** Told of each value that is dropped because of its age or of newer ones. */
  readonly onDrop?: ((value: Value) => void) | undefined;
}

/** Looks for what is too old whenever it is used; needs no timer. */
export class ExpiringMap<Value> {
  readonly #clock: { nowMs(): number };
  readonly #config: ExpiringMapConfig<Value>;
  readonly #entries = new Map<string, { readonly value: Value; readonly untilMs: number }>();

  constructor(clock: { nowMs(): number }, config: ExpiringMapConfig<Value>) {
    this.#clock = clock;
    this.#config = config;
  }

  get(key: string): Value | undefined {
    this.#sweep();
    return this.#entries.get(key)?.value;
  }

  /** Keeps a value in the place of an older one of that key, which is not told of. */
  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, untilMs: this.#clock.nowMs() + this.#config.ttlMs });
    this.#sweep();
  }

  /** Takes a value out. */
  take(key: string): Value | undefined {
    const value = this.get(key);
    this.#entries.delete(key);
    return value;
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    for (const [key, { value, untilMs }] of this.#entries) {
      if (untilMs > nowMs && this.#entries.size <= this.#config.maxEntries) return;
      this.#entries.delete(key);
      this.#config.onDrop?.(value);
    }
  }
}
