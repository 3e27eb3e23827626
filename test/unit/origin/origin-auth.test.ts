import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { parseTokenAnswer } from '../../../src/origin/token-client.ts';
import { mayGetCredentials } from '../../../src/origin/dispatchers.ts';
import { resolveUpstream } from '../../../src/origin/upstream-config.ts';
import {
  LATEST,
  makeOrigin,
  MANIFEST_DIGEST,
  MANIFEST_HEADERS,
  REPOSITORY,
  startServer,
  startTlsServer,
  type FakeServer,
} from './origin-fixture.ts';
import { makeCertificate } from './tls-fixture.ts';

const ME = { username: 'me', password: 'pass:wörd' };
const MY_BASIC = `Basic ${Buffer.from('me:pass:wörd').toString('base64')}`;

/** A registry that wants one of the tokens, and says where to get them. */
async function startRegistry(realm: () => string, accepted: Set<string>): Promise<FakeServer> {
  return await startServer((request, response) => {
    if (accepted.has(request.headers['authorization'] ?? ''))
      return void response.writeHead(200, MANIFEST_HEADERS).end();
    const challenge = `Bearer realm="${realm()}",service="registry.test",scope="repository:library/thing:pull"`;
    response.writeHead(401, { 'www-authenticate': challenge }).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
  });
}

function sendToken(response: ServerResponse, fields: Record<string, unknown>): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(fields));
}

