import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { DockyardError } from '../../../src/oci/error.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { parseTestAnswer, poll } from './facade-client.ts';
import { askRaw, errorCode, openTestFacade, sendRaw, type TestFacade } from './facade-fixture.ts';

const BYTES = Buffer.from(Array.from({ length: 2048 }, (_value, index) => index % 251));
const MISSING = digestOf(Buffer.from('missing'));

let node: TestFacade;

beforeEach(async () => {
  node = await openTestFacade();
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(node.url + path, init);
}

describe('the base', () => {
  test.each(['/v2/', '/v2', '/v2/?ns=not.configured'])('%s is answered here, without any upstream', async (path) => {
    const response = await ask(path);
    expect(response.status).toBe(200);
    expect(response.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.text()).toBe('{}');
  });
});

describe('blobs', () => {
  test('HEAD and GET have the same headers', async () => {
    const digest = node.blobs.add(BYTES);
    const [head, get] = [await ask(`/v2/a/blobs/${digest}`, { method: 'HEAD' }), await ask(`/v2/a/blobs/${digest}`)];
    const seen = (response: Response): [string, string][] =>
      [...response.headers].filter(([name]) => !['date', 'x-request-id', 'connection', 'keep-alive'].includes(name));
    expect(seen(head)).toEqual(seen(get));
    expect(Object.fromEntries(get.headers)).toMatchObject({
      'content-length': '2048',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'content-type': 'application/octet-stream',
      'cache-control': 'public,max-age=31536000,immutable',
    });
    expect(get.headers.get('content-encoding')).toBeNull();
    expect(await head.text()).toBe('');
    expect(Buffer.from(await get.arrayBuffer()).equals(BYTES)).toBe(true);
  });

  test.each([
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2048],
    ['bytes=-500', 1548, 2048],
    ['bytes=2000-5000', 2000, 2048],
    ['bytes=0-', 0, 2048],
    ['bytes=0-0', 0, 1],
    ['bytes=0-9223372036854775808', 0, 2048],
  ])('%s is answered exactly', async (range, start, end) => {
    const digest = node.blobs.add(BYTES);
    node.blobs.chunkSizeBytes = 100;
    const response = await ask(`/v2/a/blobs/${digest}`, { headers: { range } });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/2048`);
    expect(response.headers.get('content-length')).toBe(String(end - start));
    expect(Buffer.from(await response.arrayBuffer()).equals(BYTES.subarray(start, end))).toBe(true);
  });

  test.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=-0', 'bytes=2048-', 'bytes=9223372036854775808-'])(
    '%s cannot be satisfied',
    async (range) => {
      const response = await ask(`/v2/a/blobs/${node.blobs.add(BYTES)}`, { headers: { range } });
      expect(response.status).toBe(416);
      expect(response.headers.get('content-range')).toBe('bytes */2048');
      expect(errorCode(Buffer.from(await response.arrayBuffer()))).toBe('RANGE_INVALID');
      expect(node.blobs.closeCount).toBe(node.blobs.openCount);
    },
  );

  test.each(['bytes=0-1,5-6', 'items=0-1', 'bytes=x-y', 'bytes=', 'bytes=-'])('%s is ignored', async (range) => {
    const response = await ask(`/v2/a/blobs/${node.blobs.add(BYTES)}`, { headers: { range } });
    expect(response.status).toBe(200);
    expect((await response.arrayBuffer()).byteLength).toBe(2048);
  });

  test('If-Range heeds a range for the right tag alone', async () => {
    const digest = node.blobs.add(BYTES);
    const statuses = [];
    for (const ifRange of [`"${digest}"`, '"other"', `W/"${digest}"`]) {
      statuses.push(
        (await ask(`/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-1', 'if-range': ifRange } })).status,
      );
    }
    expect(statuses).toEqual([206, 200, 200]);
  });

  test('If-None-Match with the digest is answered 304, without reading', async () => {
    const digest = node.blobs.add(BYTES);
    const response = await ask(`/v2/a/blobs/${digest}`, { headers: { 'if-none-match': `"${digest}"` } });
    expect(response.status).toBe(304);
    expect(response.headers.get('etag')).toBe(`"${digest}"`);
    expect(node.blobs.openCount).toBe(0);
  });

  test('an empty blob has an empty body, and no range of it can be satisfied', async () => {
    const digest = node.blobs.add(Buffer.alloc(0));
    const response = await ask(`/v2/a/blobs/${digest}`);
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '0', '']);
    expect((await ask(`/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-' } })).status).toBe(416);
  });

  test('a blob that nobody has is unknown', async () => {
    const response = await ask(`/v2/a/blobs/${MISSING}`);
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(errorCode(Buffer.from(await response.arrayBuffer()))).toBe('BLOB_UNKNOWN');
    expect((await ask(`/v2/a/blobs/${MISSING}`, { method: 'HEAD' })).status).toBe(404);
  });

  test('no header is sent before the first bytes are there: a failure is an error that can be acted on', async () => {
    node.blobs.read = () => ({
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(new DockyardError('ERR_TRANSFER_BROKEN', 'secret')),
      }),
    });
    const response = await ask(`/v2/a/blobs/${node.blobs.add(BYTES)}`);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(response.headers.get('docker-content-digest')).toBeNull();
    const body = await response.text();
    expect(errorCode(Buffer.from(body))).toBe('UNAVAILABLE');
    expect(body).not.toContain('secret');
    expect(node.blobs.closeCount).toBe(1);
  });

  test.each([
    ['fewer', (bytes: Uint8Array) => bytes.subarray(0, 100)],
    ['more', (bytes: Uint8Array) => Buffer.concat([bytes, bytes])],
  ])('a source that gives %s bytes than it promised never completes a body', async (_what, change) => {
    node.blobs.read = (bytes, range) =>
      node.blobs.chunks(change(bytes), { start: range.start, end: change(bytes).length });
    node.blobs.chunkSizeBytes = 1500;
    const answer = await sendRaw(node.port, `GET /v2/a/blobs/${node.blobs.add(BYTES)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-length']).toBe('2048');
    expect(answer.body.length).toBeLessThan(2048);
  });

  test('a source that fails midway ends the body short, after all that it gave, and leaves one log entry', async () => {
    node.blobs.chunkSizeBytes = 500;
    node.blobs.read = async function* (bytes) {
      yield bytes.subarray(0, 700);
      yield await Promise.resolve(bytes.subarray(700, 1300));
      throw new DockyardError('ERR_TRANSFER_BROKEN', 'all sources failed');
    };
    const answer = await sendRaw(node.port, `GET /v2/a/blobs/${node.blobs.add(BYTES)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(answer.headers['content-length']).toBe('2048');
    expect(answer.body.equals(BYTES.subarray(0, 1300))).toBe(true);
    const warnings = () => node.logged.filter((entry) => entry['level'] === 40);
    await poll(() => warnings().length === 1);
    expect(warnings()[0]).toMatchObject({
      msg: 'response body ended short',
      sentBytes: 1300,
      err: { code: 'ERR_TRANSFER_BROKEN' },
    });
    expect(await node.metrics.getSingleMetricAsString('dockyard_http_short_bodies_total')).toMatch(/ 1$/m);
    expect(await node.metrics.getSingleMetricAsString('dockyard_served_bytes_total')).toContain('{to="client"} 1300');
    expect(node.blobs.closeCount).toBe(1);
  });

  test('a client that leaves frees the source at once, even while a read hangs', async () => {
    let isReturned = false;
    node.blobs.read = (bytes) => {
      let count = 0;
      const next = (): Promise<IteratorResult<Uint8Array>> =>
        count++ === 0 ? Promise.resolve({ done: false, value: bytes.subarray(0, 10) }) : new Promise(() => undefined);
      const stop = (): Promise<IteratorResult<Uint8Array>> => {
        isReturned = true;
        return Promise.resolve({ done: true, value: undefined });
      };
      return { [Symbol.asyncIterator]: () => ({ next, return: stop }) };
    };
    const socket = connect(node.port, '127.0.0.1');
    socket.write(`GET /v2/a/blobs/${node.blobs.add(BYTES)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(socket, 'data');
    socket.destroy();
    await poll(() => isReturned && node.blobs.closeCount === 1);
    expect(node.blobs.contexts[0]?.signal.aborted).toBe(true);
    expect(await node.metrics.getSingleMetricAsString('dockyard_http_short_bodies_total')).toMatch(/ 0$/m);
  });

  test('a client that reads slowly holds the source back', async () => {
    const big = Buffer.alloc(64 * 1024 * 1024, 1);
    let readBytes = 0;
    node.blobs.chunkSizeBytes = 256 * 1024;
    node.blobs.read = async function* (bytes, range) {
      for await (const chunk of node.blobs.chunks(bytes, range)) {
        readBytes += chunk.length;
        yield chunk;
      }
    };
    const socket = connect({ port: node.port, host: '127.0.0.1' });
    socket.write(`GET /v2/a/blobs/${node.blobs.add(big)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await once(socket, 'readable');
    let before = -1;
    await poll(() => {
      const isStill = readBytes === before;
      before = readBytes;
      return isStill;
    }, 100);
    // The window, one chunk, and what the two kernel buffers take.
    expect(readBytes).toBeLessThan(32 * 1024 * 1024);
    let seenBytes = 0;
    socket.on('data', (chunk: Buffer) => (seenBytes += chunk.length));
    await once(socket, 'end');
    expect(seenBytes).toBeGreaterThan(big.length);
    socket.destroy();
  });

  test('served bytes are counted as they leave', async () => {
    const digest = node.blobs.add(BYTES);
    await (await ask(`/v2/a/blobs/${digest}`)).arrayBuffer();
    await (await ask(`/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-99' } })).arrayBuffer();
    await ask(`/v2/a/blobs/${digest}`, { method: 'HEAD' });
    expect(await node.metrics.getSingleMetricAsString('dockyard_served_bytes_total')).toContain('{to="client"} 2148');
  });

  test('two requests in one packet are answered in their order', async () => {
    const digest = node.blobs.add(BYTES);
    const request = (close: string): string => `GET /v2/a/blobs/${digest} HTTP/1.1\r\nHost: x\r\n${close}\r\n`;
    const answer = await sendRaw(node.port, request('') + request('Connection: close\r\n'));
    const second = parseTestAnswer(answer.body.subarray(2048));
    expect(answer.body.subarray(0, 2048).equals(BYTES)).toBe(true);
    expect(second.body.equals(BYTES)).toBe(true);
  });
});

describe('manifests', () => {
  const bytes = Buffer.from('{ "schemaVersion": 2 }\n');
  const digest = digestOf(bytes);
  const manifest = { digest, mediaType: MEDIA_TYPES.ociIndex, bytes };

  test('the bytes and their type are answered as they were pushed, whatever is accepted', async () => {
    node.manifests.served.set('docker.io/library/alpine latest', manifest);
    for (const accept of ['*/*', MEDIA_TYPES.dockerManifest, '', `${MEDIA_TYPES.ociIndex};q=0`]) {
      const response = await ask('/v2/library/alpine/manifests/latest', { headers: { accept } });
      expect(response.headers.get('content-type')).toBe(MEDIA_TYPES.ociIndex);
      expect(response.headers.get('docker-content-digest')).toBe(digest);
      expect(response.headers.get('content-length')).toBe(String(bytes.length));
      expect(await response.text()).toBe(bytes.toString());
    }
  });

  test('HEAD has the headers of GET and no body', async () => {
    node.manifests.served.set('docker.io/library/alpine latest', manifest);
    const response = await ask('/v2/alpine/manifests/latest', { method: 'HEAD' });
    expect(response.headers.get('content-length')).toBe(String(bytes.length));
    expect(response.headers.get('etag')).toBe(`"${digest}"`);
    expect(response.headers.get('content-type')).toBe(MEDIA_TYPES.ociIndex);
    expect(await response.text()).toBe('');
  });

  test('the three ways to name an upstream lead to the same manifest', async () => {
    node.manifests.served.set(`ghcr.io/a/b ${digest}`, manifest);
    const [byNs, byPath] = [
      await ask(`/v2/a/b/manifests/${digest}?ns=ghcr.io`),
      await ask(`/v2/ghcr.io/a/b/manifests/${digest}`),
    ];
    expect([byNs.status, byPath.status]).toEqual([200, 200]);
    expect(byNs.headers.get('oci-namespace')).toBe('ghcr.io');
    await ask('/v2/alpine/manifests/latest?ns=docker.io');
    await ask('/v2/alpine/manifests/latest');
    expect(node.manifests.asked).toEqual([
      `ghcr.io/a/b ${digest}`,
      `ghcr.io/a/b ${digest}`,
      'docker.io/library/alpine latest',
      'docker.io/library/alpine latest',
    ]);
  });

  test('a known digest is answered 304', async () => {
    node.manifests.served.set('docker.io/library/alpine latest', manifest);
    const response = await ask('/v2/alpine/manifests/latest', { headers: { 'if-none-match': `"x", "${digest}"` } });
    expect([response.status, response.headers.get('docker-content-digest'), await response.text()]).toEqual([
      304,
      digest,
      '',
    ]);
  });

  test('a tag that could not be checked says so', async () => {
    node.manifests.served.set('docker.io/library/alpine latest', { ...manifest, staleForMs: 61_500 });
    const { headers } = await ask('/v2/alpine/manifests/latest');
    expect([headers.get('warning'), headers.get('age'), headers.get('dockyard-stale')]).toEqual([
      '110 - "stale, last checked 61 s ago"',
      '61',
      '61',
    ]);
  });

  test.each([
    ['ERR_ORIGIN_DENIED', 403, 'DENIED'],
    ['ERR_ORIGIN_RATE_LIMITED', 503, 'UNAVAILABLE'],
    ['ERR_ORIGIN_UNAVAILABLE', 503, 'UNAVAILABLE'],
    ['ERR_SOMETHING_NEW', 500, 'UNKNOWN'],
  ])('%s is told as %i', async (code, status, publicCode) => {
    node.manifests.failure = new DockyardError(code, 'secret');
    const response = await ask('/v2/alpine/manifests/latest');
    const body = await response.text();
    expect([response.status, errorCode(Buffer.from(body))]).toEqual([status, publicCode]);
    expect(response.headers.has('retry-after')).toBe(status === 503);
    expect(body).not.toContain('secret');
  });

  test('a manifest that nobody has is unknown', async () => {
    const response = await ask('/v2/alpine/manifests/nope');
    expect([response.status, errorCode(Buffer.from(await response.arrayBuffer()))]).toEqual([404, 'MANIFEST_UNKNOWN']);
  });
});

describe('lists', () => {
  test('a list is passed on, and its next page is at this node in the form of the client', async () => {
    const headers = {
      link: '<https://ghcr.io/v2/a/tags/list?n=1&last=x>; rel="next"',
      'set-cookie': 'a=b',
      'oci-filters-applied': 'artifactType',
    };
    node.lists.document = {
      status: 200,
      contentType: 'application/json',
      headers,
      bytes: Buffer.from('{"name":"a","tags":["x"]}'),
    };
    const byNs = await ask('/v2/a/tags/list?n=1&ns=ghcr.io&last=%2F');
    const byPath = await ask('/v2/ghcr.io/a/tags/list?n=1');
    expect(byNs.headers.get('link')).toBe('</v2/a/tags/list?n=1&last=x&ns=ghcr.io>; rel="next"');
    expect(byPath.headers.get('link')).toBe('</v2/ghcr.io/a/tags/list?n=1&last=x>; rel="next"');
    expect(byNs.headers.get('set-cookie')).toBeNull();
    expect(byNs.headers.get('oci-filters-applied')).toBe('artifactType');
    expect(await byNs.text()).toBe('{"name":"a","tags":["x"]}');
    expect(node.lists.asked).toEqual(['tags ghcr.io/a n=1&last=%2F', 'tags ghcr.io/a n=1']);
  });

  test('referrers are asked for by digest', async () => {
    node.lists.document = { status: 200, contentType: MEDIA_TYPES.ociIndex, headers: {}, bytes: Buffer.from('{}') };
    const response = await ask(`/v2/a/referrers/${MISSING}?artifactType=x`);
    expect(response.headers.get('content-type')).toBe(MEDIA_TYPES.ociIndex);
    expect(node.lists.asked).toEqual([`referrers docker.io/library/a ${MISSING} artifactType=x`]);
    expect((await ask('/v2/a/referrers/sha256:abc')).status).toBe(400);
  });

  test.each([
    [401, 403],
    [429, 503],
    [500, 503],
    [307, 502],
    [404, 404],
  ])('an upstream that answers %i is told as %i', async (status, told) => {
    node.lists.document = { status, contentType: 'application/json', headers: {}, bytes: Buffer.from('{}') };
    expect((await ask('/v2/a/tags/list')).status).toBe(told);
  });

  test('a repository that the upstream does not know is unknown', async () => {
    const response = await ask('/v2/a/tags/list');
    expect([response.status, errorCode(Buffer.from(await response.arrayBuffer()))]).toEqual([404, 'NAME_UNKNOWN']);
  });
});

describe('pushes', () => {
  test.each([
    ['POST', '/v2/a/blobs/uploads/', 'GET, HEAD'],
    ['PUT', '/v2/a/manifests/latest', 'GET, HEAD'],
    ['PATCH', '/v2/a/blobs/uploads/id', 'GET, HEAD'],
    ['DELETE', `/v2/a/blobs/${MISSING}`, 'GET, HEAD'],
    ['OPTIONS', '/v2/', 'GET, HEAD'],
  ])('%s %s is not supported', async (method, path, allow) => {
    const answer = await askRaw(node.port, path, { method, headers: ['Content-Length: 0'] });
    expect([answer.status, errorCode(answer.body), answer.headers['allow']]).toEqual([405, 'UNSUPPORTED', allow]);
  });

  test('an upload that is asked for is not there', async () => {
    const answer = await askRaw(node.port, '/v2/a/blobs/uploads/id', { method: 'GET', headers: [] });
    expect([answer.status, errorCode(answer.body)]).toEqual([404, 'UNSUPPORTED']);
  });

  test('a body that waits for 100 is not asked for', async () => {
    const answer = await askRaw(node.port, '/v2/a/manifests/latest', {
      method: 'PUT',
      headers: ['Content-Length: 1000000', 'Expect: 100-continue'],
    });
    expect(answer.status).toBe(405);
  });
});

describe('requests', () => {
  test('a sane id is kept, anything else gets a new one', async () => {
    const ids = [];
    for (const id of ['abc-1.2_3', 'a b', 'x'.repeat(129), '']) {
      ids.push((await ask('/v2/', { headers: { 'x-request-id': id } })).headers.get('x-request-id'));
    }
    expect(ids).toEqual(['abc-1.2_3', 'request-1', 'request-2', 'request-3']);
  });

  test('every request is counted by route, method and status, with labels that clients cannot invent', async () => {
    await ask('/v2/');
    await ask(`/v2/a/blobs/${MISSING}`, { method: 'HEAD' });
    await askRaw(node.port, '/nothing', { method: 'PROPFIND' });
    const text = await node.metrics.getSingleMetricAsString('dockyard_http_requests_total');
    expect(text).toContain('{route="base",method="GET",status="200"} 1');
    expect(text).toContain('{route="blob",method="HEAD",status="404"} 1');
    expect(text).toContain('{route="other",method="OTHER",status="404"} 1');
    expect(await node.metrics.getSingleMetricAsString('dockyard_http_requests_in_flight')).toMatch(/ 0$/m);
  });

  test('forwarding headers and Host change nothing in an answer', async () => {
    node.lists.document = {
      status: 200,
      contentType: 'application/json',
      headers: { link: '<?n=1>; rel="next"' },
      bytes: Buffer.from('{}'),
    };
    const answer = await sendRaw(
      node.port,
      'GET /v2/a/tags/list HTTP/1.1\r\nHost: evil.example/x\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nForwarded: host="[::1]"\r\nConnection: close\r\n\r\n',
    );
    expect(answer.status).toBe(200);
    expect(JSON.stringify(answer.headers)).not.toContain('evil');
  });
});
