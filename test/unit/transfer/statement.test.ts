import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import { generateIdentity, verifyPeerSignature } from '../../../src/swarm/identity.ts';
import { PieceMap } from '../../../src/transfer/piece-map.ts';
import {
  decodeStatement,
  encodeStatement,
  fitsGeometry,
  isAuthentic,
  makeStatement,
  makeStatements,
  statementCount,
} from '../../../src/transfer/statement.ts';

const [author, other] = [generateIdentity(), generateIdentity()];
const digest = digestOf(Buffer.from('blob'));
const SIZE = 10 * 65_536;
const geometry = pieceGeometry(SIZE);

function hashesOf(count: number, seed = 1): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => Buffer.alloc(32, seed * 16 + index)));
}

test('a statement comes over the wire as it was made, and is authentic', () => {
  const made = makeStatement(author, { digest, sizeBytes: SIZE }, 3, hashesOf(4));
  const read = decodeStatement(encodeStatement(9, made));
  expect(read).toEqual(made);
  expect(isAuthentic(read, digest, verifyPeerSignature)).toBe(true);
  expect(statementCount(read)).toBe(4);
});

test('the signature covers blob, size, place, hashes and author', () => {
  const made = makeStatement(author, { digest, sizeBytes: SIZE }, 3, hashesOf(4));
  const tampered = [
    { ...made, sizeBytes: SIZE + 1 },
    { ...made, first: 4 },
    { ...made, hashes: hashesOf(4, 2) },
    { ...made, hashes: made.hashes.subarray(0, 96) },
    { ...made, author: other.peerId },
    { ...made, author: 'nobody' },
    { ...made, signature: Buffer.alloc(64) },
  ];
  for (const statement of tampered) expect(isAuthentic(statement, digest, verifyPeerSignature)).toBe(false);
  expect(isAuthentic(made, digestOf(Buffer.from('another')), verifyPeerSignature)).toBe(false);
});

test('any flipped bit on the wire is noticed', () => {
  const bytes = encodeStatement(9, makeStatement(author, { digest, sizeBytes: SIZE }, 3, hashesOf(2)));
  fc.assert(
    fc.property(fc.integer({ min: 4, max: bytes.length - 1 }), fc.nat({ max: 7 }), (at, bit) => {
      const copy = Buffer.from(bytes);
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << bit), at);
      try {
        expect(isAuthentic(decodeStatement(copy), digest, verifyPeerSignature)).toBe(false);
      } catch (error) {
        if (!isDockyardError(error, 'ERR_LINK_PROTOCOL')) throw error;
      }
    }),
  );
});

test('garbage is no statement', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        expect(isAuthentic(decodeStatement(Buffer.from(bytes)), digest, verifyPeerSignature)).toBe(false);
      } catch (error) {
        expect(isDockyardError(error, 'ERR_LINK_PROTOCOL')).toBe(true);
      }
    }),
  );
});

test('the hashes of a very large blob are cut into statements that fit their frames', () => {
  const hashes = Buffer.alloc(70_000 * 32);
  const statements = makeStatements(author, { digest, sizeBytes: 70_000 * 2 ** 20 }, hashes);
  expect(statements.map((statement) => [statement.first, statementCount(statement)])).toEqual([
    [0, 32_768],
    [32_768, 32_768],
    [65_536, 4464],
  ]);
  expect(makeStatements(author, { digest, sizeBytes: 0 }, Buffer.alloc(0))).toEqual([]);
});

test('a statement fits the geometry of its own size alone', () => {
  const blob = { digest, sizeBytes: SIZE };
  expect(fitsGeometry(makeStatement(author, blob, 6, hashesOf(4)), geometry)).toBe(true);
  expect(fitsGeometry(makeStatement(author, blob, 7, hashesOf(4)), geometry)).toBe(false);
  expect(fitsGeometry(makeStatement(author, { digest, sizeBytes: 1 }, 0, hashesOf(1)), geometry)).toBe(false);
});

test('a piece map believes the first word on a piece and keeps what is new of the second', () => {
  const map = new PieceMap(geometry);
  const first = makeStatement(author, { digest, sizeBytes: SIZE }, 0, hashesOf(4, 1));
  const second = makeStatement(other, { digest, sizeBytes: SIZE }, 2, hashesOf(4, 2));
  expect(map.isNews(first)).toBe(true);
  expect(map.add(first)).toEqual([0, 1, 2, 3]);
  expect([map.isNews(first), map.contradicts(first)]).toEqual([false, false]);
  expect([map.isNews(second), map.contradicts(second)]).toEqual([true, true]);
  expect(map.add(second)).toEqual([4, 5]);
  expect(map.hash(3)?.equals(first.hashes.subarray(96, 128))).toBe(true);
  expect(map.hash(5)?.equals(second.hashes.subarray(96, 128))).toBe(true);
  expect(map.hash(6)).toBeUndefined();
  expect([...map.authors]).toEqual([author.peerId, other.peerId]);
});

test('a piece map that begins anew does not listen to those who were false, and after two times to nobody', () => {
  const map = new PieceMap(geometry);
  const by = (identity: typeof author) => makeStatement(identity, { digest, sizeBytes: SIZE }, 0, hashesOf(2));
  map.add(by(author));
  map.restart([author.peerId]);
  expect([map.hash(0), map.statements.length]).toEqual([undefined, 0]);
  expect([map.isNews(by(author)), map.isNews(by(other))]).toEqual([false, true]);
  map.restart([]);
  expect(map.isNews(by(other))).toBe(false);
  // This node's own word still counts.
  expect(map.add(by(other))).toEqual([0, 1]);
});

test('verified, a map holds the statements of one author', () => {
  const map = new PieceMap(geometry);
  map.add(makeStatement(other, { digest, sizeBytes: SIZE }, 0, hashesOf(10, 3)));
  const own = makeStatements(author, { digest, sizeBytes: SIZE }, hashesOf(10, 1));
  map.replaceAll(own);
  expect([...map.authors]).toEqual([author.peerId]);
  expect(map.hash(9)?.equals(hashesOf(10, 1).subarray(288))).toBe(true);
});
