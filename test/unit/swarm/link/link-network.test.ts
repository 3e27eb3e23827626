import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { expect, onTestFinished, test, vi } from 'vitest';
import { generateIdentity, verifyPeerSignature } from '../../../../src/swarm/identity.ts';
import { encodeFrame, FRAME } from '../../../../src/swarm/link/frame.ts';
import { makeHello } from '../../../../src/swarm/link/handshake.ts';
import { LINK_CONFIG, linkTo, openEnd, openPair, type LinkEnd } from './link-fixture.ts';

/** A member that does what the test tells it: the socket after a proper hello. */
async function rawMember(end: LinkEnd): Promise<TLSSocket> {
  const identity = generateIdentity();
  const socket = connectTls({ ...end.address, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  const deps = { identity, verify: verifyPeerSignature, memberKey: undefined };
  socket.write(encodeFrame(FRAME.hello, makeHello(deps, socket, 'dialler')));
  await expect.poll(() => end.network.get(identity.peerId)).toBeDefined();
  return socket;
}

function question(id: number): Buffer {
  const json = Buffer.from('{"method":"big"}');
  const head = Buffer.alloc(8);
  head.writeUInt32BE(id, 0);
  head.writeUInt32BE(json.length, 4);
  return encodeFrame(FRAME.request, Buffer.concat([head, json]));
}

test('all who want a peer at once share one dial and one link', async () => {
  const a = await openEnd();
  const b = await openEnd();
  const target = { peerId: b.identity.peerId, addresses: [b.address] };
  const links = await Promise.all(Array.from({ length: 10 }, async () => await a.network.connect(target)));
  expect(new Set(links).size).toBe(1);
  expect(await a.network.connect(target)).toBe(links[0]);
  await expect.poll(() => b.network.links().length).toBe(1);
});

test('one who gives up waiting leaves the dial to the others', async () => {
  const a = await openEnd();
  const b = await openEnd();
  const target = { peerId: b.identity.peerId, addresses: [b.address] };
  const abort = new AbortController();
  const impatient = a.network.connect(target, { signal: abort.signal });
  const patient = a.network.connect(target);
  abort.abort();
  await expect(impatient).rejects.toMatchObject({ name: 'AbortError' });
  expect((await patient).peerId).toBe(b.identity.peerId);
});

test('the next address is tried when one fails', async () => {
  const a = await openEnd();
  const b = await openEnd();
  const gone = await openEnd();
  await gone.network.close();
  const link = await a.network.connect({ peerId: b.identity.peerId, addresses: [gone.address, b.address] });
  expect(link.isClosed).toBe(false);
  await expect(a.network.connect({ addresses: [gone.address] })).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
});

test('nodes that dial each other at once can both use what they get', async () => {
  const a = await openEnd();
  const b = await openEnd();
  const [toB, toA] = await Promise.all([
    a.network.connect({ peerId: b.identity.peerId, addresses: [b.address] }),
    b.network.connect({ peerId: a.identity.peerId, addresses: [a.address] }),
  ]);
  expect((await toB.request('x', 1, { timeoutMs: 2000 })).value).toEqual({ method: 'x', given: 1 });
  expect((await toA.request('x', 2, { timeoutMs: 2000 })).value).toEqual({ method: 'x', given: 2 });
});

test('of many links that one side dialled the newest stays', async () => {
  const identity = generateIdentity();
  const b = await openEnd();
  const ends = await Promise.all(Array.from({ length: 4 }, async () => await openEnd({ identity })));
  for (const end of ends) await end.network.connect({ peerId: b.identity.peerId, addresses: [b.address] });
  await expect.poll(() => ends.map((end) => end.network.links().length)).toEqual([0, 0, 0, 1]);
  expect(b.network.links().length).toBe(1);
});

/** Two ends and a link that each of them dialled. */
async function openDialledBack() {
  const { a, b, toB, toA } = await openPair();
  b.network.dialBack(toA, [a.address]);
  await expect.poll(() => [toB.partner, toA.partner].every((partner) => partner !== undefined)).toBe(true);
  return { a, b, toB, toA };
}

test('a peer that is dialled back sends pieces over the link that was dialled for them, and all else where it began', async () => {
  const { b, toB, toA } = await openDialledBack();
  expect(toB.forChunks).toBe(toB.partner);
  expect(toA.forChunks).toBe(toA);
  expect(toB.partner?.role).toBe('listener');
  toB.forChunks.sendChunk(1, 2, 0, Buffer.from('piece'));
  await expect.poll(() => b.handler.chunks.map(({ bytes }) => bytes.toString())).toEqual(['piece']);
  expect((await toB.request('x', 1, { timeoutMs: 2000 })).value).toEqual({ method: 'x', given: 1 });
});

test('a peer is dialled back once, and not at all over a link that this side dialled', async () => {
  const { a, b, toB, toA } = await openDialledBack();
  b.network.dialBack(toA, [a.address]);
  a.network.dialBack(toB, [b.address]);
  expect(await b.network.connect({ peerId: a.identity.peerId, addresses: [a.address] })).toBe(toA.partner);
  expect([a.network.links().length, b.network.links().length]).toEqual([2, 2]);
});

test('a link that ends in order leaves the other in use, one that breaks takes it along', async () => {
  const { a, b, toB, toA } = await openDialledBack();
  toA.partner?.close();
  await expect.poll(() => [a.network.links().length, b.network.links().length]).toEqual([1, 1]);
  expect(toB.forChunks).toBe(toB);
  expect((await toB.request('x', 1, { timeoutMs: 2000 })).value).toEqual({ method: 'x', given: 1 });
  b.network.dialBack(toA, [a.address]);
  await expect.poll(() => toB.forChunks).not.toBe(toB);
  toA.partner?.close(new Error('broken'));
  expect(toA.isClosed).toBe(true);
  expect(toA.error).toMatchObject({ code: 'ERR_LINK_FAILED', cause: { message: 'broken' } });
  await expect.poll(() => [a.network.links().length, b.network.links().length]).toEqual([0, 0]);
});

test('a peer that cannot be dialled back is served over the link that there is', async () => {
  const { b, toB, toA } = await openPair();
  const gone = await openEnd();
  await gone.network.close();
  b.network.dialBack(toA, [gone.address]);
  toB.forChunks.sendChunk(1, 2, 0, Buffer.from('piece'));
  await expect.poll(() => b.handler.chunks.length).toBe(1);
  expect(toA.isClosed).toBe(false);
});

test('beyond the limit the link unused for longest goes', async () => {
  const b = await openEnd({ config: { maxLinks: 2 } });
  const [x, y, z] = [await openEnd(), await openEnd(), await openEnd()];
  const target = { peerId: b.identity.peerId, addresses: [b.address] };
  const fromX = await x.network.connect(target);
  const fromY = await y.network.connect(target);
  await linkTo(b, x);
  await linkTo(b, y);
  await fromX.request('use', {}, { timeoutMs: 2000 });
  await z.network.connect(target);
  await expect.poll(() => fromY.isClosed).toBe(true);
  expect([fromX.isClosed, b.network.links().length]).toEqual([false, 2]);
});

test('connections that do not finish their handshake are bounded, even before TLS begins', async () => {
  const end = await openEnd({ config: { maxPendingHandshakes: 3, connectTimeoutMs: 400 } });
  const sockets = Array.from({ length: 6 }, () =>
    connectTcp(end.address)
      .on('error', () => undefined)
      .resume(),
  );
  onTestFinished(() => sockets.forEach((socket) => void socket.destroy()));
  await expect.poll(() => sockets.filter((socket) => socket.closed).length, { timeout: 300 }).toBe(3);
  // When their time is over there is room again.
  await expect.poll(() => sockets.filter((socket) => socket.closed).length).toBe(6);
  const other = await openEnd();
  expect((await other.network.connect({ addresses: [end.address] })).isClosed).toBe(false);
});

test('closing does not wait for connections that never said anything', async () => {
  const end = await openEnd();
  const socket = connectTcp(end.address)
    .on('error', () => undefined)
    .resume();
  await once(socket, 'connect');
  await expect.poll(() => socket.readyState).toBe('open');
  const startedAtMs = performance.now();
  await end.network.close();
  await end.network.close();
  expect(performance.now() - startedAtMs).toBeLessThan(1000);
  if (!socket.closed) await once(socket, 'close');
});

test('a link that nobody uses is closed, one that only sends pieces is not', async () => {
  // The links are looked at when the test says so, and idle for as long as it says.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const clock = { atMs: 0, nowMs: () => clock.atMs };
  const { a, toB, toA } = await openPair({ idleTimeoutMs: 400 }, clock);
  const passMs = (durationMs: number): void => {
    clock.atMs += durationMs;
    vi.advanceTimersByTime(LINK_CONFIG.silenceTimeoutMs);
  };
  for (let round = 0; round < 4; round += 1) {
    toB.sendChunk(2, 0, 0, Buffer.alloc(100));
    await expect.poll(() => toA.lastUsedAtMs).toBe(clock.atMs);
    passMs(300);
    expect([toB.isClosed, toA.isClosed]).toEqual([false, false]);
  }
  passMs(300);
  expect([toB.isClosed, toA.isClosed]).toEqual([true, true]);
  expect(a.network.links()).toEqual([]);
});

test('a peer that answers no ping is gone; one that does stays', async () => {
  const end = await openEnd({ config: { silenceTimeoutMs: 300 } });
  const mute = await rawMember(end);
  mute.resume();
  const alive = await openEnd();
  const link = await alive.network.connect({ addresses: [end.address] });
  await once(mute, 'close');
  expect(end.handler.closed[0]?.error).toMatchObject({ code: 'ERR_LINK_TIMEOUT' });
  expect(link.isClosed).toBe(false);
});

test('a peer that asks and never reads the answers is not listened to, and dropped, in bounded memory', async () => {
  const end = await openEnd({ config: { silenceTimeoutMs: 600 } });
  let answered = 0;
  const bytes = Buffer.alloc(1024 * 1024);
  end.handler.answer = async () => {
    answered += 1;
    return await Promise.resolve({ value: {}, bytes });
  };
  const greedy = await rawMember(end);
  greedy.pause();
  const [link] = end.network.links();
  for (let id = 0; id < 3000 && link?.isClosed === false; id += 1) {
    const written = new Promise((resolve) => greedy.write(question(id), resolve));
    if (id % 20 === 0) await written;
  }
  expect(answered).toBeLessThan(300);
  await expect.poll(() => link?.isClosed, { timeout: 4000 }).toBe(true);
  expect(link?.error?.message).toContain('does not read');
});

test('a peer that reads slowly gets all its answers', async () => {
  const end = await openEnd({ config: { silenceTimeoutMs: 2000 } });
  const bytes = Buffer.alloc(1024 * 1024);
  end.handler.answer = async () => await Promise.resolve({ value: {}, bytes });
  const slow = await rawMember(end);
  const count = 40;
  slow.write(Buffer.concat(Array.from({ length: count }, (_, id) => question(id))));
  await expect.poll(() => end.network.links()[0]?.isPaused).toBe(true);
  let receivedBytes = 0;
  slow.on('data', (data: Buffer) => (receivedBytes += data.length));
  await expect.poll(() => receivedBytes, { timeout: 5000 }).toBeGreaterThan(count * bytes.length);
  expect(end.network.links()[0]?.isPaused).toBe(false);
});

test('a port in use is named', async () => {
  const end = await openEnd();
  await expect(openEnd({ config: { listen: end.address } })).rejects.toMatchObject({ code: 'ERR_SWARM_LISTEN' });
});

test('a closing network takes and makes no more links', async () => {
  const { a, b, toB } = await openPair();
  await a.network.close();
  expect(toB.isClosed).toBe(true);
  await expect(a.network.connect({ addresses: [b.address] })).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
  await expect(b.network.connect({ addresses: [a.address] })).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
});
