/**
 * Bencoding, as far as answers of trackers need it: reading, from untrusted bytes of bounded length.
 * @see BEP 3, "bencoding"
 */

/** A read value. Strings stay bytes; keys of dictionaries are read as latin1. */
export type BencodeValue = number | Buffer | BencodeValue[] | Map<string, BencodeValue>;

/** Deeper nesting than this has no place in an answer, and would exhaust the stack. */
const MAX_DEPTH = 16;

/** Reads one value that takes all the bytes. @throws {SyntaxError} for anything else */
export function decodeBencode(bytes: Uint8Array): BencodeValue {
  const reader = new BencodeReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const value = reader.value(0);
  reader.end();
  return value;
}

class BencodeReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(depth: number): BencodeValue {
    if (depth > MAX_DEPTH) throw new SyntaxError('bencoded value is nested too deeply');
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
    this.#offset += 1;
    const entries = new Map<string, BencodeValue>();
    while (this.#char() !== 'e') entries.set(this.#string().toString('latin1'), this.value(depth + 1));
    this.#offset += 1;
    return entries;
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
    const end = this.#bytes.indexOf(mark, this.#offset, 'latin1');
    const text = end === -1 ? '' : this.#bytes.toString('latin1', this.#offset, end);
    if (!/^(?:0|-?[1-9]\d{0,15})$/.test(text)) throw new SyntaxError('bencoded number is malformed');
    this.#offset = end + 1;
    return Number(text);
  }
}
