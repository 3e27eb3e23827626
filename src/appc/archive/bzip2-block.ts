/**
 * One block of bzip2: Huffman codes, move to front, run lengths of zeros, and the Burrows-Wheeler transform. Limits are
 * checked at every step; a block of 900,000 symbols can stand for 46 MB, which is given out in small chunks.
 * @see the source of bzip2 1.0.8, decompress.c; "bzip2 Format Specification", J. Tsai, 2016
 */
import type { BitReader } from './bit-reader.ts';

/** A block breaks the rules of its format. */
export class BadBlock extends Error {
  override readonly name = 'BadBlock';
}

const GROUP_SYMBOLS = 50;
const MAX_CODE_BITS = 20;
const MAX_GROUPS = 6;
const FAST_BITS = 10;
const OUTPUT_BYTES = 64 * 1024;

/** Memory for blocks, used again for each. */
export class BlockDecoder {
  /** Low byte: a symbol; the rest: where the one after it stands. */
  readonly #transform: Uint32Array;
  readonly #symbols = new Uint8Array(256);
  readonly #counts = new Uint32Array(256);
  #length = 0;
  #origin = 0;

  /** @param blockSize symbols that a block may have: 100,000 to 900,000 */
  constructor(blockSize: number) {
    this.#transform = new Uint32Array(blockSize);
  }

  /** Reads a block, after its mark and its checksum. @throws {BadBlock} or OutOfBits */
  read(bits: BitReader): void {
    if (bits.read(1) !== 0) throw new BadBlock('a block is randomised, as no program since 1998 makes it');
    this.#origin = bits.read(24);
    const used = readUsedBytes(bits);
    const groupCount = bits.read(3);
    if (groupCount < 2 || groupCount > MAX_GROUPS) throw new BadBlock('a block has no proper number of code tables');
    const selectors = readSelectors(bits, groupCount);
    const tables = Array.from({ length: groupCount }, () => new CodeTable(readCodeLengths(bits, used.length + 2)));
    this.#readSymbols(bits, used, selectors, tables);
    if (this.#origin >= this.#length) throw new BadBlock('a block begins outside of itself');
    this.#linkSymbols();
  }

  /** The bytes of the block that was read; this loop and the two below take most of the time. */
  *output(): Generator<Uint8Array> {
    const transform = this.#transform;
    let chunk = new Uint8Array(OUTPUT_BYTES);
    let filled = 0;
    let run = 0;
    let previous = -1;
    let link = transform[this.#origin] ?? 0;
    for (let left = this.#length; left > 0; left -= 1) {
      link = transform[link >>> 8] ?? 0;
      const byte = link & 0xff;
      if (filled > OUTPUT_BYTES - 256) {
        yield chunk.subarray(0, filled);
        chunk = new Uint8Array(OUTPUT_BYTES);
        filled = 0;
      }
      if (run < 4) {
        run = byte === previous ? run + 1 : 1;
        previous = byte;
        chunk[filled] = byte;
        filled += 1;
      } else {
        // After four equal bytes comes the number of further ones.
        chunk.fill(previous, filled, filled + byte);
        filled += byte;
        run = 0;
        previous = -1;
      }
    }
    if (filled > 0) yield chunk.subarray(0, filled);
  }

  #readSymbols(bits: BitReader, used: readonly number[], selectors: Uint8Array, tables: readonly CodeTable[]): void {
    const front = this.#symbols;
    front.set(used);
    const counts = this.#counts.fill(0);
    const transform = this.#transform;
    const endSymbol = used.length + 1;
    let length = 0;
    let run = 0;
    let runBit = 1;
    for (const selector of selectors) {
      const table = tables[selector];
      if (table === undefined) break;
      for (let nth = 0; nth < GROUP_SYMBOLS; nth += 1) {
        const symbol = table.read(bits);
        if (symbol <= 1) {
          run += runBit << symbol;
          runBit <<= 1;
          if (run > transform.length) throw tooLong();
          continue;
        }
        if (run > 0) {
          const byte = front[0] ?? 0;
          if (length + run > transform.length) throw tooLong();
          transform.fill(byte, length, length + run);
          counts[byte] = (counts[byte] ?? 0) + run;
          length += run;
          run = 0;
          runBit = 1;
        }
        if (symbol === endSymbol) {
          this.#length = length;
          return;
        }
        const byte = toFront(front, symbol - 1);
        if (length >= transform.length) throw tooLong();
        transform[length] = byte;
        counts[byte] = (counts[byte] ?? 0) + 1;
        length += 1;
      }
    }
    throw new BadBlock('a block has more symbols than code tables for them');
  }

  #linkSymbols(): void {
    const transform = this.#transform;
    const next = new Uint32Array(256);
    for (let byte = 0, sum = 0; byte < 256; byte += 1) {
      next[byte] = sum;
      sum += this.#counts[byte] ?? 0;
    }
    for (let at = 0; at < this.#length; at += 1) {
      const byte = (transform[at] ?? 0) & 0xff;
      const place = next[byte] ?? 0;
      next[byte] = place + 1;
      transform[place] = (transform[place] ?? 0) | (at << 8);
    }
  }
}

