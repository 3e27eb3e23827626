import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bunzip2 } from '../../../../src/appc/archive/bunzip2.ts';
import { chunksOf, packed } from '../../../support/aci-builder.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

async function unpacked(file: Uint8Array, chunkBytes?: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of bunzip2(chunksOf(file, chunkBytes))) parts.push(part);
  return Buffer.concat(parts);
}

const random = seededRandom(20_26);

function randomBytes(length: number, alphabet: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * alphabet)));
}

describe('what bzip2 packed is unpacked', () => {
  test.each<[string, Uint8Array]>([
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from('x')],
    ['all bytes', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
    ['noise', randomBytes(300_000, 256)],
    ['two letters', randomBytes(300_000, 2)],
    ['a long run', Buffer.alloc(3_000_000, 'a')],
    [
      'runs about the length of a run code',
      Buffer.concat([3, 4, 5, 254, 255, 256, 259, 260].map((n) => Buffer.alloc(n, n))),
    ],
    ['words', Buffer.from('the quick brown fox jumps over the lazy dog. '.repeat(30_000))],
  ])('%s', async (_, bytes) => {
    for (const level of [1, 9]) expect(await unpacked(packed(bytes, 'bzip2', level))).toEqual(bytes);
  });

  test('in chunks of any size, and of several streams one after the other', async () => {
    const bytes = randomBytes(5000, 9);
    const file = packed(bytes, 'bzip2');
    for (const chunkBytes of [1, 3, 1000]) {
      expect(await unpacked(Buffer.concat([file, file]), chunkBytes)).toEqual(Buffer.concat([bytes, bytes]));
    }
  });
});

describe('what is damaged is refused', () => {
  const file = packed(randomBytes(4000, 20), 'bzip2');

  test('wherever one bit is wrong', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: file.length * 8 - 1 }), async (bit) => {
        const damaged = Buffer.from(file);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
        const outcome = await unpacked(damaged).then(
          () => 'accepted',
          (error: unknown) => (error as Error).name,
        );
        // The last bits only fill a byte, and the size of blocks may be larger than it need be.
        const isHarmless = bit >= file.length * 8 - 7 || (bit >= 24 && bit < 32);
        if (!isHarmless) expect(['BadBlock', 'OutOfBits']).toContain(outcome);
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  test('wherever it is cut off', async () => {
    for (let end = 0; end < file.length; end += 41) await expect(unpacked(file.subarray(0, end))).rejects.toThrow();
  });

  test('whatever the noise after its first bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (noise) => {
        const noisy = Buffer.concat([Buffer.from('BZh9'), Buffer.from('314159265359', 'hex'), noise]);
        await expect(unpacked(noisy)).rejects.toThrow();
      }),
      { numRuns: 300, seed: 8 },
    );
  });
});
