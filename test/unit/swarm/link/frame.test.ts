import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../../src/oci/error.ts';
import {
  encodeChunkHeader,
  encodeFrame,
  FRAME,
  FrameDecoder,
  MAX_CHUNK_BYTES,
  MAX_FRAME_BYTES,
  PIECE_HEADER_BYTES,
  type FrameType,
} from '../../../../src/swarm/link/frame.ts';

type Seen =
  | { kind: 'frame'; type: number; payload: string }
  | { kind: 'chunk'; channel: number; piece: number; offset: number; bytes: string };

/** A decoder that writes down what it delivers. Chunks of odd channels are thrown away. */
function recorder(maxFrameBytes?: number): { decoder: FrameDecoder; seen: Seen[] } {
  const seen: Seen[] = [];
  let target = Buffer.alloc(0);
  const decoder = new FrameDecoder(
    {
      onFrame: (type, payload) => seen.push({ kind: 'frame', type, payload: payload.toString('hex') }),
      onChunk: (channel, _piece, _offset, length) => {
        if (channel % 2 === 1) return undefined;
        target = Buffer.alloc(length);
        return target;
      },
      onChunkEnd: (channel, piece, offset) =>
        seen.push({ kind: 'chunk', channel, piece, offset, bytes: target.toString('hex') }),
    },
    maxFrameBytes,
  );
  return { decoder, seen };
}

const u32 = fc.nat({ max: 0xffff_ffff });
const smallFrame = fc.record({
  kind: fc.constant('frame' as const),
  type: fc.constantFrom(FRAME.request, FRAME.reply, FRAME.have, FRAME.join, FRAME.ping),
  payload: fc.uint8Array({ maxLength: 40 }),
});
const chunk = fc.record({
  kind: fc.constant('chunk' as const),
  channel: u32,
  piece: u32,
  offset: u32,
  bytes: fc.uint8Array({ minLength: 1, maxLength: 60 }),
});

type Item =
  | { kind: 'frame'; type: FrameType; payload: Uint8Array }
  | { kind: 'chunk'; channel: number; piece: number; offset: number; bytes: Uint8Array };

function encode(item: Item): Buffer {
  if (item.kind === 'frame') return encodeFrame(item.type, item.payload);
  const header = encodeChunkHeader(item.channel, item.piece, item.offset, item.bytes.length);
  return Buffer.concat([header, item.bytes]);
}

/** Pushes `bytes` in parts that end where `cuts` say. */
function pushInParts(decoder: FrameDecoder, bytes: Buffer, cuts: readonly number[]): void {
  let at = 0;
  for (const cut of cuts.map((share) => Math.floor(share * bytes.length)).toSorted((a, b) => a - b)) {
    decoder.push(bytes.subarray(at, cut));
    at = cut;
  }
  decoder.push(bytes.subarray(at));
}

function header(length: number, type: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(type, 4);
  return bytes;
}

describe('a frame decoder', () => {
  test('finds the same frames however the stream is cut', () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(fc.oneof(smallFrame, chunk), { maxLength: 12 }), cuts, (items, shares) => {
        const bytes = Buffer.concat(items.map((item) => encode(item)));
        const { decoder, seen } = recorder();
        pushInParts(decoder, bytes, shares);
        const expected = items.flatMap((item): Seen[] => {
          if (item.kind === 'frame') return [{ ...item, payload: Buffer.from(item.payload).toString('hex') }];
          return item.channel % 2 === 1 ? [] : [{ ...item, bytes: Buffer.from(item.bytes).toString('hex') }];
        });
        expect(seen).toEqual(expected);
      }),
    );
  });

  test('delivers frames byte by byte', () => {
    const { decoder, seen } = recorder();
    const bytes = Buffer.concat([
      encodeFrame(FRAME.ping, Buffer.alloc(0)),
      encodeChunkHeader(2, 3, 4, 2),
      Buffer.from('ok'),
      encodeFrame(FRAME.request, Buffer.from('q')),
    ]);
    for (const byte of bytes) decoder.push(Buffer.from([byte]));
    expect(seen.map((item) => item.kind)).toEqual(['frame', 'chunk', 'frame']);
  });

  test('refuses a frame that announces more than the limit, before any memory is set aside', () => {
    const { decoder } = recorder();
    expect(() => decoder.push(header(MAX_FRAME_BYTES + 1, FRAME.reply))).toThrow(/out of bounds/);
    const strict = recorder(2048).decoder;
    expect(() => strict.push(header(2049, FRAME.hello))).toThrow(/out of bounds/);
    strict.allowFrameBytes(MAX_FRAME_BYTES);
  });

  test.each([0, PIECE_HEADER_BYTES - 1, PIECE_HEADER_BYTES, PIECE_HEADER_BYTES + MAX_CHUNK_BYTES + 1, 0xffff_ffff])(
    'refuses a chunk whose length is %i',
    (length) => {
      const { decoder, seen } = recorder();
      expect(() => decoder.push(header(length, FRAME.piece))).toThrow(/out of bounds/);
      expect(seen).toEqual([]);
    },
  );

  test('takes the largest chunk', () => {
    const { decoder, seen } = recorder();
    const bytes = Buffer.alloc(MAX_CHUNK_BYTES, 7);
    decoder.push(Buffer.concat([encodeChunkHeader(8, 1, 0, bytes.length), bytes]));
    expect(seen).toEqual([{ kind: 'chunk', channel: 8, piece: 1, offset: 0, bytes: bytes.toString('hex') }]);
  });

  test('on garbage either goes on in bounded memory or ends with a protocol error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (garbage) => {
        const { decoder } = recorder(4096);
        try {
          decoder.push(Buffer.from(garbage));
        } catch (error) {
          expect(isDockyardError(error, 'ERR_LINK_PROTOCOL')).toBe(true);
        }
      }),
    );
  });
});

test('a frame larger than a peer takes is not sent', () => {
  expect(() => encodeFrame(FRAME.reply, Buffer.alloc(MAX_FRAME_BYTES + 1))).toThrow(RangeError);
  expect(encodeFrame(FRAME.reply, Buffer.alloc(MAX_FRAME_BYTES)).length).toBe(MAX_FRAME_BYTES + 5);
});
