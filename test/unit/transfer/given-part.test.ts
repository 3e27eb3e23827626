import { hash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { GivenPartCheck } from '../../../src/transfer/given-part.ts';
import { flipped } from '../../cluster/net.ts';

const PIECE = 64 * 1024;
const blob = randomBytes(5 * PIECE + 100);
const geometry = pieceGeometry(blob.length);
const hashes = Array.from({ length: geometry.pieceCount }, (_, piece) =>
  hash('sha256', blob.subarray(piece * PIECE, (piece + 1) * PIECE), 'buffer'),
);

/** Shows the bytes from piece `first` on, in chunks of these sizes again and again. */
function show(bytes: Buffer, first: number, endPiece: number, sizes: readonly number[]): void {
  const given = { end: Math.min(endPiece * PIECE, blob.length), hashOf: (piece: number) => hashes[piece] };
  const check = new GivenPartCheck(digestOf(blob), given, geometry, first * PIECE);
  let at = first * PIECE;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    check.push(bytes.subarray(at, at + size));
    at += size;
  }
}

const chunkSizes = fc.array(fc.integer({ min: 1, max: 3 * PIECE }), { minLength: 1, maxLength: 8 });
const part = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 6 })).filter(([a, b]) => a < b);

test('the same bytes are accepted, in whatever chunks they come', () => {
  fc.assert(fc.property(part, chunkSizes, ([first, end], sizes) => show(blob, first, end, sizes)));
});

test('another byte within the part is refused, one behind it is not looked at', () => {
  fc.assert(
    fc.property(part, chunkSizes, fc.nat({ max: blob.length - 1 }), ([first, end], sizes, at) => {
      const isWithin = at >= first * PIECE && at < Math.min(end * PIECE, blob.length);
      const showing = (): void => show(flipped(blob, at), first, end, sizes);
      if (isWithin) expect(showing).toThrow(expect.objectContaining({ code: 'ERR_TRANSFER_CORRUPT' }));
      else showing();
    }),
  );
});

test('what was given with a hash that is not known cannot be vouched for', () => {
  const check = new GivenPartCheck(digestOf(blob), { end: PIECE, hashOf: () => undefined }, geometry, 0);
  expect(() => check.push(blob)).toThrow(expect.objectContaining({ code: 'ERR_TRANSFER_CORRUPT' }));
});