/** Takes a byte from its place to the front; most are near it, where a loop is faster than a call. */
function toFront(front: Uint8Array, index: number): number {
  const byte = front[index] ?? 0;
  if (index > 32) front.copyWithin(1, 0, index);
  else for (let at = index; at > 0; at -= 1) front[at] = front[at - 1] ?? 0;
  front[0] = byte;
  return byte;
}

function tooLong(): Error {
  return new BadBlock('a block is longer than its stream allows');
}

/** The bytes that occur in a block, in their order. */
function readUsedBytes(bits: BitReader): number[] {
  const rows = bits.read(16);
  const used: number[] = [];
  for (let row = 0; row < 16; row += 1) {
    if ((rows & (0x8000 >> row)) === 0) continue;
    const columns = bits.read(16);
    for (let column = 0; column < 16; column += 1) {
      if ((columns & (0x8000 >> column)) !== 0) used.push(row * 16 + column);
    }
  }
  if (used.length === 0) throw new BadBlock('a block has no bytes');
  return used;
}

/** Which code table holds for each group of symbols. */
function readSelectors(bits: BitReader, groupCount: number): Uint8Array {
  const selectors = new Uint8Array(bits.read(15));
  if (selectors.length === 0) throw new BadBlock('a block has no code tables');
  const front = Uint8Array.from({ length: groupCount }, (_, index) => index);
  for (let at = 0; at < selectors.length; at += 1) {
    let index = 0;
    while (bits.read(1) === 1) {
      index += 1;
      if (index >= groupCount) throw new BadBlock('a block names a code table that it has not');
    }
    const table = front[index] ?? 0;
    front.copyWithin(1, 0, index);
    front[0] = table;
    selectors[at] = table;
  }
  return selectors;
}

function readCodeLengths(bits: BitReader, symbolCount: number): Uint8Array {
  const lengths = new Uint8Array(symbolCount);
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbolCount; symbol += 1) {
    for (;;) {
      if (length < 1 || length > MAX_CODE_BITS) throw new BadBlock('a block has a code of no proper length');
      if (bits.read(1) === 0) break;
      length += bits.read(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  return lengths;
}

/** Canonical Huffman codes: short ones are looked up, long ones compared length by length. */
class CodeTable {
  /** By the next FAST_BITS bits: symbol × 32 + length of its code; 0 where the code is longer, or is none. */
  readonly #fast = new Uint16Array(1 << FAST_BITS);
  readonly #firstCode = new Int32Array(MAX_CODE_BITS + 2);
  readonly #firstIndex = new Int32Array(MAX_CODE_BITS + 2);
  readonly #counts = new Int32Array(MAX_CODE_BITS + 2);
  readonly #sorted: Uint16Array;

  constructor(lengths: Uint8Array) {
    for (const length of lengths) this.#counts[length] = (this.#counts[length] ?? 0) + 1;
    this.#sorted = Uint16Array.from(lengths.keys()).sort((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0) || a - b);
    let code = 0;
    let index = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length += 1) {
      code <<= 1;
      this.#firstCode[length] = code;
      this.#firstIndex[length] = index;
      const count = this.#counts[length] ?? 0;
      if (length <= FAST_BITS) this.#fillFast(length, code, index, count);
      code += count;
      index += count;
    }
  }

  /** The next symbol. @throws {BadBlock} or OutOfBits */
  read(bits: BitReader): number {
    const entry = this.#fast[bits.peek(FAST_BITS)] ?? 0;
    if (entry !== 0) {
      bits.skip(entry & 31);
      return entry >>> 5;
    }
    const window = bits.peek(MAX_CODE_BITS);
    for (let length = 1; length <= MAX_CODE_BITS; length += 1) {
      const offset = (window >>> (MAX_CODE_BITS - length)) - (this.#firstCode[length] ?? 0);
      if (offset < 0 || offset >= (this.#counts[length] ?? 0)) continue;
      bits.skip(length);
      return this.#sorted[(this.#firstIndex[length] ?? 0) + offset] ?? 0;
    }
    throw new BadBlock('a block has a code that stands for nothing');
  }

  #fillFast(length: number, firstCode: number, firstIndex: number, count: number): void {
    const shift = FAST_BITS - length;
    for (let nth = 0; nth < count; nth += 1) {
      const entry = ((this.#sorted[firstIndex + nth] ?? 0) << 5) | length;
      const start = (firstCode + nth) << shift;
      // Lengths that claim more codes than there are would run over the end; `fill` stops there.
      this.#fast.fill(entry, start, start + (1 << shift));
    }
  }
}
