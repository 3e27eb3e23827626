/** A database in memory: the double for unit tests. */
import type { KeyRange, KeyValue, KeyValueChange } from './key-value.ts';
import { catalogError } from './errors.ts';

/** Keeps entries until the process ends. Keys are ASCII, so that the order of text is that of bytes. */
export class MemoryKeyValue implements KeyValue {
  readonly #values: Map<string, Buffer>;
  #sorted: string[] | undefined;
  #isClosed = false;

  /** @param values what outlives this object, as a disk does a process */
  constructor(values: Map<string, Buffer> = new Map()) {
    this.#values = values;
  }

  async get(key: string): Promise<Buffer | undefined> {
    this.#assertOpen();
    return await Promise.resolve(this.#values.get(key));
  }

  async keys({ from, to }: KeyRange, limit: number): Promise<string[]> {
    this.#assertOpen();
    const found = [...this.#values.keys()].filter((key) => key >= from && key < to);
    return await Promise.resolve(found.toSorted().slice(0, limit));
  }

  async *entries({ from, to }: KeyRange): AsyncGenerator<readonly [string, Buffer]> {
    this.#assertOpen();
    this.#sorted ??= [...this.#values.keys()].toSorted();
    for (const key of this.#sorted) {
      const value = this.#values.get(key);
      if (key < from || key >= to || value === undefined) continue;
      yield await Promise.resolve([key, value] as const);
    }
  }

  async write(changes: KeyValueChange[]): Promise<void> {
    this.#assertOpen();
    for (const change of changes) {
      if (change.type === 'put') this.#values.set(change.key, change.value);
      else this.#values.delete(change.key);
    }
    this.#sorted = undefined;
    await Promise.resolve();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw catalogError('ERR_CATALOG_CLOSED', 'the catalog is closed');
  }
}
