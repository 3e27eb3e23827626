/**
 * Bencoding, the notation of trackers and of torrent files: reading, from untrusted bytes of bounded length, and writing.
 * Values alone; no I/O, no clock.
 * @see BEP 3, "bencoding"
 */

/** A read value. Strings stay bytes; keys of dictionaries are read as latin1. */
export type BencodeValue = number | Buffer | BencodeValue[] | Map<string, BencodeValue>;

/** A value to be written. Strings are written as UTF-8, keys as latin1; an entry that is `undefined` is left out. */
export type BencodeInput =
  | number
  | string
  | Uint8Array
  | readonly BencodeInput[]
  | ReadonlyMap<string, BencodeInput>
  | { readonly [key: string]: BencodeInput | undefined };

/** How much is put up with. */
export interface BencodeLimits {
  /** Most values, those inside of others counted. Each takes some hundred bytes of memory, and may come as two bytes. */
  readonly maxValues?: number | undefined;
  /** Refuses dictionaries whose keys are not sorted: another writer would give other bytes, and so another hash. */
  readonly isSorted?: boolean | undefined;
}

/** Deeper nesting than this has no place in an answer or a torrent, and would exhaust the stack. */
const MAX_DEPTH = 16;

/** Reads one value that takes all the bytes. @throws {SyntaxError} for anything else */
export function decodeBencode(bytes: Uint8Array, limits: BencodeLimits = {}): BencodeValue {
  const reader = new BencodeReader(bytes, limits);
  const value = reader.value(0);
  reader.end();
  return value;
}

/**
 * Cuts a dictionary that takes all the bytes into its entries, which stay as they were written: for hashes over them.
 * @throws {SyntaxError} for anything else
 */
export function splitBencodedDictionary(bytes: Uint8Array, limits: BencodeLimits = {}): Map<string, Buffer> {
  const reader = new BencodeReader(bytes, limits);
  const entries = reader.rawEntries();
  reader.end();
  return entries;
}

/** Writes a value in its one canonical form. @throws {RangeError} for a number that is no safe integer */
export function encodeBencode(value: BencodeInput): Buffer {
  const parts: Uint8Array[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: BencodeInput, parts: Uint8Array[]): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} cannot be bencoded`);
    parts.push(Buffer.from(`i${value}e`, 'latin1'));
  } else if (typeof value === 'string') writeString(Buffer.from(value, 'utf8'), parts);
  else if (value instanceof Uint8Array) writeString(value, parts);
  else if (isList(value)) {
    parts.push(LIST);
    for (const item of value) write(item, parts);
    parts.push(END);
  } else writeDictionary(value instanceof Map ? value : new Map(Object.entries(value)), parts);
}

const LIST = Buffer.from('l');
const DICTIONARY = Buffer.from('d');
const END = Buffer.from('e');

function isList(value: BencodeInput): value is readonly BencodeInput[] {
  return Array.isArray(value);
}

function writeString(bytes: Uint8Array, parts: Uint8Array[]): void {
  parts.push(Buffer.from(`${bytes.length}:`, 'latin1'), bytes);
}

function writeDictionary(entries: ReadonlyMap<string, BencodeInput | undefined>, parts: Uint8Array[]): void {
  parts.push(DICTIONARY);
  // Keys are latin1, so the order of their characters is the order of their bytes.
  for (const key of [...entries.keys()].toSorted(compareKeys)) {
    const value = entries.get(key);
    if (value === undefined) continue;
    writeString(Buffer.from(key, 'latin1'), parts);
    write(value, parts);
  }
  parts.push(END);
}

function compareKeys(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

class BencodeReader {
  readonly #bytes: Buffer;
  readonly #isSorted: boolean;
  #valuesLeft: number;
  #offset = 0;

  constructor(bytes: Uint8Array, { maxValues, isSorted }: BencodeLimits) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#valuesLeft = maxValues ?? Number.POSITIVE_INFINITY;
    this.#isSorted = isSorted ?? false;
  }

  value(depth: number): BencodeValue {
    if (depth > MAX_DEPTH) throw new SyntaxError('bencoded value is nested too deeply');
    this.#valuesLeft -= 1;
    if (this.#valuesLeft < 0) throw new SyntaxError('bencoded value has too many parts');
    switch (this.#char()) {
      case 'i':
        this.#offset += 1;
        return this.#integerUntil('e');
      case 'l':
        return this.#list(depth);
      case 'd':
        return this.#dictionary(depth);
      default:
        return this.#string();
    }
  }

  rawEntries(): Map<string, Buffer> {
    if (this.#char() !== 'd') throw new SyntaxError('bencoded value is no dictionary');
    const entries = new Map<string, Buffer>();
    this.#eachKey((key) => {
      const start = this.#offset;
      this.value(1);
      entries.set(key, this.#bytes.subarray(start, this.#offset));
    });
    return entries;
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw new SyntaxError('bytes follow the bencoded value');
  }

  #char(): string {
    return String.fromCharCode(this.#bytes[this.#offset] ?? 0);
  }

  #list(depth: number): BencodeValue[] {
    this.#offset += 1;
    const values: BencodeValue[] = [];
    while (this.#char() !== 'e') values.push(this.value(depth + 1));
    this.#offset += 1;
    return values;
  }

  #dictionary(depth: number): Map<string, BencodeValue> {
    const entries = new Map<string, BencodeValue>();
    this.#eachKey((key) => entries.set(key, this.value(depth + 1)));
    return entries;
  }

  #eachKey(read: (key: string) => void): void {
    this.#offset += 1;
    let before: string | undefined;
    while (this.#char() !== 'e') {
      const key = this.#string().toString('latin1');
      if (this.#isSorted && before !== undefined && before >= key)
        throw new SyntaxError('keys of a bencoded dictionary are doubled or not sorted');
      before = key;
      read(key);
    }
    this.#offset += 1;
  }

  #string(): Buffer {
    const length = this.#integerUntil(':');
    const end = this.#offset + length;
    if (length < 0 || end > this.#bytes.length) throw new SyntaxError('bencoded string ends too early');
    const value = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return value;
  }

  #integerUntil(mark: string): number {
    // A search to the end of the bytes at every number would make a large value quadratic.
    const window = this.#bytes.subarray(this.#offset, this.#offset + MAX_NUMBER_LENGTH + 1);
    const length = window.indexOf(mark, 0, 'latin1');
    const text = length === -1 ? '' : window.toString('latin1', 0, length);
    if (!/^(?:0|-?[1-9]\d{0,15})$/.test(text)) throw new SyntaxError('bencoded number is malformed');
    this.#offset += length + 1;
    return Number(text);
  }
}

/** A sign and 16 digits: more than that is no safe integer. */
const MAX_NUMBER_LENGTH = 17;
