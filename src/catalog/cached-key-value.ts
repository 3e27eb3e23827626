/** Keeps values in memory that are read often: the tags and manifests that many clients pull at once. */
import type { KeyRange, KeyValue, KeyValueChange } from './key-value.ts';

export interface CachedKeyValueConfig {
  /** Values and keys together, roughly. */
  readonly maxBytes: number;
  /** Larger values are always read from below. */
  readonly maxValueBytes: number;
}

/** Beside each value: the entry of the map, the key as text, the buffer's object. */
const ENTRY_BYTES = 250;

/** All changes have to go through it; then what it answers is what the database would. */
export class CachedKeyValue implements KeyValue {
  readonly #below: KeyValue;
  readonly #config: CachedKeyValueConfig;
  /** The one used last stands at the end. */
  readonly #values = new Map<string, Buffer>();
  #bytes = 0;
  /** Grows with every change: what was read while one was under way may be old already. */
  #changes = 0;

  constructor(below: KeyValue, config: CachedKeyValueConfig) {
    this.#below = below;
    this.#config = config;
  }

  async get(key: string): Promise<Buffer | undefined> {
    const known = this.#values.get(key);
    if (known !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, known);
      return known;
    }
    const before = this.#changes;
    const value = await this.#below.get(key);
    if (value !== undefined && this.#changes === before) this.#keep(key, value);
    return value;
  }

  async keys(range: KeyRange, limit: number): Promise<string[]> {
    return await this.#below.keys(range, limit);
  }

  entries(range: KeyRange): AsyncIterable<readonly [key: string, value: Buffer]> {
    return this.#below.entries(range);
  }

  async write(changes: KeyValueChange[], options?: { readonly isLossy?: boolean }): Promise<void> {
    this.#changes += 1;
    try {
      await this.#below.write(changes, options);
    } finally {
      // Also after a failure: who knows what of it came to pass.
      this.#changes += 1;
      for (const { key } of changes) this.#forget(key);
    }
  }

  async close(): Promise<void> {
    this.#values.clear();
    this.#bytes = 0;
    await this.#below.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #keep(key: string, value: Buffer): void {
    if (value.length > this.#config.maxValueBytes) return;
    this.#forget(key);
    this.#values.set(key, value);
    this.#bytes += sizeOf(key, value);
    for (const oldest of this.#values.keys()) {
      if (this.#bytes <= this.#config.maxBytes) break;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    this.#bytes -= sizeOf(key, value);
  }
}

function sizeOf(key: string, value: Buffer): number {
  return ENTRY_BYTES + key.length + value.length;
}
