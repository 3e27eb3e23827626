import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { generateIdentity, verifyPeerSignature } from '../../../../src/swarm/identity.ts';
import { createLinkCertificate } from '../../../../src/swarm/link/certificate.ts';
import { encodeChunkHeader, encodeFrame, FRAME } from '../../../../src/swarm/link/frame.ts';
import { checkHello, makeHello, MAX_HELLO_BYTES, type HandshakeDeps } from '../../../../src/swarm/link/handshake.ts';
import { linkTo, openEnd, openPair, type LinkEnd } from './link-fixture.ts';

const KEY = Buffer.alloc(32, 1);
const OTHER_KEY = Buffer.alloc(32, 2);

async function dial(from: LinkEnd, to: LinkEnd): Promise<unknown> {
  return await from.network.connect({ peerId: to.identity.peerId, addresses: [to.address] });
}

/** The innermost cause: why a dial failed in the end. */
function rootMessage(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause !== undefined) last = last.cause;
  return last instanceof Error ? last.message : String(last);
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** A TLS connection to a listener, without a hello. */
async function rawTls(end: LinkEnd): Promise<TLSSocket> {
  const socket = connectTls({ ...end.address, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** Both ends of one TLS connection. */
async function tlsPair(): Promise<[dialler: TLSSocket, listener: TLSSocket]> {
  const server = createTlsServer({ ...(await createLinkCertificate()), minVersion: 'TLSv1.3' });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const { port } = server.address() as AddressInfo;
  const dialler = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(dialler, 'secureConnect');
  const [listener] = await accepted;
  onTestFinished(() => {
    dialler.destroy();
    listener.destroy();
    server.close();
  });
  return [dialler, listener];
}

test('two members link, and each knows the other', async () => {
  const a = await openEnd({ memberKey: KEY });
  const b = await openEnd({ memberKey: KEY });
  const link = await a.network.connect({ addresses: [b.address] });
  expect(link.peerId).toBe(b.identity.peerId);
  expect((await linkTo(b, a)).peerId).toBe(a.identity.peerId);
});

test.each([
  ['another key', KEY, OTHER_KEY, 'another one'],
  ['no key, asked by one with a key', KEY, undefined, 'no swarm key'],
  ['a key, asked by one without', undefined, KEY, 'this node has none'],
])('a peer with %s is refused on both sides', async (_what, aKey, bKey, reason) => {
  const a = await openEnd({ memberKey: aKey });
  const b = await openEnd({ memberKey: bKey });
  const failure = await failureOf(dial(a, b));
  expect(failure).toMatchObject({ code: 'ERR_LINK_FAILED', cause: { code: 'ERR_LINK_REFUSED' } });
  expect(rootMessage(failure)).toContain(reason);
  await expect.poll(() => [a.network.links().length, b.network.links().length]).toEqual([0, 0]);
});

test('a peer that is not the expected one is refused', async () => {
  const a = await openEnd();
  const b = await openEnd();
  const expected = generateIdentity().peerId;
  const failure = await failureOf(a.network.connect({ peerId: expected, addresses: [b.address] }));
  expect(rootMessage(failure)).toContain('was expected');
});

test('a node does not link with itself', async () => {
  const a = await openEnd();
  expect(rootMessage(await failureOf(a.network.connect({ addresses: [a.address] })))).toContain(
    'identity of this node',
  );
});

test('a banned peer is neither dialled nor let in', async () => {
  const a = await openEnd();
  const b = await openEnd();
  a.banned.add(b.identity.peerId);
  expect(await failureOf(dial(a, b))).toMatchObject({ code: 'ERR_LINK_REFUSED' });
  await failureOf(dial(b, a));
  await expect.poll(() => [a.network.links().length, b.network.links().length]).toEqual([0, 0]);
});

test('a hello is bound to its connection, its side and its identity', async () => {
  const [dialler, listener] = await tlsPair();
  const [otherDialler, otherListener] = await tlsPair();
  const member = (): HandshakeDeps => ({ identity: generateIdentity(), verify: verifyPeerSignature, memberKey: KEY });
  const [a, b] = [member(), member()];
  const hello = makeHello(a, dialler, 'dialler');
  expect(checkHello(b, listener, 'dialler', hello)).toBe(a.identity.peerId);
  // Replayed on another connection, sent back as the answer, or under another name.
  expect(() => checkHello(b, otherListener, 'dialler', hello)).toThrow(/swarm key/);
  expect(() => checkHello({ ...b, memberKey: undefined }, otherListener, 'dialler', without(hello, 'proof'))).toThrow(
    /signature/,
  );
  expect(() => checkHello(b, listener, 'listener', hello)).toThrow(/refused/);
  expect(() => checkHello(a, dialler, 'dialler', hello)).toThrow(/identity of this node/);
  const renamed = { ...(JSON.parse(hello.toString()) as object), peerId: generateIdentity().peerId };
  expect(() => checkHello(b, listener, 'dialler', Buffer.from(JSON.stringify(renamed)))).toThrow(/refused/);
  otherDialler.destroy();
});

function without(hello: Buffer, field: string): Buffer {
  return Buffer.from(JSON.stringify({ ...(JSON.parse(hello.toString()) as object), [field]: '' }));
}

test.each([
  ['no JSON', Buffer.from('hello')],
  ['no object', Buffer.from('null')],
  ['nothing in it', Buffer.from('{}')],
  ['a number for a name', Buffer.from('{"version":1,"peerId":7,"signature":"","proof":""}')],
  ['another version', Buffer.from('{"version":2,"peerId":"x","signature":"","proof":""}')],
  ['a name that is no identity', Buffer.from('{"version":1,"peerId":"nobody","signature":"AA==","proof":""}')],
  ['a very long name', Buffer.from(JSON.stringify({ version: 1, peerId: 'x'.repeat(500), signature: '', proof: '' }))],
])('a hello with %s is refused', async (_what, payload) => {
  const [, listener] = await tlsPair();
  const deps = { identity: generateIdentity(), verify: verifyPeerSignature, memberKey: undefined };
  expect(() => checkHello(deps, listener, 'dialler', payload)).toThrow(/refused/);
});

test.each([
  ['garbage', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a hello that is too long', encodeFrame(FRAME.hello, Buffer.alloc(MAX_HELLO_BYTES + 1))],
  ['a question before the hello', encodeFrame(FRAME.request, Buffer.from('{}'))],
  ['a piece before the hello', Buffer.concat([encodeChunkHeader(1, 0, 0, 3), Buffer.from('abc')])],
  ['an empty hello', encodeFrame(FRAME.hello, Buffer.alloc(0))],
])('a connection that begins with %s is closed', async (_what, bytes) => {
  const end = await openEnd({ config: { connectTimeoutMs: 5000 } });
  const socket = await rawTls(end);
  socket.resume();
  const startedAtMs = performance.now();
  socket.write(bytes);
  await once(socket, 'close');
  expect(performance.now() - startedAtMs).toBeLessThan(2000);
  expect(end.network.links()).toEqual([]);
});

test('a connection without a hello is closed when its time is over', async () => {
  const end = await openEnd({ config: { connectTimeoutMs: 150 } });
  const socket = await rawTls(end);
  socket.resume();
  await once(socket, 'close');
  expect(end.network.links()).toEqual([]);
});

test('a connection that does not even begin with TLS is closed when its time is over', async () => {
  const end = await openEnd({ config: { connectTimeoutMs: 150 } });
  const socket = connectTcp(end.address);
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'close');
  expect(socket.bytesRead).toBe(0);
});

test('a listener that never answers is given up in time', async () => {
  const server = createTcpServer((socket) => socket.on('error', () => undefined).resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const a = await openEnd({ config: { connectTimeoutMs: 150 } });
  const { port } = server.address() as AddressInfo;
  const failure = await failureOf(a.network.connect({ addresses: [{ host: '127.0.0.1', port }] }));
  expect(failure).toMatchObject({ code: 'ERR_LINK_FAILED', cause: { code: 'ERR_LINK_FAILED' } });
});

test('what comes in one packet with the hello is not lost', async () => {
  const { a, b, toB } = await openPair();
  toB.send(FRAME.have, Buffer.from('first'));
  await expect.poll(() => b.handler.frames.length).toBe(1);
  expect(a.handler.closed).toEqual([]);
});
