import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import * as wire from '../../../src/transfer/wire.ts';

const u32 = fc.nat({ max: 0xffff_ffff });
const digest = digestOf(Buffer.from('blob'));
const PROTOCOL = expect.objectContaining({ code: 'ERR_LINK_PROTOCOL' }) as Error;

describe('a frame of a channel', () => {
  test('to join says all it was told to say', () => {
    const size = fc.option(fc.nat({ max: 50_000_000 }), { nil: undefined });
    fc.assert(
      fc.property(u32, size, fc.boolean(), fc.boolean(), (channel, sizeBytes, isComplete, hasBits) => {
        const bits = sizeBytes === undefined ? 0 : Math.ceil(pieceGeometry(sizeBytes).pieceCount / 8);
        const complete = isComplete && sizeBytes !== undefined;
        const bitfield = hasBits && bits > 0 && !complete ? Buffer.alloc(bits, 0xa5) : undefined;
        const join = { digest, sizeBytes, complete, bitfield };
        expect(wire.decodeJoin(wire.encodeJoin(channel, join))).toEqual({ channel, join });
      }),
    );
  });

  test.each([
    ['a size that is none', { sizeBytes: -1 }],
    ['half a byte', { sizeBytes: 1.5 }],
    ['more than any blob has', { sizeBytes: wire.MAX_BLOB_BYTES + 1 }],
    ['a digest that is none', { digest: 'sha256:zz' }],
  ])('to join with %s is refused', (_what, change) => {
    const json = Buffer.from(JSON.stringify({ digest, sizeBytes: 10, complete: false, ...change }));
    const head = Buffer.alloc(8);
    head.writeUInt32BE(json.length, 4);
    expect(() => wire.decodeJoin(Buffer.concat([head, json]))).toThrow(PROTOCOL);
  });

  test('to join with pieces of a blob without a size, or too many, is refused', () => {
    const unsized = wire.encodeJoin(1, { digest, sizeBytes: undefined, complete: false, bitfield: Buffer.alloc(1) });
    expect(() => wire.decodeJoin(unsized)).toThrow(PROTOCOL);
    const large = wire.encodeJoin(1, { digest, sizeBytes: 65_536 * 9, complete: false, bitfield: Buffer.alloc(3) });
    expect(() => wire.decodeJoin(large)).toThrow(PROTOCOL);
  });

  test('with runs or pieces keeps them', () => {
    const runs = fc.array(fc.record({ start: u32, count: u32 }), { maxLength: 20 });
    fc.assert(
      fc.property(u32, runs, fc.array(u32, { maxLength: 20 }), (channel, given, pieces) => {
        expect(wire.decodeRuns(wire.encodeRuns(channel, given))).toEqual(given);
        expect(wire.decodePieces(wire.encodePieces(channel, pieces))).toEqual(pieces);
        expect(wire.decodeRefuse(wire.encodeRefuse(channel, 2, pieces))).toEqual({ reason: 2, pieces });
        expect(wire.decodeChannel(wire.encodePieces(channel, pieces))).toBe(channel);
      }),
    );
  });

  test('to leave says why, and a reason from the future counts as failure', () => {
    expect(wire.decodeLeave(wire.encodeLeave(7, 'absent'))).toEqual({ channel: 7, reason: 'absent' });
    const strange = Buffer.concat([wire.encodeChannel(7), Buffer.from('{"reason":"bored"}')]);
    expect(wire.decodeLeave(strange)).toEqual({ channel: 7, reason: 'failed' });
  });

  test('of garbage is either read or refused', () => {
    const decoders = [
      wire.decodeJoin,
      wire.decodeLeave,
      wire.decodeRuns,
      wire.decodePieces,
      wire.decodeRefuse,
      wire.decodeChannel,
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...decoders), (bytes, decode) => {
        try {
          decode(Buffer.from(bytes));
        } catch (error) {
          expect(isDockyardError(error, 'ERR_LINK_PROTOCOL')).toBe(true);
        }
      }),
    );
  });

  test('with more entries than any node sends is refused', () => {
    expect(() => wire.decodePieces(Buffer.alloc(4 * 65_537))).toThrow(PROTOCOL);
    expect(() => wire.decodeRuns(Buffer.alloc(4 + 8 * 65_536))).toThrow(PROTOCOL);
  });
});

describe('runs', () => {
  test('stand for the pieces they were made of', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 200 })), (pieces) => {
        const sorted = pieces.toSorted((a, b) => a - b);
        expect([...wire.piecesOf(wire.toRuns(sorted), 201)]).toEqual(sorted);
      }),
    );
  });

  test.each([
    ['beyond the end', [{ start: 9, count: 2 }]],
    ['of more pieces than there are', [{ start: 0, count: 0xffff_ffff }]],
    ['that overlap without end', Array.from({ length: 1000 }, () => ({ start: 0, count: 10 }))],
  ])('%s are refused', (_what, runs) => {
    expect(() => [...wire.piecesOf(runs, 10)]).toThrow(PROTOCOL);
  });
});

test('who else takes part is told by peer ids, of which nonsense is left out', () => {
  const payload = wire.encodeOthers(7, ['a', 'b']);
  expect([wire.decodeChannel(payload), wire.decodeOthers(payload)]).toEqual([7, ['a', 'b']]);
  const odd = Buffer.concat([
    payload.subarray(0, 4),
    Buffer.from(JSON.stringify({ peerIds: [1, 'c', 'x'.repeat(200)] })),
  ]);
  expect(wire.decodeOthers(odd)).toEqual(['c']);
  for (const bad of ['', '{', '[]', '{"peerIds":1}']) {
    expect(() => wire.decodeOthers(Buffer.concat([payload.subarray(0, 4), Buffer.from(bad)]))).toThrow(/others/);
  }
});
