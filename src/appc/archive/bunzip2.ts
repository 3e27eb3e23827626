/** bzip2, decoded as a stream with bounded memory: a window of the compressed bytes and one block. */
import { BitReader } from './bit-reader.ts';
import { BadBlock, BlockDecoder } from './bzip2-block.ts';

/**
 * No block of the format is longer: a code of 20 bits for each of 900,000 symbols, and some kibibytes for its tables. One that
 * claims more is taken for cut off.
 */
const MAX_BLOCK_BYTES = 2_500_000;

const BLOCK_MARK = [0x314159, 0x265359];
const END_MARK = [0x177245, 0x385090];

/**
 * The bytes that a bzip2 stream stands for; several streams one after the other are one, as for bzip2 itself.
 * @throws {BadBlock} or OutOfBits when the stream is damaged, a checksum does not match, or something else follows
 */
export async function* bunzip2(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const bits = new BitReader(source);
  let isFirst = true;
  while ((await bits.fill(4)) || isFirst) {
    isFirst = false;
    yield* readStream(bits);
  }
}

async function* readStream(bits: BitReader): AsyncGenerator<Uint8Array> {
  const level = bits.read(24) === 0x425a68 ? bits.read(8) - 0x30 : 0;
  if (level < 1 || level > 9) throw new BadBlock('this is no bzip2 stream');
  const decoder = new BlockDecoder(level * 100_000);
  let streamChecksum = 0;
  for (;;) {
    await bits.fill(MAX_BLOCK_BYTES);
    const mark = [bits.read(24), bits.read(24)];
    const stated = bits.readWord();
    if (isSame(mark, END_MARK)) {
      if (stated !== streamChecksum) throw new BadBlock('the checksum of the stream does not match');
      bits.align();
      return;
    }
    if (!isSame(mark, BLOCK_MARK)) throw new BadBlock('a block does not begin where it should');
    decoder.read(bits);
    let checksum = 0xffffffff;
    for (const chunk of decoder.output()) {
      checksum = addToChecksum(checksum, chunk);
      yield chunk;
    }
    checksum = ~checksum >>> 0;
    if (checksum !== stated) throw new BadBlock('the checksum of a block does not match');
    streamChecksum = (((streamChecksum << 1) | (streamChecksum >>> 31)) ^ checksum) >>> 0;
  }
}

function isSame(mark: readonly number[], other: readonly number[]): boolean {
  return mark[0] === other[0] && mark[1] === other[1];
}

/** CRC-32 as of Ethernet, its highest bit first. */
const CHECKSUM_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 0x80000000) === 0 ? value << 1 : (value << 1) ^ 0x04c11db7;
  return value >>> 0;
});

function addToChecksum(checksum: number, bytes: Uint8Array): number {
  let value = checksum;
  for (let at = 0; at < bytes.length; at += 1)
    value = (value << 8) ^ (CHECKSUM_TABLE[((value >>> 24) ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  return value >>> 0;
}
