import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeTorrent, PieceHasher } from '../../../src/torrent/make-torrent.ts';
import { encodeMetainfo, withPrivacy } from '../../../src/torrent/metainfo.ts';
import { torrentPieceSize } from '../../../src/torrent/piece-size.ts';
import { infoOf, memoryFile } from './metainfo-fixtures.ts';

function sha1(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

describe('a torrent that is made', () => {
  test('has the hash of every piece, also of one that spans files', async () => {
    const a = Buffer.alloc(300_000, 'a');
    const b = Buffer.alloc(400_000, 'b');
    const files = [memoryFile(['a'], a), memoryFile(['x', 'b'], b, 7777)];
    const info = await makeTorrent({ name: 'both', files, isSingleFile: false });
    const whole = Buffer.concat([a, b]);
    const expected = [0, 1, 2].map((piece) => sha1(whole.subarray(piece * 262_144, (piece + 1) * 262_144)));
    expect(info.pieceHashes.toString('hex')).toBe(expected.join(''));
    expect(info).toMatchObject({ name: 'both', sizeBytes: 700_000, pieceSizeBytes: 262_144, isPrivate: false });
  });

  test('is the same to the byte, however its content came, and has nothing of its time in it', async () => {
    const bytes = Buffer.alloc(1_000_000, 'same');
    const one = await makeTorrent({ name: 'n', files: [memoryFile(['n'], bytes, 1)], isSingleFile: true });
    const two = await infoOf('n', bytes);
    const parts = { trackerTiers: [['http://t.example/announce']], webSeeds: [], comment: undefined };
    expect(encodeMetainfo({ info: one, ...parts })).toEqual(encodeMetainfo({ info: two, ...parts }));
    // Written down: a change here sends the nodes of two versions to two swarms.
    expect(two.infoHash).toBe('d12cfabd2c07d0ad8e63c87728f6af2454cfecaf');
  });

  test('for peers of its trackers alone is another swarm', async () => {
    const info = await infoOf('n', Buffer.alloc(1000));
    const closed = withPrivacy(info, true);
    expect(closed.bytes.toString('latin1')).toContain('7:privatei1e');
    expect(closed.infoHash).not.toBe(info.infoHash);
    expect(withPrivacy(closed, false)).toEqual(info);
  });

  test('is refused when it has no bytes, or unsafe names', async () => {
    await expect(infoOf('n', Buffer.alloc(0))).rejects.toMatchObject({ code: 'ERR_METAINFO_EMPTY' });
    await expect(infoOf('..', Buffer.alloc(1))).rejects.toMatchObject({ code: 'ERR_METAINFO_UNSAFE' });
  });

  test('is not made of a file that changed meanwhile', async () => {
    const file = { ...memoryFile(['n'], Buffer.alloc(10)), sizeBytes: 11 };
    await expect(makeTorrent({ name: 'n', files: [file], isSingleFile: true })).rejects.toMatchObject({
      code: 'ERR_TORRENT_FAILED',
    });
  });

  test('ends when it is aborted', async () => {
    const abort = new AbortController();
    const making = makeTorrent(
      { name: 'n', files: [memoryFile(['n'], Buffer.alloc(10), 1)], isSingleFile: true },
      { signal: abort.signal, onHashed: () => abort.abort() },
    );
    await expect(making).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('the hashes of pieces', () => {
  test('do not depend on how the bytes came', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 30 }),
        (chunks, size) => {
          const inChunks = new PieceHasher(size);
          for (const chunk of chunks) inChunks.update(chunk);
          const whole = Buffer.concat(chunks);
          const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, piece) =>
            sha1(whole.subarray(piece * size, (piece + 1) * size)),
          );
          expect(inChunks.finish().toString('hex')).toBe(pieces.join(''));
        },
      ),
    );
  });
});

describe('the size of pieces', () => {
  test('grows with the content, within its limits', () => {
    const gib = 1024 ** 3;
    expect([1, gib / 4, gib, 10 * gib, 1000 * gib].map((bytes) => torrentPieceSize(bytes) / 1024)).toEqual([
      256, 256, 512, 8192, 16_384,
    ]);
  });
});
