import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { parseRange } from '../../../src/oci/byte-range.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { OriginBlob } from '../../../src/origin/resuming-blob.ts';
import { collect, makeOrigin, REPOSITORY, startServer, type TestOrigin } from './origin-fixture.ts';

const BLOB = randomBytes(300_000);
const DIGEST = digestOf(BLOB);

/** Answers as a good registry does; `cut` may shorten the bytes. */
function serveBlob(request: IncomingMessage, response: ServerResponse, cut?: (bytes: Buffer) => Buffer): void {
  const asked = parseRange(request.headers['range'], BLOB.length);
  const range = asked.kind === 'range' ? asked.range : { start: 0, end: BLOB.length };
  const bytes = BLOB.subarray(range.start, range.end);
  const headers = { 'content-length': bytes.length, 'content-type': 'application/octet-stream' };
  if (asked.kind === 'unsatisfiable')
    return void response.writeHead(416, { 'content-range': `bytes */${BLOB.length}` }).end();
  if (asked.kind === 'whole') response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${range.start}-${range.end - 1}/${BLOB.length}` });
  if (request.method === 'HEAD') return void response.end();
  if (cut === undefined) return void response.end(bytes);
  response.write(cut(bytes), () => response.destroy());
}

async function requireBlob(
  origin: TestOrigin['origin'],
  options: Parameters<TestOrigin['origin']['openBlob']>[2] = {},
): Promise<OriginBlob> {
  const blob = await origin.openBlob(REPOSITORY, DIGEST, options);
  if (blob === undefined) throw new Error('the upstream does not have the blob');
  return blob;
}

describe('a blob', () => {
  test('streams whole', async () => {
    const upstream = await startServer((request, response) => serveBlob(request, response));
    const { origin, metric } = makeOrigin(upstream);
    await using blob = await requireBlob(origin);
    expect([blob.sizeBytes, blob.start, blob.end]).toEqual([BLOB.length, 0, BLOB.length]);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
    expect(upstream.seen[0]?.headers['range']).toBeUndefined();
    expect(await metric('dockyard_origin_bytes_total')).toBe(BLOB.length);
  });

  test.each([
    ['a part', { start: 1_000, end: 200_000 }, 'bytes=1000-199999'],
    ['all from an offset', { start: 299_999, end: Infinity }, 'bytes=299999-'],
    ['more than there is', { start: 5, end: 900_000 }, 'bytes=5-899999'],
  ])('streams %s by Range', async (_what, range, header) => {
    const upstream = await startServer((request, response) => serveBlob(request, response));
    await using blob = await requireBlob(makeOrigin(upstream).origin, { range });
    expect(blob.sizeBytes).toBe(BLOB.length);
    expect((await collect(blob.body)).equals(BLOB.subarray(range.start, range.end))).toBe(true);
    expect(upstream.seen[0]?.headers['range']).toBe(header);
  });

  test('of an upstream that ignores Range is cut to the range', async () => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(200, { 'content-length': BLOB.length }).end(BLOB),
    );
    await using blob = await requireBlob(makeOrigin(upstream).origin, { range: { start: 70_000, end: 70_010 } });
    expect((await collect(blob.body)).equals(BLOB.subarray(70_000, 70_010))).toBe(true);
  });

  test('that is empty is empty', async () => {
    const upstream = await startServer((_request, response) => response.writeHead(200, { 'content-length': 0 }).end());
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    expect([blob.sizeBytes, (await collect(blob.body)).length]).toEqual([0, 0]);
  });

  test('that is not there is absent, by GET and by HEAD', async () => {
    const upstream = await startServer((_request, response) => response.writeHead(404).end());
    const { origin } = makeOrigin(upstream);
    expect(await origin.openBlob(REPOSITORY, DIGEST)).toBeUndefined();
    expect(await origin.statBlob(REPOSITORY, DIGEST)).toBeUndefined();
  });

  test('can be read once', async () => {
    const upstream = await startServer((request, response) => serveBlob(request, response));
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    await collect(blob.body);
    await expect(collect(blob.body)).rejects.toThrow(TypeError);
  });

  test('waits for its reader instead of filling the memory', async () => {
    let writtenBytes = 0;
    const sizeBytes = 256 << 20;
    const chunk = Buffer.alloc(1 << 20);
    const upstream = await startServer((_request, response) => {
      response.writeHead(200, { 'content-length': sizeBytes });
      const write = (): void => {
        while (writtenBytes < sizeBytes) {
          writtenBytes += chunk.length;
          if (!response.write(chunk)) return void response.once('drain', write);
        }
      };
      write();
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    const iterator = blob.body[Symbol.asyncIterator]();
    await iterator.next();
    let seenBytes = -1;
    await expect
      .poll(
        () => {
          const isSettled = seenBytes === writtenBytes;
          seenBytes = writtenBytes;
          return isSettled;
        },
        { timeout: 5_000, interval: 100 },
      )
      .toBe(true);
    expect(writtenBytes).toBeLessThan(sizeBytes / 4);
    await iterator.return?.();
  });
});

describe('a blob whose stream fails', () => {
  test('goes on at the offset reached, as often as that brings bytes', async () => {
    const upstream = await startServer((request, response) => {
      serveBlob(request, response, upstream.seen.length > 6 ? undefined : (bytes) => bytes.subarray(0, 40_000));
    });
    const { origin, metric } = makeOrigin(upstream);
    await using blob = await requireBlob(origin);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
    expect(upstream.seen).toHaveLength(7);
    const offsets = upstream.seen.slice(1).map(({ headers }) => Number(/\d+/.exec(headers['range'] ?? '')?.[0]));
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
    expect(offsets[0]).toBeGreaterThan(0);
    expect(await metric('dockyard_origin_retries_total', { kind: 'blob' })).toBe(6);
  });

  test('goes on where an upstream ignores Range, without a byte twice', async () => {
    const upstream = await startServer((_request, response) => {
      response.writeHead(200, { 'content-length': BLOB.length });
      if (upstream.seen.length === 1) response.write(BLOB.subarray(0, 100_000), () => response.destroy());
      else response.end(BLOB);
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
  });

  test('goes on when a body in chunks is cut off', async () => {
    const upstream = await startServer((request, response) => {
      if (request.method === 'HEAD' || request.headers['range'] !== undefined) return serveBlob(request, response);
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      response.write(BLOB.subarray(0, 50_000), () => response.destroy());
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
  });

  test('goes on within the range that was asked for', async () => {
    const upstream = await startServer((request, response) => {
      serveBlob(request, response, upstream.seen.length > 1 ? undefined : (bytes) => bytes.subarray(0, 100));
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin, { range: { start: 1_000, end: 50_000 } });
    expect((await collect(blob.body)).equals(BLOB.subarray(1_000, 50_000))).toBe(true);
    expect(upstream.seen[1]?.headers['range']).toMatch(/^bytes=1\d\d\d-49999$/);
  });

  test('that stalls is asked for again after the time without progress', async () => {
    const upstream = await startServer((request, response) => {
      if (upstream.seen.length > 1) return serveBlob(request, response);
      response.writeHead(200, { 'content-length': BLOB.length });
      response.write(BLOB.subarray(0, 1_000));
    });
    await using blob = await requireBlob(makeOrigin({ ...upstream, progressTimeoutMs: 200 }).origin);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
  });

  test('that only stalls ends with its code after bounded attempts', async () => {
    const upstream = await startServer((request, response) => {
      const first = upstream.seen.length === 1;
      response.writeHead(first ? 200 : 206, {
        'content-length': first ? BLOB.length : BLOB.length - 1_000,
        ...(first
          ? {}
          : {
              'content-range': `bytes ${/\d+/.exec(request.headers['range'] ?? '')?.[0]}-${BLOB.length - 1}/${BLOB.length}`,
            }),
      });
      if (first) response.write(BLOB.subarray(0, 1_000));
      else response.flushHeaders();
    });
    const { origin } = makeOrigin({ ...upstream, progressTimeoutMs: 100, maxRetries: 2 });
    await using blob = await requireBlob(origin);
    await expect(collect(blob.body)).rejects.toMatchObject({ code: 'ERR_ORIGIN_STALLED' });
    expect(upstream.seen).toHaveLength(4);
  });

  test('is not taken for a stall while the reader takes its time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const upstream = await startServer((request, response) => serveBlob(request, response));
    const { origin, metric } = makeOrigin({ ...upstream, progressTimeoutMs: 100 });
    await using blob = await requireBlob(origin);
    const iterator = blob.body[Symbol.asyncIterator]();
    const first = await iterator.next();
    await vi.advanceTimersByTimeAsync(300);
    const rest = await collect({ [Symbol.asyncIterator]: () => iterator });
    expect(Buffer.concat([first.value as Buffer, rest]).equals(BLOB)).toBe(true);
    expect(await metric('dockyard_origin_retries_total')).toBe(0);
  });

  test('ends when its upstream is gone for good', async () => {
    const upstream = await startServer((request, response) => {
      serveBlob(request, response, (bytes) => bytes.subarray(0, 10_000));
      upstream.server.close();
    });
    await using blob = await requireBlob(makeOrigin({ ...upstream, maxRetries: 1 }).origin);
    await expect(collect(blob.body)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
  });

  test('ends with the reason of the signal', async () => {
    const upstream = await startServer((_request, response) => {
      response.writeHead(200, { 'content-length': BLOB.length });
      response.write(BLOB.subarray(0, 1_000));
    });
    const leaver = new AbortController();
    const reason = new Error('the client has gone');
    await using blob = await requireBlob(makeOrigin(upstream).origin, { signal: leaver.signal });
    const iterator = blob.body[Symbol.asyncIterator]();
    await iterator.next();
    const next = iterator.next();
    leaver.abort(reason);
    await expect(next).rejects.toBe(reason);
  });

  test('gives its slot and connection back when it is closed unread', async () => {
    const upstream = await startServer((_request, response) => {
      response.writeHead(200, { 'content-length': BLOB.length });
      response.write(BLOB.subarray(0, 1_000));
    });
    const { origin } = makeOrigin({ ...upstream, maxConnections: 1 });
    for (let count = 0; count < 3; count += 1) {
      const blob = await requireBlob(origin);
      await blob.close();
      await blob.close();
    }
    expect(upstream.seen).toHaveLength(3);
  });
});

describe('a blob of an upstream that contradicts itself', () => {
  test.each([
    ['encodes it', { 'content-encoding': 'gzip' }, 200, gzipSync(BLOB)],
    ['gives another part than asked for', { 'content-range': `bytes 5-9/${BLOB.length}` }, 206, BLOB.subarray(5, 10)],
    ['gives a Content-Range that is none', { 'content-range': 'bytes 100-5/3' }, 206, BLOB.subarray(5, 10)],
    [
      'gives a Content-Length that is not that of the range',
      { 'content-range': `bytes 100-199/${BLOB.length}` },
      206,
      BLOB.subarray(0, 50),
    ],
    ['says that there is no such byte', { 'content-range': 'bytes */50' }, 416, Buffer.alloc(0)],
    ['is shorter than the offset', {}, 200, BLOB.subarray(0, 50)],
    ['answers 204', {}, 204, Buffer.alloc(0)],
  ])('and %s is refused', async (_what, headers, status, body) => {
    const upstream = await startServer((_request, response) => {
      const length = status === 204 ? {} : { 'content-length': body.length };
      response.writeHead(status, { ...length, ...headers }).end(body);
    });
    const opening = makeOrigin(upstream).origin.openBlob(REPOSITORY, DIGEST, { range: { start: 100, end: 200 } });
    await expect(opening).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
  });

  test('and changes the length when resumed is refused', async () => {
    const upstream = await startServer((request, response) => {
      if (upstream.seen.length === 1) return serveBlob(request, response, (bytes) => bytes.subarray(0, 100_000));
      const start = Number(/\d+/.exec(request.headers['range'] ?? '')?.[0]);
      response
        .writeHead(206, { 'content-range': `bytes ${start}-${BLOB.length}/${BLOB.length + 1}` })
        .end(BLOB.subarray(start));
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    await expect(collect(blob.body)).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
  });

  test('and gives more bytes than it told is refused', async () => {
    const upstream = await startServer((request, response) => {
      if (request.method === 'HEAD') response.writeHead(200, { 'content-length': 1_000 }).end();
      else response.writeHead(200).end(BLOB);
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    expect(blob.sizeBytes).toBe(1_000);
    await expect(collect(blob.body)).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
  });
});

describe('the length of a blob', () => {
  test('is told by HEAD', async () => {
    const upstream = await startServer((request, response) => serveBlob(request, response));
    expect(await makeOrigin(upstream).origin.statBlob(REPOSITORY, DIGEST)).toEqual({ sizeBytes: BLOB.length });
  });

  test('is found by the Range of one byte where HEAD is of no use', async () => {
    const upstream = await startServer((request, response) => {
      if (request.method === 'HEAD') response.writeHead(405).end();
      else serveBlob(request, response);
    });
    expect(await makeOrigin(upstream).origin.statBlob(REPOSITORY, DIGEST)).toEqual({ sizeBytes: BLOB.length });
    expect(upstream.seen[1]?.headers['range']).toBe('bytes=0-0');
  });

  test('is found for a body that comes without one', async () => {
    const upstream = await startServer((request, response) => {
      if (request.headers['range'] !== undefined) return serveBlob(request, response);
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      if (request.method === 'HEAD') response.end();
      else response.end(BLOB);
    });
    await using blob = await requireBlob(makeOrigin(upstream).origin);
    expect(blob.sizeBytes).toBe(BLOB.length);
    expect((await collect(blob.body)).equals(BLOB)).toBe(true);
  });

  test('that nobody tells is an error with its code', async () => {
    const upstream = await startServer((request, response) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      if (request.method === 'HEAD') response.end();
      else response.end(BLOB);
    });
    const { origin } = makeOrigin(upstream);
    await expect(origin.statBlob(REPOSITORY, DIGEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
    await expect(origin.openBlob(REPOSITORY, DIGEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
  });
});
