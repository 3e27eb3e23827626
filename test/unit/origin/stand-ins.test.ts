/** Upstreams that keep the same stand in for each other. */
import type { RequestListener } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { NO_CREDENTIALS } from '../../../src/origin/credentials.ts';
import { OriginRegistry } from '../../../src/origin/origin-registry.ts';
import { NO_PROXY, resolveUpstream } from '../../../src/origin/upstream-config.ts';
import {
  collect,
  impatientClock,
  LATEST,
  MANIFEST_BYTES,
  MANIFEST_DIGEST,
  MANIFEST_HEADERS,
  REPOSITORY,
  startServer,
  type FakeServer,
} from './origin-fixture.ts';

const AT_A = { ...REPOSITORY, upstream: 'a' };
const BLOB = Buffer.from('bytes of a blob');
const BLOB_DIGEST = digestOf(BLOB);

/** Answers all that is asked for. */
const whole: RequestListener = (request, response) => {
  const url = request.url ?? '';
  if (url.includes('/blobs/')) response.writeHead(200, { 'content-length': BLOB.length }).end(BLOB);
  else if (url.includes('/manifests/')) response.writeHead(200, MANIFEST_HEADERS).end(MANIFEST_BYTES);
  else response.writeHead(200, { 'content-type': 'application/json' }).end('{"tags":["latest"]}');
};
const empty: RequestListener = (_, response) => response.writeHead(404).end();

async function originOf(a: RequestListener | 'down', b: RequestListener, standIns = ['a', 'b']) {
  const servers = { a: await startServer(a === 'down' ? empty : a), b: await startServer(b) };
  if (a === 'down') await closed(servers.a);
  const upstreams = Object.entries(servers).map(([name, { url }]) => resolveUpstream({ name, url, maxRetries: 3 }));
  const clock = impatientClock();
  const deps = { log: pino({ level: 'silent' }), metrics: new Registry(), clock, credentials: NO_CREDENTIALS };
  const origin = new OriginRegistry(deps, { upstreams, standIns, proxy: NO_PROXY });
  onTestFinished(async () => await origin.close());
  return { origin, servers, clock };
}

async function closed({ server }: FakeServer): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

test.each([
  ['cannot be reached', 'down' as const],
  ['has it not', empty],
])('what one upstream cannot give since it %s, another gives', async (_, a) => {
  const { origin } = await originOf(a, whole);
  expect((await origin.resolveTag(AT_A, LATEST))?.digest).toBe(MANIFEST_DIGEST);
  expect((await origin.fetchManifest(AT_A, { kind: 'digest', digest: MANIFEST_DIGEST }))?.bytes).toEqual(
    MANIFEST_BYTES,
  );
  expect(await origin.statBlob(AT_A, BLOB_DIGEST)).toEqual({ sizeBytes: BLOB.length });
  await using blob = await origin.openBlob(AT_A, BLOB_DIGEST);
  if (blob === undefined) throw new TypeError('nobody gives the blob');
  expect(await collect(blob.body)).toEqual(BLOB);
  expect((await origin.passthrough(AT_A, { kind: 'tags' }, ''))?.bytes.toString()).toBe('{"tags":["latest"]}');
});

test('what all have said not to have is nowhere, and what one cannot say is not', async () => {
  const { origin } = await originOf(empty, empty);
  expect(await origin.resolveTag(AT_A, LATEST)).toBeUndefined();
  const { origin: half } = await originOf('down', empty);
  await expect(half.resolveTag(AT_A, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
});

test('one that answers is asked alone, and one that is down is asked no more until it is back', async () => {
  const { origin, servers } = await originOf(whole, whole);
  await origin.resolveTag(AT_A, LATEST);
  expect([servers.a.seen.length, servers.b.seen.length]).toEqual([1, 0]);
  await closed(servers.a);
  for (let times = 0; times < 5; times += 1) await origin.resolveTag(AT_A, LATEST);
  expect(servers.b.seen).toHaveLength(5);
  expect(origin.isReachable('a')).toBe(false);
  await new Promise<void>((resolve) => servers.a.server.listen(servers.a.port, '127.0.0.1', resolve));
});

test('one that is back is called beside what is asked of another, and then asked first', async () => {
  const { origin, servers, clock } = await originOf(whole, whole);
  await closed(servers.a);
  for (let times = 0; times < 3; times += 1) await origin.resolveTag(AT_A, LATEST);
  await new Promise<void>((resolve) => servers.a.server.listen(servers.a.port, '127.0.0.1', resolve));
  clock.aheadMs += 10_000;
  await origin.resolveTag(AT_A, LATEST);
  await expect.poll(() => origin.isReachable('a')).toBe(true);
  const before = servers.b.seen.length;
  await origin.resolveTag(AT_A, LATEST);
  expect(servers.b.seen).toHaveLength(before);
  expect(servers.a.seenAt('/manifests/')).toHaveLength(1);
});

test('others than those that are named for it do not stand in', async () => {
  const { origin, servers } = await originOf(empty, whole, []);
  expect(await origin.resolveTag(AT_A, LATEST)).toBeUndefined();
  expect(servers.b.seen).toEqual([]);
});
