import { createServer as createTcpServer, connect, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BREAKER_DEFAULTS } from '../../../src/origin/circuit-breaker.ts';
import { resolveUpstream, NO_PROXY, UPSTREAM_DEFAULTS } from '../../../src/origin/upstream-config.ts';
import {
  collect,
  LATEST,
  makeOrigin,
  MANIFEST_BYTES,
  MANIFEST_DIGEST,
  MANIFEST_HEADERS,
  REPOSITORY,
  startServer,
  startTlsServer,
  UPSTREAM,
} from './origin-fixture.ts';
import { makeCertificate } from './tls-fixture.ts';

const BY_TAG = { kind: 'tag', tag: LATEST } as const;

describe('a redirect', () => {
  test('to storage is followed without credentials', async () => {
    const storage = await startServer((_request, response) =>
      response.writeHead(200, { 'content-length': 5 }).end('bytes'),
    );
    const upstream = await startServer((request, response) => {
      if (request.headers['authorization'] === undefined)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else response.writeHead(307, { location: `${storage.url}/signed?key=1` }).end();
    });
    const { origin } = makeOrigin({ ...upstream, username: 'me', password: 'p' });
    const blob = await origin.openBlob(REPOSITORY, MANIFEST_DIGEST, { range: { start: 2, end: 5 } });
    expect((await collect(blob?.body ?? (async function* () {})())).toString()).toBe('tes');
    expect(storage.seen[0]).toMatchObject({ url: '/signed?key=1' });
    expect(storage.seen[0]?.headers['authorization']).toBeUndefined();
    expect(storage.seen[0]?.headers['range']).toBe('bytes=2-4');
  });

  test('within the upstream keeps the credentials', async () => {
    const upstream = await startServer((request, response) => {
      if (request.headers['authorization'] === undefined)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else if (request.url?.startsWith('/v2/') === true) response.writeHead(302, { location: '/elsewhere' }).end();
      else response.writeHead(200, MANIFEST_HEADERS).end(MANIFEST_BYTES);
    });
    const { origin } = makeOrigin({ ...upstream, username: 'me', password: 'p' });
    expect((await origin.fetchManifest(REPOSITORY, BY_TAG))?.digest).toBe(MANIFEST_DIGEST);
    expect(upstream.seenAt('/elsewhere')[0]?.headers['authorization']).toMatch(/^Basic /);
  });

  test.each([
    ['a link-local address', 'http://169.254.169.254/latest/meta-data/', 'ERR_ORIGIN_UNSAFE_TARGET'],
    ['a link-local address in another spelling', 'http://[::ffff:a9fe:a9fe]/', 'ERR_ORIGIN_UNSAFE_TARGET'],
    ['a file', 'file:///etc/passwd', 'ERR_ORIGIN_BAD_ANSWER'],
    ['a URL with credentials', 'http://a:b@127.0.0.1/', 'ERR_ORIGIN_BAD_ANSWER'],
    ['nonsense', 'http://[', 'ERR_ORIGIN_BAD_ANSWER'],
    ['itself', '', 'ERR_ORIGIN_BAD_ANSWER'],
  ])('to %s is refused', async (_what, location, code) => {
    const upstream = await startServer((_request, response) => response.writeHead(302, { location }).end());
    await expect(makeOrigin(upstream).origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({ code });
    expect(upstream.seen.length).toBeLessThanOrEqual(6);
  });

  test('from a public upstream to a private address is refused, by address and by name, unless allowed', async () => {
    const inside = await startServer((_request, response) =>
      response.writeHead(200, MANIFEST_HEADERS).end(MANIFEST_BYTES),
    );
    // The upstream is reached by a proxy, so that it can have a public name.
    const proxy = await startServer((request, response) => {
      const host = request.url?.includes('by-name') === true ? 'rebound.test' : '127.0.0.1';
      response.writeHead(302, { location: `http://${host}:${inside.port}/` }).end();
    });
    const resolveHost = (name: string): Promise<{ address: string; family: number }[]> =>
      Promise.resolve([{ address: name === 'rebound.test' ? '127.0.0.1' : '93.184.216.34', family: 4 }]);
    const settings = { httpProxy: proxy.url, httpsProxy: '', noProxy: 'rebound.test,127.0.0.1' };
    for (const url of ['http://public.test/by-name', 'http://public.test/by-address']) {
      const { origin } = makeOrigin({ url }, { resolveHost }, settings);
      await expect(origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({
        code: 'ERR_ORIGIN_UNSAFE_TARGET',
      });
      expect(inside.seen).toHaveLength(0);
    }
    const { origin } = makeOrigin(
      { url: 'http://public.test/by-name', allowPrivateRedirects: true },
      { resolveHost },
      settings,
    );
    expect((await origin.fetchManifest(REPOSITORY, BY_TAG))?.digest).toBe(MANIFEST_DIGEST);
  });

  test('from https to http is refused', async () => {
    const tls = await makeCertificate();
    const clear = await startServer((_request, response) => response.end());
    const upstream = await startTlsServer(tls, (_request, response) =>
      response.writeHead(302, { location: clear.url }).end(),
    );
    const { origin } = makeOrigin({ ...upstream, caPem: tls.cert });
    await expect(origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNSAFE_TARGET' });
    expect(clear.seen).toHaveLength(0);
  });
});

describe('a certificate', () => {
  test('of an authority that the operator named is trusted, and otherwise not', async () => {
    const tls = await makeCertificate();
    const upstream = await startTlsServer(tls, (_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    expect((await makeOrigin({ ...upstream, caPem: tls.cert }).origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(
      MANIFEST_DIGEST,
    );
    const { origin, clock } = makeOrigin(upstream);
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNTRUSTED' });
    expect(clock.sleptMs).toEqual([]);
  });

  test('that cannot be read is refused when configured', () => {
    expect(() => makeOrigin({ url: 'https://a.test', caPem: 'nonsense' })).toThrow(
      expect.objectContaining({ code: 'ERR_UPSTREAM_INVALID' }),
    );
  });
});

describe('an upstream that fails', () => {
  test.each([429, 500, 502, 503, 504])('with %i is asked again', async (status) => {
    const upstream = await startServer((_request, response) => {
      if (upstream.seen.length < 3) response.writeHead(status).end();
      else response.writeHead(200, MANIFEST_HEADERS).end();
    });
    const { origin, clock, metric } = makeOrigin(upstream);
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    expect(clock.sleptMs).toEqual([150, 300]);
    expect(await metric('dockyard_origin_retries_total', { kind: 'tag' })).toBe(2);
  });

  test.each([
    [429, 'ERR_ORIGIN_RATE_LIMITED', 4],
    [503, 'ERR_ORIGIN_UNAVAILABLE', 4],
    [501, 'ERR_ORIGIN_UNAVAILABLE', 1],
  ])('with %i for good is given up as %s after %i requests', async (status, code, requests) => {
    const body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\u0007 down"}]}';
    const upstream = await startServer((_request, response) => response.writeHead(status).end(body));
    const fetching = makeOrigin(upstream).origin.fetchManifest(REPOSITORY, BY_TAG);
    await expect(fetching).rejects.toMatchObject({
      code,
      details: { upstream: UPSTREAM, status, reason: 'TOOMANYREQUESTS: slow? down' },
    });
    expect(upstream.seen).toHaveLength(requests);
  });

  test('and says when to come back is waited for', async () => {
    const upstream = await startServer((_request, response) => {
      if (upstream.seen.length === 1) response.writeHead(429, { 'retry-after': '7' }).end();
      else response.writeHead(200, MANIFEST_HEADERS).end();
    });
    const { origin, clock } = makeOrigin(upstream);
    await origin.resolveTag(REPOSITORY, LATEST);
    expect(clock.sleptMs).toEqual([7_000]);
  });

  test('and wants to be left alone for long is left alone, for that kind of request', async () => {
    const upstream = await startServer((request, response) => {
      if (request.method === 'GET') response.writeHead(429, { 'retry-after': '3600' }).end();
      else response.writeHead(200, MANIFEST_HEADERS).end();
    });
    const { origin, clock } = makeOrigin(upstream);
    await expect(origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({ code: 'ERR_ORIGIN_RATE_LIMITED' });
    await expect(origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({ code: 'ERR_ORIGIN_RATE_LIMITED' });
    expect([upstream.seen.length, clock.sleptMs.length]).toEqual([1, 0]);
    expect(await origin.resolveTag(REPOSITORY, LATEST)).toBeDefined();
    clock.aheadMs = 61_000;
    await expect(origin.fetchManifest(REPOSITORY, BY_TAG)).rejects.toMatchObject({ code: 'ERR_ORIGIN_RATE_LIMITED' });
    expect(upstream.seen).toHaveLength(3);
  });

  test('by accepting and saying nothing is a stall', async () => {
    const upstream = await startServer(() => undefined);
    const { origin } = makeOrigin({ ...upstream, progressTimeoutMs: 100, maxRetries: 1 });
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_STALLED' });
    expect(upstream.seen).toHaveLength(2);
  });

  test('by saying nothing is asked three times: each time costs the whole of what it may be silent', async () => {
    const upstream = await startServer(() => undefined);
    const { origin } = makeOrigin({ ...upstream, progressTimeoutMs: 50 });
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_STALLED' });
    expect(upstream.seen).toHaveLength(3);
  });

  test('to answer for one thing is asked for others all the same', async () => {
    const upstream = await startServer((request, response) => {
      if (request.method === 'HEAD') response.writeHead(200, MANIFEST_HEADERS).end();
    });
    const { origin, clock } = makeOrigin({ ...upstream, progressTimeoutMs: 50 });
    for (let round = 0; round < 2; round += 1) {
      clock.aheadMs += BREAKER_DEFAULTS.outageMs;
      await expect(origin.openBlob(REPOSITORY, MANIFEST_DIGEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_STALLED' });
    }
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
  });

  test('is no stall while the connection has yet to come about', async () => {
    const tls = await makeCertificate();
    const upstream = await startTlsServer(tls, (_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    // TLS is spoken only after several times what the upstream may be silent.
    const gate = createTcpServer((socket) => {
      setTimeout(() => {
        const onward = connect(upstream.port, '127.0.0.1');
        for (const end of [socket, onward]) end.on('error', () => undefined);
        socket.pipe(onward).pipe(socket);
      }, 400);
    });
    await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void gate.close());
    const { port } = gate.address() as AddressInfo;
    const url = `https://127.0.0.1:${port}`;
    const { origin } = makeOrigin({ url, caPem: tls.cert, progressTimeoutMs: 100, maxRetries: 0 });
    expect(await origin.resolveTag(REPOSITORY, LATEST)).toBeDefined();
  });

  test('is given up soon by a caller with little patience', async () => {
    const upstream = await startServer(() => undefined);
    const { origin } = makeOrigin(upstream);
    const startedAtMs = performance.now();
    await expect(origin.resolveTag(REPOSITORY, LATEST, { patienceMs: 100 })).rejects.toMatchObject({
      code: 'ERR_ORIGIN_STALLED',
    });
    expect(performance.now() - startedAtMs).toBeLessThan(3_000);
    expect(upstream.seen).toHaveLength(1);
  });

  test('by not speaking HTTP is named for that', async () => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('SSH-2.0-OpenSSH_9.6\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { origin } = makeOrigin({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_BAD_ANSWER' });
  });

  test('by being gone costs nothing once that has lasted, and is tried again after a while', async () => {
    const upstream = await startServer((_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    upstream.server.close();
    const { origin, clock, metric } = makeOrigin(upstream);
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
    expect(await metric('dockyard_origin_breaker_open', { upstream: UPSTREAM })).toBe(0);
    clock.aheadMs = BREAKER_DEFAULTS.outageMs;
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
    const attempts = await metric('dockyard_origin_requests_total', { outcome: 'unreachable' });
    expect(attempts).toBe(1 + UPSTREAM_DEFAULTS.maxRetries + 1);
    expect(await metric('dockyard_origin_breaker_open', { upstream: UPSTREAM })).toBe(1);
    const startedAtMs = performance.now();
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
    expect(performance.now() - startedAtMs).toBeLessThan(50);
    expect(await metric('dockyard_origin_requests_total', { outcome: 'unreachable' })).toBe(attempts);
    await new Promise<void>((resolve) => upstream.server.listen(upstream.port, '127.0.0.1', resolve));
    clock.aheadMs += BREAKER_DEFAULTS.openMs + 1;
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    expect(await metric('dockyard_origin_breaker_open', { upstream: UPSTREAM })).toBe(0);
  });
});

describe('a proxy', () => {
  test('is asked for plain upstreams by their full URL, and never when NO_PROXY says so', async () => {
    const proxy = await startServer((_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    const settings = { httpProxy: proxy.url.replace('://', '://user:pw@'), httpsProxy: '', noProxy: '127.0.0.1' };
    const { origin } = makeOrigin({ url: 'http://registry.test' }, {}, settings);
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    expect(proxy.seen[0]?.url).toBe('http://registry.test/v2/library/thing/manifests/latest');
    expect(proxy.seen[0]?.headers['proxy-authorization']).toBe(`Basic ${Buffer.from('user:pw').toString('base64')}`);
    const upstream = await startServer((_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    await makeOrigin(upstream, {}, settings).origin.resolveTag(REPOSITORY, LATEST);
    expect([proxy.seen.length, upstream.seen.length]).toEqual([1, 1]);
  });

  test('is a tunnel to upstreams with TLS, whose own certificate counts', async () => {
    const tls = await makeCertificate();
    const upstream = await startTlsServer(tls, (_request, response) => response.writeHead(200, MANIFEST_HEADERS).end());
    const proxy = await startServer((_request, response) => response.writeHead(500).end());
    const tunnels: string[] = [];
    proxy.server.on('connect', (request: { url?: string }, socket: Socket) => {
      tunnels.push(request.url ?? '');
      const onward = connect(upstream.port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.pipe(socket).pipe(onward);
      });
      for (const end of [socket, onward]) end.on('error', () => [socket, onward].forEach((other) => other.destroy()));
      socket.on('close', () => onward.destroy());
      onTestFinished(() => void socket.destroy());
    });
    const settings = { httpProxy: '', httpsProxy: proxy.url, noProxy: '' };
    const url = `https://localhost:${upstream.port}`;
    expect(
      (await makeOrigin({ url, caPem: tls.cert }, {}, settings).origin.resolveTag(REPOSITORY, LATEST))?.digest,
    ).toBe(MANIFEST_DIGEST);
    expect(tunnels).toEqual([`localhost:${upstream.port}`]);
    await expect(makeOrigin({ url }, {}, settings).origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({
      code: 'ERR_ORIGIN_UNTRUSTED',
    });
  });
});

describe('a new table of upstreams', () => {
  test('lets a running read go on, resumed where it breaks, with what it began with', async () => {
    const bytes = Buffer.alloc(200_000, 7);
    const { promise: isReplaced, resolve: replaced } = Promise.withResolvers<undefined>();
    const upstream = await startServer((request, response) => {
      const start = Number(/\d+/.exec(request.headers['range'] ?? '0')?.[0]);
      const range = start === 0 ? {} : { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
      response.writeHead(start === 0 ? 200 : 206, { 'content-length': bytes.length - start, ...range });
      if (start > 0) return void response.end(bytes.subarray(start));
      response.write(bytes.subarray(0, 1_000));
      void isReplaced.then(() => response.destroy());
    });
    const { origin } = makeOrigin(upstream);
    const blob = await origin.openBlob(REPOSITORY, MANIFEST_DIGEST);
    if (blob === undefined) throw new Error('the upstream does not have the blob');
    origin.reconfigure({
      upstreams: [resolveUpstream({ name: 'new.test', url: 'http://127.0.0.1:9' })],
      proxy: NO_PROXY,
    });
    replaced(undefined);
    expect((await collect(blob.body)).equals(bytes)).toBe(true);
    expect(origin.upstreams).toEqual(['new.test']);
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNKNOWN' });
  });

  test('that is wrong changes nothing', () => {
    const { origin } = makeOrigin({ url: 'http://127.0.0.1:9' });
    const twice = resolveUpstream({ name: 'new.test', url: 'http://127.0.0.1:9' });
    expect(() => origin.reconfigure({ upstreams: [twice, twice], proxy: NO_PROXY })).toThrow(
      expect.objectContaining({ code: 'ERR_UPSTREAM_INVALID' }),
    );
    expect(origin.upstreams).toEqual([UPSTREAM]);
  });

  test.each([
    { url: 'registry.test' },
    { url: 'ftp://registry.test' },
    { url: 'https://me:secret@registry.test' },
    { url: 'https://registry.test/?x=1' },
    { url: 'https://registry.test', repositoryPrefix: 'Not/A/Name' },
    { url: 'https://registry.test', username: 'me' },
    { url: 'https://registry.test', username: 'me:you', password: 'p' },
  ])('with the entry %j is refused', (entry) => {
    expect(() => resolveUpstream({ name: 'x', ...entry })).toThrow(
      expect.objectContaining({ code: 'ERR_UPSTREAM_INVALID' }),
    );
  });
});
