/** Uploads to a seed, as the distribution specification has them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { until } from '../../support/programs.ts';
import { openTestSeed, outcomeOf, pushBlob, type TestSeed } from './seed-fixture.ts';

const BYTES = seededBytes(3000, 1);
const DIGEST = digestOf(BYTES);

let seed: TestSeed;
beforeAll(async () => {
  seed = await openTestSeed();
});
afterAll(async () => await seed[Symbol.asyncDispose]());

async function begin(name = 'team/app'): Promise<string> {
  const { status, headers } = await seed.send('POST', `/v2/${name}/blobs/uploads/`);
  expect(status).toBe(202);
  expect(headers['docker-upload-uuid']).toMatch(/^[a-f0-9]{32}$/);
  return headers.location ?? '';
}

async function patch(location: string, start: number, end: number): Promise<ReturnType<typeof seed.send>> {
  return await seed.send('PATCH', location, {
    headers: { 'Content-Range': `${start}-${end - 1}` },
    body: BYTES.subarray(start, end),
  });
}

async function expectBlob(name: string, digest: string, bytes: Buffer): Promise<void> {
  const { status, headers, body } = await seed.send('GET', `/v2/${name}/blobs/${digest}`);
  expect(status).toBe(200);
  expect(headers['docker-content-digest']).toBe(digest);
  expect(body.equals(bytes)).toBe(true);
}

describe('uploads', () => {
  test.each(['sha256', 'sha512'] as const)('a blob is pushed in one request, named by %s', async (algorithm) => {
    const digest = digestOf(BYTES, algorithm);
    const answer = await seed.send('POST', `/v2/team/one/blobs/uploads/?digest=${digest}`, { body: BYTES });
    expect([answer.status, answer.headers.location]).toEqual([201, `/v2/team/one/blobs/${digest}`]);
    expect(answer.headers['docker-content-digest']).toBe(digest);
    expect(answer.body.length).toBe(0);
    await expectBlob('team/one', digest, BYTES);
    expect(seed.stored).toContain(digest);
  });

  test.each(['sha256', 'sha512'] as const)(
    'a blob is pushed with POST and PUT, and only then named by %s',
    async (algorithm) => {
      const digest = digestOf(BYTES, algorithm);
      const location = await begin('team/two');
      const answer = await seed.send('PUT', `${location}?digest=${digest}`, { body: BYTES });
      expect([answer.status, answer.headers.location]).toEqual([201, `/v2/team/two/blobs/${digest}`]);
      await expectBlob('team/two', digest, BYTES);
    },
  );

  test('a blob is pushed in chunks, the last of them in the PUT', async () => {
    const location = await begin();
    for (const [start, end] of [
      [0, 1000],
      [1000, 1001],
      [1001, 2500],
    ] as const) {
      const answer = await patch(location, start, end);
      expect([answer.status, answer.headers.range, answer.headers.location]).toEqual([202, `0-${end - 1}`, location]);
    }
    const headers = { 'Content-Range': '2500-2999' };
    const answer = await seed.send('PUT', `${location}?digest=${DIGEST}`, { headers, body: BYTES.subarray(2500) });
    expect(answer.status).toBe(201);
    await expectBlob('team/app', DIGEST, BYTES);
  });

  test('a chunk out of order is refused, tells nothing wrong, and the upload goes on', async () => {
    const location = await begin();
    await patch(location, 0, 1000);
    for (const start of [0, 999, 1001]) {
      expect(outcomeOf(await patch(location, start, start + 500))).toEqual([416, 'BLOB_UPLOAD_INVALID']);
      const status = await seed.send('GET', location);
      expect([status.status, status.headers.range]).toEqual([204, '0-999']);
    }
    const headers = { 'Content-Range': '500-2999' };
    const early = await seed.send('PUT', `${location}?digest=${DIGEST}`, { headers, body: BYTES.subarray(500) });
    expect(outcomeOf(early)).toEqual([416, 'BLOB_UPLOAD_INVALID']);
    expect((await patch(location, 1000, 3000)).status).toBe(202);
    expect((await seed.send('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
  });

  test('a stream without a length and without a range is taken', async () => {
    const location = await begin();
    const stream = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < BYTES.length; at += 700) yield await Promise.resolve(BYTES.subarray(at, at + 700));
    };
    const answer = await seed.send('PATCH', location, { body: stream() });
    expect([answer.status, answer.headers.range]).toEqual([202, '0-2999']);
    expect((await seed.send('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
  });

  test('an empty blob is a blob', async () => {
    const digest = digestOf(Buffer.alloc(0));
    const location = await begin('team/empty');
    expect((await seed.send('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    await expectBlob('team/empty', digest, Buffer.alloc(0));
  });

  test('a cancelled upload is gone', async () => {
    const location = await begin();
    await patch(location, 0, 1000);
    expect((await seed.send('DELETE', location)).status).toBe(204);
    for (const method of ['GET', 'DELETE', 'PATCH', 'PUT']) {
      const answer = await seed.send(method, `${location}?digest=${DIGEST}`, {
        body: method === 'GET' ? undefined : 'x',
      });
      expect(outcomeOf(answer), method).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    }
  });

  test('an upload that is finished is gone, and its location leads to the blob', async () => {
    const location = await begin();
    const answer = await seed.send('PUT', `${location}?digest=${DIGEST}`, { body: BYTES });
    expect((await seed.send('GET', answer.headers.location ?? '')).status).toBe(200);
    expect(outcomeOf(await seed.send('GET', location))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });

  test('bytes that are not what the digest says never become a blob', async () => {
    const other = digestOf(Buffer.from('something else'));
    const single = await seed.send('POST', `/v2/team/app/blobs/uploads/?digest=${other}`, { body: BYTES });
    expect(outcomeOf(single)).toEqual([400, 'DIGEST_INVALID']);
    const location = await begin();
    await patch(location, 0, 3000);
    expect(outcomeOf(await seed.send('PUT', `${location}?digest=${other}`))).toEqual([400, 'DIGEST_INVALID']);
    expect((await seed.send('HEAD', `/v2/team/app/blobs/${other}`)).status).toBe(404);
    expect(outcomeOf(await seed.send('GET', location))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });

  test('what came of a chunk whose client left is kept, and the upload goes on from there', async () => {
    const location = await begin();
    const broken = async function* (): AsyncGenerator<Buffer> {
      yield BYTES.subarray(0, 1200);
      await until('the bytes came', async () => (await seed.send('GET', location)).headers.range === '0-1199');
      throw new Error('the client leaves');
    };
    await expect(seed.send('PATCH', location, { body: broken() })).rejects.toThrow('the client leaves');
    const resumed = await until('the upload goes on', async () => {
      const answer = await patch(location, 1200, 3000);
      // The seed may still be busy with the connection that broke.
      return answer.status === 416 ? undefined : answer;
    });
    expect(resumed.headers.range).toBe('0-2999');
    expect((await seed.send('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
  });

  test('two requests at once for one upload: one is served, the others are refused, and no byte is lost', async () => {
    const location = await begin();
    const gate = Promise.withResolvers<void>();
    const slow = async function* (): AsyncGenerator<Buffer> {
      yield BYTES.subarray(0, 1000);
      await gate.promise;
      yield BYTES.subarray(1000);
    };
    const first = seed.send('PATCH', location, { body: slow() });
    await until('the first has begun', async () => (await seed.send('GET', location)).headers.range === '0-999');
    const busy = [416, 'BLOB_UPLOAD_INVALID'];
    expect(outcomeOf(await patch(location, 1000, 2000))).toEqual(busy);
    expect(outcomeOf(await seed.send('PUT', `${location}?digest=${DIGEST}`))).toEqual(busy);
    expect(outcomeOf(await seed.send('DELETE', location))).toEqual(busy);
    gate.resolve();
    expect((await first).headers.range).toBe('0-2999');
    expect((await seed.send('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
  });

  test('an upload of another repository does not exist', async () => {
    const location = (await begin('team/app')).replace('team/app', 'team/other');
    for (const [method, path] of [
      ['GET', location],
      ['PATCH', location],
      ['PUT', `${location}?digest=${DIGEST}`],
      ['DELETE', location],
    ] as const) {
      const body = method === 'GET' ? undefined : BYTES;
      expect(outcomeOf(await seed.send(method, path, { body }))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    }
  });
});

describe('what may be seen where', () => {
  test('a blob is seen in its repository alone, by no method in another', async () => {
    const secret = seededBytes(500, 7);
    const digest = await pushBlob(seed, 'private/app', secret);
    await pushBlob(seed, 'public/app', Buffer.from('other'));
    for (const method of ['HEAD', 'GET', 'DELETE']) {
      expect((await seed.send(method, `/v2/public/app/blobs/${digest}`)).status, method).toBe(404);
    }
    const mounted = await seed.send('POST', `/v2/public/app/blobs/uploads/?mount=${digest}&from=public/app`);
    expect(mounted.status).toBe(202);
    expect((await seed.send('HEAD', `/v2/private/app/blobs/${digest}`)).status).toBe(200);
  });

  test('a mount makes a blob seen in a second repository; without a source it begins an upload', async () => {
    const digest = await pushBlob(seed, 'base/image', seededBytes(600, 8));
    const anonymous = await seed.send('POST', `/v2/derived/image/blobs/uploads/?mount=${digest}`);
    expect([anonymous.status, anonymous.headers.location]).toEqual([
      202,
      expect.stringMatching(/^\/v2\/derived\/image\/blobs\/uploads\/[a-f0-9]{32}$/),
    ]);
    const path = `/v2/derived/image/blobs/uploads/?mount=${digest}&from=base/image`;
    const mounted = await seed.send('POST', path);
    expect([mounted.status, mounted.headers.location]).toEqual([201, `/v2/derived/image/blobs/${digest}`]);
    await expectBlob('derived/image', digest, seededBytes(600, 8));
    for (const from of ['nobody/has', 'NOT-A-NAME', '../../etc', '']) {
      const answer = await seed.send('POST', `/v2/derived/image/blobs/uploads/?mount=${digest}&from=${from}`);
      expect(answer.status).toBe(202);
    }
  });

  test('a deleted blob is gone from its repository and stays in others', async () => {
    const digest = await pushBlob(seed, 'here/app', seededBytes(700, 9));
    await pushBlob(seed, 'there/app', seededBytes(700, 9));
    expect((await seed.send('DELETE', `/v2/here/app/blobs/${digest}`)).status).toBe(202);
    expect(outcomeOf(await seed.send('GET', `/v2/here/app/blobs/${digest}`))).toEqual([404, 'BLOB_UNKNOWN']);
    expect(outcomeOf(await seed.send('DELETE', `/v2/here/app/blobs/${digest}`))).toEqual([404, 'BLOB_UNKNOWN']);
    expect((await seed.send('HEAD', `/v2/there/app/blobs/${digest}`)).status).toBe(200);
  });
});
