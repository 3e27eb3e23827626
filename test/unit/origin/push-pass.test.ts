/** Pushes that are passed on to an upstream. */
import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { collect, makeOrigin, REPOSITORY, startServer } from './origin-fixture.ts';

const BYTES = seededBytes(3_000_000, 1);
const ME = { username: 'me', password: 'secret' };

async function* inChunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield await Promise.resolve(bytes.subarray(at, at + 65_536));
}

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => await collect(request as AsyncIterable<Uint8Array>);

describe('a push that is passed on', () => {
  test('arrives to the byte, with the length and the headers that tell of the content', async () => {
    let seen = '';
    const upstream = await startServer((request, response) => {
      void bodyOf(request).then((bytes) => {
        seen = digestOf(bytes);
        response.writeHead(202, { location: '/v2/library/thing/blobs/uploads/id', range: '0-2999999' }).end();
      });
    });
    const { origin } = makeOrigin(upstream);
    const headers = { 'content-length': String(BYTES.length), 'content-range': '0-2999999' };
    const request = { method: 'PATCH', rest: 'blobs/uploads/id?_state=x%20y', headers, body: inChunks(BYTES) } as const;
    const answer = await origin.pass(REPOSITORY, request);
    expect(seen).toBe(digestOf(BYTES));
    expect(answer).toMatchObject({ status: 202, headers: { range: '0-2999999' } });
    const [, patched] = upstream.seen;
    expect(patched?.url).toBe('/v2/library/thing/blobs/uploads/id?_state=x%20y');
    expect(patched?.headers).toMatchObject(headers);
  });

  test('asks what is asked for before it spends its body, and pushes with a token for pushing', async () => {
    const scopes: (string | null)[] = [];
    const upstream = await startServer((request, response) => {
      const url = new URL(request.url ?? '', 'http://x');
      if (url.pathname === '/token') {
        scopes.push(url.searchParams.get('scope'));
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"good"}');
        return;
      }
      if (request.headers['authorization'] !== 'Bearer good') {
        const challenge = `Bearer realm="${upstream.url}/token",service="s"`;
        request.resume();
        response.writeHead(401, { 'www-authenticate': challenge }).end();
        return;
      }
      void bodyOf(request).then((bytes) => response.writeHead(201, { 'oci-subject': digestOf(bytes) }).end());
    });
    const { origin } = makeOrigin({ ...upstream, ...ME });
    const request = { method: 'PUT', rest: 'manifests/v1', headers: {}, body: inChunks(BYTES) } as const;
    const answer = await origin.pass(REPOSITORY, request);
    expect(answer).toMatchObject({ status: 201, headers: { 'oci-subject': digestOf(BYTES) } });
    expect(scopes).toEqual(['repository:library/thing:pull,push']);
    expect(upstream.seen.map(({ method, url }) => `${method} ${url.split('?')[0]}`)).toEqual([
      'GET /v2/',
      'GET /token',
      'PUT /v2/library/thing/manifests/v1',
    ]);
  });

  test('without a body is tried again with what was asked for', async () => {
    const upstream = await startServer((request, response) => {
      const isMine = request.headers['authorization'] === `Basic ${Buffer.from('me:secret').toString('base64')}`;
      if (isMine) response.writeHead(202).end();
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const { origin } = makeOrigin({ ...upstream, ...ME });
    const answer = await origin.pass(REPOSITORY, { method: 'DELETE', rest: 'manifests/v1', headers: {} });
    expect(answer.status).toBe(202);
    expect(upstream.seen).toHaveLength(2);
  });

  test('is a denial when the credentials of this node are refused, and never a question to the client', async () => {
    const upstream = await startServer((request, response) => {
      request.resume();
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const { origin } = makeOrigin(upstream);
    for (const body of [undefined, inChunks(BYTES)]) {
      const passing = origin.pass(REPOSITORY, { method: 'PUT', rest: 'manifests/v1', headers: {}, body });
      await expect(passing).rejects.toMatchObject({ code: 'ERR_ORIGIN_DENIED' });
    }
  });

  test.each([
    ['/v2/library/thing/blobs/uploads/id?_state=a%2Bb', '/v2/library/thing/blobs/uploads/id?_state=a%2Bb'],
    ['HERE/v2/library/thing/blobs/uploads/id?_state=a', '/v2/library/thing/blobs/uploads/id?_state=a'],
    ['https://storage.example/upload?signature=x', 'https://storage.example/upload?signature=x'],
    ['/elsewhere/id', '/elsewhere/id'],
  ])('that goes on at %s goes on at %s', async (told, expected) => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(202, { location: told.replace('HERE', upstream.url) }).end(),
    );
    const { origin } = makeOrigin(upstream);
    const answer = await origin.pass(REPOSITORY, { method: 'POST', rest: 'blobs/uploads/', headers: {} });
    expect(answer.headers['location']).toBe(expected);
  });

  test('goes under the prefix of the upstream, and comes back without it', async () => {
    const upstream = await startServer((request, response) =>
      response.writeHead(202, { location: `${request.url}id` }).end(),
    );
    const { origin } = makeOrigin({ ...upstream, repositoryPrefix: 'mirror/of' });
    const answer = await origin.pass(REPOSITORY, { method: 'POST', rest: 'blobs/uploads/', headers: {} });
    expect(upstream.seen[0]?.url).toBe('/v2/mirror/of/library/thing/blobs/uploads/');
    expect(answer.headers['location']).toBe('/v2/library/thing/blobs/uploads/id');
  });

  test('ends with the failure of the client, and says so when the upstream is gone', async () => {
    const upstream = await startServer((request, response) => {
      request.resume().on('error', () => undefined);
      if (request.method === 'GET') response.end('{}');
    });
    const { origin } = makeOrigin(upstream);
    const failure = new Error('the client left');
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(BYTES.subarray(0, 1000));
      throw failure;
    };
    await expect(
      origin.pass(REPOSITORY, { method: 'POST', rest: 'blobs/uploads/', headers: {}, body: broken() }),
    ).rejects.toBe(failure);
    const nobody = makeOrigin({ url: 'http://127.0.0.1:9' });
    const passing = nobody.origin.pass(REPOSITORY, { method: 'POST', rest: 'blobs/uploads/', headers: {} });
    await expect(passing).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
  });
});
