import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { recycleChunk, RequestBody } from '../../../src/registry/request-body.ts';

const PACE = { timeoutMs: 5_000, progressBytes: 1024 };
const CHUNKS = 16;
const CHUNK = Buffer.alloc(64 * 1024, 7);

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** Sends a body to a server that takes it chunk by chunk. */
async function sendTo(take: (chunk: Uint8Array) => void): Promise<void> {
  const answered = Promise.withResolvers<void>();
  server = createServer((incoming, response) => {
    (async () => {
      for await (const chunk of new RequestBody(incoming, response, PACE).chunks()) take(chunk);
      response.end();
    })().then(answered.resolve, answered.reject);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sending = request({ port, host: '127.0.0.1', method: 'PUT' });
  for (let count = 0; count < CHUNKS; count += 1) sending.write(CHUNK);
  sending.end();
  await answered.promise;
}

test('the memory of a chunk of a body is given back at once, and the next ones come whole', async () => {
  let sum = 0;
  let sizeBytes = 0;
  let emptied = 0;
  await sendTo((chunk) => {
    sizeBytes += chunk.length;
    for (const byte of chunk) sum += byte;
    recycleChunk(chunk);
    if (chunk.length === 0) emptied += 1;
  });
  expect(sizeBytes).toBe(CHUNKS * CHUNK.length);
  expect(sum).toBe(7 * sizeBytes);
  expect(emptied).toBeGreaterThan(0);
});

test('a chunk that shares its memory with others is left alone', () => {
  const shared = Buffer.from('a and b');
  const part = shared.subarray(0, 1);
  recycleChunk(part);
  expect(part.toString()).toBe('a');
  const inSharedMemory = Buffer.from(new SharedArrayBuffer(4));
  recycleChunk(inSharedMemory);
  expect(inSharedMemory.length).toBe(4);
});
