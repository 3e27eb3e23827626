/** Pushes that go to the first of several seeds that answers. */
import { expect, test } from 'vitest';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { originError } from '../../../src/origin/errors.ts';
import type { PassedAnswer, PassedRequest } from '../../../src/origin/push-pass.ts';
import { PushSeeds } from '../../../src/origin/push-seeds.ts';

const NAME = parseRepositoryName('team/app');
const OTHER = parseRepositoryName('team/other');
const { signal } = new AbortController();
const HEAD = { method: 'HEAD', rest: 'blobs/sha256:0', headers: {} } as const;
const BEGIN = { method: 'POST', rest: 'blobs/uploads/', headers: {} } as const;

/** Three seeds that answer unless they are down, and what they were asked. */
function lab(seeds: readonly string[] = ['a', 'b', 'c']) {
  const down = new Set<string>();
  const refused = new Set<string>();
  const statuses = new Map<string, number>();
  const asked: string[] = [];
  const clock = { atMs: 1_000_000, nowMs: () => clock.atMs };
  const origin = {
    isReachable: (upstream: string) => !down.has(upstream),
    pass: async ({ upstream }: { upstream: string }, request: PassedRequest): Promise<PassedAnswer> => {
      asked.push(`${upstream} ${request.method} ${request.rest}`);
      if (down.has(upstream) || refused.has(upstream))
        throw originError('ERR_ORIGIN_UNAVAILABLE', `'${upstream}' cannot be reached`);
      for await (const _chunk of request.body ?? []) if (statuses.has(upstream)) break;
      const location = request.rest.startsWith('blobs/uploads/') ? { location: '/v2/team/app/blobs/uploads/id' } : {};
      return { status: statuses.get(upstream) ?? 202, headers: location, bytes: Buffer.alloc(0) };
    },
  };
  const push = new PushSeeds({ origin, clock }, seeds);
  const pass = async (request: PassedRequest, name = NAME): Promise<PassedAnswer> =>
    await push.pass(name, request, { signal });
  return { asked, clock, down, pass, refused, statuses };
}

async function* bodyOf(): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from('bytes'));
}

test('an upload goes on at the seed where it was begun, whatever the others do meanwhile', async () => {
  const { asked, down, pass } = lab();
  down.add('a');
  const { headers } = await pass(BEGIN);
  expect(headers['location']).toBe('/v2/team/app/blobs/uploads/id?_seed=b');
  down.clear();
  await pass({ method: 'PUT', rest: 'blobs/uploads/id?_state=x%20y&_seed=b&digest=sha256:0', headers: {} });
  expect(asked).toEqual(['b POST blobs/uploads/', 'b PUT blobs/uploads/id?_state=x%20y&digest=sha256:0']);
  down.add('b');
  const gone = pass({ method: 'PATCH', rest: 'blobs/uploads/id?_seed=b', headers: {} });
  await expect(gone).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
  expect(asked.at(-1)).toBe('b PATCH blobs/uploads/id');
});

test('an upload of a seed that is none any more is not known', async () => {
  const { asked, pass } = lab();
  const answer = await pass({ method: 'PATCH', rest: 'blobs/uploads/id?_seed=evil.example', headers: {} });
  expect(answer.status).toBe(404);
  expect(JSON.parse(answer.bytes.toString())).toMatchObject({ errors: [{ code: 'BLOB_UPLOAD_UNKNOWN' }] });
  expect(asked).toEqual([]);
});

test('pushes to a repository stay with a seed while they come one after the other, and go back to the first after that', async () => {
  const { asked, clock, down, pass } = lab();
  down.add('a');
  await pass(HEAD);
  down.clear();
  await pass(HEAD);
  await pass(HEAD, OTHER);
  clock.atMs += 299_999;
  await pass(HEAD);
  clock.atMs += 300_000;
  await pass(HEAD);
  expect(asked.map((text) => text[0])).toEqual(['b', 'b', 'a', 'b', 'a']);
});

test('a seed that fails before it took a byte is passed over, and one that took some is not', async () => {
  const { asked, pass, refused, statuses } = lab();
  refused.add('a');
  expect((await pass({ method: 'PUT', rest: 'manifests/v1', headers: {}, body: bodyOf() })).status).toBe(202);
  expect(asked.map((text) => text[0])).toEqual(['a', 'b']);
  statuses.set('b', 503);
  expect((await pass({ method: 'PUT', rest: 'manifests/v1', headers: {}, body: bodyOf() })).status).toBe(503);
  expect((await pass({ method: 'DELETE', rest: 'manifests/v1', headers: {} })).status).toBe(202);
  expect(asked.at(-1)?.[0]).toBe('c');
});

test('what a seed refuses is what the client is told, and the last failure is when none answers', async () => {
  const { down, pass, statuses } = lab();
  statuses.set('a', 404);
  expect((await pass(HEAD)).status).toBe(404);
  for (const seed of ['a', 'b', 'c']) down.add(seed);
  await expect(pass(BEGIN)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
});

test('with one seed locations are as it gives them', async () => {
  const { pass } = lab(['a']);
  expect((await pass(BEGIN)).headers['location']).toBe('/v2/team/app/blobs/uploads/id');
});
