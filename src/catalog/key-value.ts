/** What a catalog needs of a database: ordered keys, and changes that are made whole or not at all. */

/** One change. */
export type KeyValueChange =
  | { readonly type: 'put'; readonly key: string; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: string };

/** Keys from the first to, and not including, the second; in the order of their UTF-8 bytes. */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

/** A database. Whoever opened it closes it. */
export interface KeyValue extends AsyncDisposable {
  get(key: string): Promise<Buffer | undefined>;
  /** The first keys of a range, in order. */
  keys(range: KeyRange, limit: number): Promise<string[]>;
  /** Entries of a range in order, read as the caller goes along. */
  entries(range: KeyRange): AsyncIterable<readonly [key: string, value: Buffer]>;
  /** Makes all changes or none; durable when it resolves, unless told that they need not be. */
  write(changes: KeyValueChange[], options?: { readonly isLossy?: boolean }): Promise<void>;
  close(): Promise<void>;
}
