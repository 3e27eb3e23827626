import { describe, expect, test } from 'vitest';
import { DockyardError } from '../../../../src/oci/error.ts';
import { FRAME, MAX_FRAME_BYTES, type FrameType } from '../../../../src/swarm/link/frame.ts';
import { openPair } from './link-fixture.ts';

const PATIENT = { timeoutMs: 5000 };

describe('a question', () => {
  test('is answered with its value and its bytes', async () => {
    const { toB, toA } = await openPair();
    const bytes = Buffer.alloc(300_000, 5);
    const answer = await toB.request('read', { n: 1 }, { ...PATIENT, bytes });
    expect(answer.value).toEqual({ method: 'read', given: { n: 1 } });
    expect(answer.bytes.equals(bytes)).toBe(true);
    expect((await toA.request('other', [2], PATIENT)).value).toEqual({ method: 'other', given: [2] });
  });

  test('that many ask at once each gets its own answer', async () => {
    const { toB } = await openPair();
    const asked = Array.from({ length: 200 }, async (_, n) => (await toB.request('n', n, PATIENT)).value);
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 200 }, (_, n) => ({ method: 'n', given: n })));
  });

  test('that fails ends with the code that the peer gives', async () => {
    const { b, toB } = await openPair();
    b.handler.answer = () => Promise.reject(new DockyardError('ERR_SOMETHING', 'not today'));
    await expect(toB.request('x', {}, PATIENT)).rejects.toMatchObject({ code: 'ERR_SOMETHING' });
    b.handler.answer = () => Promise.reject(new Error('secret path /etc/x'));
    const failure: unknown = await toB.request('x', {}, PATIENT).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'ERR_LINK_FAILED' });
    expect(String(failure)).not.toContain('secret');
  });

  test('whose answer cannot be put into a frame fails alone', async () => {
    const { b, toB } = await openPair();
    b.handler.answer = () => Promise.resolve({ value: undefined });
    await expect(toB.request('x', {}, PATIENT)).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
    b.handler.answer = () => Promise.resolve({ value: {}, bytes: Buffer.alloc(MAX_FRAME_BYTES) });
    await expect(toB.request('x', {}, PATIENT)).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
    expect(toB.isClosed).toBe(false);
  });

  test('that is too large is refused before it is sent', async () => {
    const { toB } = await openPair();
    await expect(toB.request('x', {}, { ...PATIENT, bytes: Buffer.alloc(MAX_FRAME_BYTES) })).rejects.toThrow(
      RangeError,
    );
    expect((await toB.request('y', 1, PATIENT)).value).toEqual({ method: 'y', given: 1 });
  });

  test('without an answer ends in time, and a late answer harms nobody', async () => {
    const { b, toB } = await openPair();
    const late = Promise.withResolvers<{ value: unknown }>();
    b.handler.answer = async () => await late.promise;
    await expect(toB.request('x', {}, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'ERR_LINK_TIMEOUT' });
    late.resolve({ value: { at: 'too late' } });
    b.handler.answer = async () => await Promise.resolve({ value: { at: 'in time' } });
    expect((await toB.request('x', {}, PATIENT)).value).toEqual({ at: 'in time' });
  });

  test('ends with the reason of its signal', async () => {
    const { b, toB } = await openPair();
    b.handler.answer = async () => await new Promise(() => undefined);
    const abort = new AbortController();
    const asking = toB.request('x', {}, { ...PATIENT, signal: abort.signal });
    abort.abort();
    await expect(asking).rejects.toMatchObject({ name: 'AbortError' });
    await expect(toB.request('x', {}, { ...PATIENT, signal: abort.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  test('open when the link breaks fails at once, and so do later ones', async () => {
    const { b, toB, toA } = await openPair();
    b.handler.answer = async () => await new Promise(() => undefined);
    const asking = toB.request('x', {}, PATIENT);
    toA.close();
    await expect(asking).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
    await expect(toB.request('x', {}, PATIENT)).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
  });
});

describe('a peer that breaks the protocol', () => {
  const message = (id: number, json: string, announced = json.length): Buffer => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(id, 0);
    head.writeUInt32BE(announced, 4);
    return Buffer.concat([head, Buffer.from(json)]);
  };

  test.each<[string, number, Buffer]>([
    ['a second hello', FRAME.hello, Buffer.alloc(0)],
    ['a frame of unknown type', 9, Buffer.alloc(0)],
    ['a frame of a type beyond the last', 200, Buffer.alloc(3)],
    ['a question that is too short', FRAME.request, Buffer.alloc(7)],
    ['a question that announces more than it has', FRAME.request, message(1, '{}', 400)],
    ['a question that is not JSON', FRAME.request, message(1, '{nope')],
    ['a question without a method', FRAME.request, message(1, '{}')],
    ['an answer that is no object', FRAME.reply, message(1, '7')],
  ])('by %s loses the link', async (_what, type, payload) => {
    const { b, toB } = await openPair();
    toB.send(type as FrameType, payload);
    await expect.poll(() => b.handler.closed[0]?.error).toMatchObject({ code: 'ERR_LINK_PROTOCOL' });
    await expect.poll(() => toB.isClosed).toBe(true);
  });

  test('by too many open questions loses the link', async () => {
    const { b, toB } = await openPair();
    b.handler.answer = async () => await new Promise(() => undefined);
    const asked = Array.from({ length: 257 }, async () => await toB.request('x', {}, PATIENT));
    const results = await Promise.allSettled(asked);
    expect(results.every((result) => result.status === 'rejected')).toBe(true);
    expect(b.handler.closed[0]?.error).toMatchObject({ code: 'ERR_LINK_PROTOCOL' });
  });

  test('by what the layer above does not take loses the link', async () => {
    const { b, toB } = await openPair();
    b.handler.onFrame = () => {
      throw new DockyardError('ERR_LINK_PROTOCOL', 'nonsense');
    };
    toB.send(FRAME.join, Buffer.from('x'));
    await expect.poll(() => b.handler.closed.length).toBe(1);
  });
});

describe('the bytes of pieces', () => {
  test('arrive in order beside other frames', async () => {
    const { b, toB } = await openPair();
    const bytes = Buffer.alloc(50_000, 3);
    toB.sendChunk(4, 5, 100, bytes);
    toB.send(FRAME.have, Buffer.from('h'));
    await expect.poll(() => b.handler.frames.length).toBe(1);
    expect(b.handler.chunks).toEqual([{ channel: 4, piece: 5, offset: 100, bytes }]);
  });

  test('wait for the peer: no more is taken while enough is queued, until the link drains', async () => {
    const { a, toB } = await openPair();
    let count = 0;
    for (; toB.canSendChunk && count < 10_000; count += 1) toB.sendChunk(2, 0, 0, Buffer.alloc(65_536));
    expect(count).toBeLessThan(10_000);
    await expect.poll(() => a.handler.drainCount).toBeGreaterThan(0);
    expect(toB.canSendChunk).toBe(true);
  });

  test('are not sent over a closed link', async () => {
    const { b, toB } = await openPair();
    toB.close();
    toB.close();
    toB.sendChunk(2, 0, 0, Buffer.alloc(10));
    toB.send(FRAME.have, Buffer.alloc(4));
    expect(toB.canSendChunk).toBe(false);
    await expect.poll(() => b.handler.closed.length).toBe(1);
    expect(b.handler.chunks).toEqual([]);
  });
});

describe('frames of a channel', () => {
  test('that are sent in one turn go out together, before what is sent after them', async () => {
    const { b, toB } = await openPair();
    for (let index = 0; index < 50; index += 1) toB.send(FRAME.have, Buffer.from([index]));
    toB.sendChunk(1, 2, 0, Buffer.from('bytes'));
    toB.send(FRAME.have, Buffer.from([50]));
    await toB.request('x', 1, PATIENT);
    expect(b.handler.frames.map(({ payload }) => payload[0])).toEqual(Array.from({ length: 51 }, (_, index) => index));
    expect(b.handler.chunks).toHaveLength(1);
  });

  test('that were sent before the link was closed still go out', async () => {
    const { b, toB } = await openPair();
    toB.send(FRAME.leave, Buffer.from([7]));
    toB.close();
    toB.send(FRAME.leave, Buffer.from([8]));
    await expect.poll(() => b.handler.closed.length).toBe(1);
    expect(b.handler.frames.map(({ payload }) => payload[0])).toEqual([7]);
  });
});
