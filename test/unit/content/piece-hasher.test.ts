import { expect, test } from 'vitest';
import { PieceHasher } from '../../../src/content/piece-hasher.ts';
import { allHashes, blobOf, seededBytes } from '../../contract/blob-store-fixtures.ts';

const KIB = 1024;
const MIB = KIB * KIB;
const source = seededBytes(129 * MIB, 7);

/** Adds bytes in chunks that fit no piece. */
function hashInChunks(bytes: Buffer, chunkBytes: number): Buffer {
  const hasher = new PieceHasher();
  for (let at = 0; at < bytes.length; at += chunkBytes) hasher.update(bytes.subarray(at, at + chunkBytes));
  return hasher.finish();
}

test.each([0, 1, 64 * KIB, 64 * KIB + 1, 3 * MIB + 5, 64 * MIB, 64 * MIB + 1, 128 * MIB, 128 * MIB + 1])(
  'the piece hashes of %i bytes are those of the blob that they turn out to be',
  (sizeBytes) => {
    const bytes = source.subarray(0, sizeBytes);
    const chunkBytes = sizeBytes > MIB ? 777_777 : 1000;
    expect(hashInChunks(bytes, chunkBytes).equals(allHashes(blobOf(bytes)))).toBe(true);
  },
);

test('nothing is answered twice', () => {
  const hasher = new PieceHasher();
  hasher.update(Buffer.from('a'));
  hasher.finish();
  expect(() => hasher.finish()).toThrow(TypeError);
});