describe('basic authentication', () => {
  test('answers a challenge, and comes with the first attempt from then on', async () => {
    const upstream = await startServer((request, response) => {
      if (request.headers['authorization'] === MY_BASIC) response.writeHead(200, MANIFEST_HEADERS).end();
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const { origin } = makeOrigin({ ...upstream, ...ME });
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    await origin.resolveTag(REPOSITORY, LATEST);
    expect(upstream.seen.map(({ headers }) => headers['authorization'])).toEqual([undefined, MY_BASIC, MY_BASIC]);
  });

  test.each([401, 403])('that is refused with %i is a denial, not tried for ever', async (status) => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(status, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    const { origin, metric } = makeOrigin({ ...upstream, ...ME });
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_DENIED' });
    expect(upstream.seen.length).toBeLessThanOrEqual(2);
    expect(await metric('dockyard_origin_requests_total', { outcome: 'denied' })).toBe(1);
  });

  test('is not tried without credentials', async () => {
    const upstream = await startServer((_request, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    await expect(makeOrigin(upstream).origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({
      code: 'ERR_ORIGIN_DENIED',
    });
    expect(upstream.seen).toHaveLength(1);
  });
});

describe('token authentication', () => {
  test('asks once for a token, with credentials, and uses it until it ends', async () => {
    let issued = 0;
    const accepted = new Set<string>();
    const tokens = await startServer((_request, response) => {
      accepted.add(`Bearer token-${(issued += 1)}`);
      sendToken(response, { token: `token-${issued}`, expires_in: 300 });
    });
    const upstream = await startRegistry(() => `${tokens.url}/token?x=1`, accepted);
    const { origin, clock } = makeOrigin({ ...upstream, ...ME });
    await Promise.all([origin.resolveTag(REPOSITORY, LATEST), origin.resolveTag(REPOSITORY, LATEST)]);
    await origin.resolveTag(REPOSITORY, LATEST);
    expect(tokens.seen).toHaveLength(1);
    const asked = new URL(tokens.seen[0]?.url ?? '', tokens.url);
    expect(Object.fromEntries(asked.searchParams)).toEqual({
      x: '1',
      service: 'registry.test',
      scope: 'repository:library/thing:pull',
      client_id: 'dockyard',
      account: 'me',
    });
    expect(tokens.seen[0]?.headers['authorization']).toBe(MY_BASIC);
    expect(upstream.seen.every(({ headers }) => headers['authorization'] !== MY_BASIC)).toBe(true);
    clock.aheadMs = 301_000;
    await origin.resolveTag(REPOSITORY, LATEST);
    expect(tokens.seen).toHaveLength(2);
  });

  test('replaces a token that is refused before its time, once', async () => {
    const accepted = new Set(['Bearer first']);
    const tokens = await startServer((_request, response) =>
      sendToken(response, { access_token: tokens.seen.length === 1 ? 'first' : 'second' }),
    );
    const upstream = await startRegistry(() => tokens.url, accepted);
    const { origin } = makeOrigin(upstream);
    await origin.resolveTag(REPOSITORY, LATEST);
    accepted.clear();
    accepted.add('Bearer second');
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    accepted.clear();
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_DENIED' });
    expect(tokens.seen).toHaveLength(3);
  });

  test('exchanges an identity token in the body of a POST, never in a URL', async () => {
    const bodies: string[] = [];
    const tokens = await startServer((request: IncomingMessage, response) => {
      request.setEncoding('utf8').on('data', (text: string) => bodies.push(text));
      request.on('end', () => sendToken(response, { access_token: 'fresh' }));
    });
    const upstream = await startRegistry(() => tokens.url, new Set(['Bearer fresh']));
    const credentials = {
      credentialsFor: () => Promise.resolve({ kind: 'identity-token', token: 'refresh+me' } as const),
      refused: () => undefined,
    };
    await makeOrigin(upstream, { credentials }).origin.resolveTag(REPOSITORY, LATEST);
    expect(tokens.seen[0]).toMatchObject({ method: 'POST', url: '/' });
    const form = new URLSearchParams(bodies.join(''));
    expect([form.get('grant_type'), form.get('refresh_token'), form.get('service')]).toEqual([
      'refresh_token',
      'refresh+me',
      'registry.test',
    ]);
  });

  test('sends a configured token as it is', async () => {
    const upstream = await startRegistry(() => 'https://nowhere.test/', new Set(['Bearer ready']));
    await makeOrigin({ ...upstream, token: 'ready' }).origin.resolveTag(REPOSITORY, LATEST);
    expect(upstream.seen).toHaveLength(1);
  });

  test('waits for a token server that is busy, as for a registry', async () => {
    const tokens = await startServer((_request, response) => {
      if (tokens.seen.length === 1) response.writeHead(503).end();
      else sendToken(response, { token: 't' });
    });
    const upstream = await startRegistry(() => tokens.url, new Set(['Bearer t']));
    expect((await makeOrigin(upstream).origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
  });

  test.each([
    ['HTML', 200, '<html>', 'ERR_ORIGIN_BAD_ANSWER'],
    ['no token', 200, '{}', 'ERR_ORIGIN_BAD_ANSWER'],
    ['a token that would break the header', 200, '{"token":"a\\r\\nb"}', 'ERR_ORIGIN_BAD_ANSWER'],
    ['a redirect', 302, '', 'ERR_ORIGIN_BAD_ANSWER'],
    ['a refusal', 401, '', 'ERR_ORIGIN_DENIED'],
  ])('of a token server that answers with %s fails by its code', async (_what, status, body, code) => {
    const tokens = await startServer((_request, response) => response.writeHead(status, { location: '/x' }).end(body));
    const upstream = await startRegistry(() => tokens.url, new Set());
    await expect(makeOrigin({ ...upstream, ...ME }).origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({
      code,
    });
    expect(tokens.seen).toHaveLength(1);
  });
});

describe('credentials', () => {
  test('are not sent to the token server of a stranger', async () => {
    const stranger = await startServer((_request, response) => sendToken(response, { token: 't' }));
    const upstream = await startRegistry(() => `http://localhost:${stranger.port}/token`, new Set(['Bearer t']));
    await expect(makeOrigin({ ...upstream, ...ME }).origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({
      code: 'ERR_ORIGIN_UNSAFE_TARGET',
    });
    expect(stranger.seen).toHaveLength(0);
  });

  test('are sent to a token server that the operator names', async () => {
    const named = await startServer((_request, response) => sendToken(response, { token: 't' }));
    const upstream = await startRegistry(() => `http://localhost:${named.port}/token`, new Set(['Bearer t']));
    const { origin } = makeOrigin({ ...upstream, ...ME, tokenHosts: ['localhost'] });
    expect((await origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    expect(named.seen[0]?.headers['authorization']).toBe(MY_BASIC);
  });

  test('are not needed for the token server of a stranger, which may be asked without them', async () => {
    const stranger = await startServer((_request, response) => sendToken(response, { token: 't' }));
    const upstream = await startRegistry(() => `http://localhost:${stranger.port}/token`, new Set(['Bearer t']));
    expect((await makeOrigin(upstream).origin.resolveTag(REPOSITORY, LATEST))?.digest).toBe(MANIFEST_DIGEST);
    expect(stranger.seen[0]?.headers['authorization']).toBeUndefined();
  });

  test('are not sent in the clear for an upstream with TLS', async () => {
    const tls = await makeCertificate();
    const clear = await startServer((_request, response) => sendToken(response, { token: 't' }));
    const upstream = await startTlsServer(tls, (_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://127.0.0.1:${clear.port}/token"` }).end();
    });
    const { origin } = makeOrigin({ ...upstream, ...ME, caPem: tls.cert });
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNSAFE_TARGET' });
    expect(clear.seen).toHaveLength(0);
  });

  test.each([
    ['https://auth.docker.io/token', 'https://registry-1.docker.io', true],
    ['https://gitlab.com/jwt/auth', 'https://registry.gitlab.com', true],
    ['https://auth.docker.io.evil.test/token', 'https://registry-1.docker.io', false],
    ['https://evil.test/?auth.docker.io', 'https://registry-1.docker.io', false],
    ['https://theirs.azurecr.io/oauth2/token', 'https://mine.azurecr.io', false],
  ])('may go to %s for %s: %j', (realm, url, expected) => {
    expect(mayGetCredentials(new URL(realm), resolveUpstream({ name: 'x', url }))).toBe(expected);
  });

  test('never stand in an error', async () => {
    const upstream = await startRegistry(() => 'https://evil.test/token', new Set());
    const error: unknown = await makeOrigin({ ...upstream, ...ME })
      .origin.resolveTag(REPOSITORY, LATEST)
      .catch((thrown: unknown) => thrown);
    expect(JSON.stringify([error, String(error), (error as Error).stack])).not.toMatch(/wörd|bWU6/);
  });
});

test('a token answer is read by the rules of the specification', () => {
  const read = (document: unknown): unknown => parseTokenAnswer(Buffer.from(JSON.stringify(document)));
  expect(read({ token: 'a', access_token: 'b', expires_in: 90 })).toEqual({ token: 'a', lifeSeconds: 90 });
  expect(read({ access_token: 'b' })).toEqual({ token: 'b', lifeSeconds: 60 });
  expect(read({ token: 7 })).toBeUndefined();
  expect(read(null)).toBeUndefined();
});
