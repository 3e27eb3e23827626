import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { DEFAULT_FACADE_SERVER_CONFIG, FacadeServer } from '../../../src/registry/facade-server.ts';
import { poll } from './facade-client.ts';
import { errorCode, openTestFacade, sendRaw, type TestFacade } from './facade-fixture.ts';

const BYTES = Buffer.alloc(300_000, 7);

/** Starts a blob whose second half waits for `release`. */
async function startHalf(
  node: TestFacade,
): Promise<{ socket: Socket; release: () => void; received: () => Promise<Buffer> }> {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  node.blobs.read = async function* (bytes) {
    yield bytes.subarray(0, 1000);
    await promise;
    yield bytes.subarray(1000);
  };
  const socket = connect(node.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  const ended = new Promise<Buffer>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => {
      resolve(Buffer.concat(chunks));
    });
    socket.on('error', reject);
  });
  socket.write(`GET /v2/a/blobs/${node.blobs.add(BYTES)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await poll(() => Buffer.concat(chunks).includes('\r\n\r\n'));
  return { socket, release, received: () => ended };
}

describe('the end of a server', () => {
  test('a running body is let end, and new connections are refused', async () => {
    await using node = await openTestFacade();
    const { release, received } = await startHalf(node);
    const closed = node.server.close(10_000);
    const late = connect(node.port, '127.0.0.1');
    const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    release();
    await closed;
    expect((await received()).length).toBeGreaterThan(BYTES.length);
  });

  test('a body that outlasts the grace time is ended short without a reset', async () => {
    await using node = await openTestFacade();
    const { received } = await startHalf(node);
    const closed = node.server.close(20);
    const bytes = await received();
    expect(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4).length).toBe(1000);
    await closed;
    expect(node.blobs.contexts[0]?.signal.aborted).toBe(true);
    expect(node.logged.find((entry) => entry['msg'] === 'response body ended short')).toMatchObject({
      err: { code: 'ERR_FACADE_STOPPING' },
    });
  });

  test('a request that has no byte yet is told that the node stops', async () => {
    await using node = await openTestFacade();
    node.blobs.read = () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) });
    const answered = sendRaw(node.port, `GET /v2/a/blobs/${node.blobs.add(BYTES)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await poll(() => node.blobs.openCount === 1);
    const closed = node.server.close(0);
    const answer = await answered;
    expect([answer.status, errorCode(answer.body), answer.headers['connection']]).toEqual([
      503,
      'UNAVAILABLE',
      'close',
    ]);
    await closed;
  });

  test('idle connections do not delay it, and closing twice is closing once', async () => {
    const node = await openTestFacade();
    const socket = connect(node.port, '127.0.0.1');
    socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    const startMs = performance.now();
    await Promise.all([node.server.close(60_000), node.server.close(60_000)]);
    await node.server[Symbol.asyncDispose]();
    expect(performance.now() - startMs).toBeLessThan(2_000);
    socket.destroy();
  });

  test('a later, shorter grace time takes the place of a longer one', async () => {
    const node = await openTestFacade();
    const { received } = await startHalf(node);
    const startMs = performance.now();
    const first = node.server.close(60_000);
    await Promise.all([first, node.server.close(0), received()]);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});

describe('the limits of a server', () => {
  test('a head that does not arrive in time is answered 408', async () => {
    await using node = await openTestFacade({ headersTimeoutMs: 100, requestTimeoutMs: 100 });
    const answer = await sendRaw(node.port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n');
    expect([answer.status, errorCode(answer.body)]).toEqual([408, 'UNSUPPORTED']);
  });

  test('connections beyond the limit are closed', async () => {
    await using node = await openTestFacade({ maxConnections: 1 });
    const first = connect(node.port, '127.0.0.1');
    first.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(first, 'data');
    const second = connect(node.port, '127.0.0.1');
    second.on('error', () => undefined);
    await once(second, 'close');
    expect(node.logged.some((entry) => entry['msg'] === 'connection refused: too many are open')).toBe(true);
    first.destroy();
  });

  test('a connection on which nothing moves is closed', async () => {
    await using node = await openTestFacade({ idleTimeoutMs: 100 });
    const { socket } = await startHalf(node);
    socket.resume();
    await once(socket, 'close');
    await poll(() => node.blobs.closeCount === 1);
    expect(node.blobs.contexts[0]?.signal.aborted).toBe(true);
  });

  test('an address in use is an error', async () => {
    await using node = await openTestFacade();
    const other = new FacadeServer(
      { facade: node.facade, log: pino({ level: 'silent' }) },
      DEFAULT_FACADE_SERVER_CONFIG,
    );
    await expect(other.open({ host: '127.0.0.1', port: node.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(other.close(1000)).resolves.toBeUndefined();
  });
});
