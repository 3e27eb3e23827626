/** Blobs: pushed in every way, mounted, read in whole and in part, and deleted. */
import { describe, expect, test } from 'vitest';
import { digestOf, type DigestAlgorithm } from '../../../src/oci/digest.ts';
import { ending, locationOf, type Answer, type Blob } from './registry-client.ts';
import type { Registry } from './registry-under-test.ts';
import { BLOB_BYTES, UPLOAD_WAYS } from './upload-ways.ts';

const RANGES = [
  ['bytes=500-1499', 500, 1500],
  ['bytes=500-', 500, 2048],
  ['bytes=-500', 1548, 2048],
  ['bytes=2000-5000', 2000, 2048],
] as const;
const BAD_RANGES = ['bytes=500-0', 'bytes=5000-10000'];

/** Declares the checks for blobs of one hash function, which is named at the end of an upload and never before. */
export function describeBlobs(registry: () => Registry, algorithm: DigestAlgorithm): void {
  const pathOf = ({ digest }: Blob, repository = registry().repository): string => `/v2/${repository}/blobs/${digest}`;
  const send = async (...args: Parameters<Registry['client']['send']>): Promise<Answer> =>
    await registry().client.send(...args);
  const makeBlob = (sizeBytes = 512): Blob => registry().client.makeBlob(sizeBytes, algorithm);

  async function expectThere(blob: Blob, repository?: string): Promise<void> {
    const told = { 'content-length': String(blob.bytes.length), 'docker-content-digest': blob.digest };
    for (const method of ['HEAD', 'GET']) {
      const answer = await send(method, pathOf(blob, repository));
      expect([answer.status, Object.fromEntries(answer.headers)]).toEqual([200, expect.objectContaining(told)]);
      expect(answer.body).toEqual(method === 'HEAD' ? Buffer.alloc(0) : blob.bytes);
    }
  }

  async function expectGone(blob: Blob, repository?: string): Promise<void> {
    expect((await send('HEAD', pathOf(blob, repository))).status).toBe(404);
    expect(await send('GET', pathOf(blob, repository))).toMatchObject({ status: 404, code: 'BLOB_UNKNOWN' });
  }

  async function expectDeletable(blob: Blob, repository?: string): Promise<void> {
    expect((await send('DELETE', pathOf(blob, repository))).status).toBe(202);
    await expectGone(blob, repository);
    expect((await send('DELETE', pathOf(blob, repository))).status).toBe(404);
  }

  async function expectKept(answer: Answer, blob: Blob): Promise<void> {
    expect([answer.status, answer.code]).toEqual([201, undefined]);
    expect((await send('GET', locationOf(answer))).body).toEqual(blob.bytes);
    await expectThere(blob);
    await expectDeletable(blob);
  }

  describe.each(Object.entries(UPLOAD_WAYS))('%s', (_, push) => {
    test('what is sent is there, and is gone when it was deleted', async () => {
      const blob = makeBlob(BLOB_BYTES);
      await expectGone(blob);
      await expectKept(await push({ ...registry(), blob }), blob);
    });

    test('what has another digest than it was sent for is refused', async () => {
      const { bytes, digest } = makeBlob(BLOB_BYTES);
      const blob = { bytes: Buffer.concat([bytes, Buffer.from('more')]), digest };
      expect(await push({ ...registry(), blob })).toMatchObject({ status: 400, code: 'DIGEST_INVALID' });
      await expectGone(blob);
    });
  });

  test.each([
    ['nothing', ''],
    ['an empty document', '{}'],
  ])('%s is a blob', async (_, text) => {
    const bytes = Buffer.from(text);
    const blob = { bytes, digest: digestOf(bytes, algorithm) };
    const { client, repository } = registry();
    await client.push(repository, blob);
    await expectThere(blob);
    await expectDeletable(blob);
  });

  test('a chunk sent again at the place that was left is refused, and the upload goes on', async () => {
    const { client, repository } = registry();
    const blob = makeBlob(20);
    const first = await client.begin(repository);
    const chunk = { headers: { 'content-range': '0-9' }, body: blob.bytes.subarray(0, 10) };
    const taken = await send('PATCH', first, chunk);
    expect([taken.status, taken.headers.get('range')]).toEqual([202, '0-9']);
    expect((await send('PATCH', first, chunk)).status).toBe(416);
    const asked = await send('GET', first);
    expect([asked.status, asked.headers.get('range')]).toEqual([204, '0-9']);
    const rest = { headers: { 'content-range': '10-19' }, body: blob.bytes.subarray(10) };
    const more = await send('PATCH', locationOf(asked), rest);
    await expectKept(await send('PUT', ending(locationOf(more), blob.digest)), blob);
  });

  test('an upload that was given up is gone', async () => {
    const { client, repository } = registry();
    const location = await client.begin(repository);
    expect((await send('DELETE', location)).status).toBe(204);
    expect(await send('GET', location)).toMatchObject({ status: 404, code: 'BLOB_UPLOAD_UNKNOWN' });
    const blob = makeBlob();
    expect((await send('PUT', ending(location, blob.digest), { body: blob.bytes })).status).toBe(404);
  });

  describe('mounts', () => {
    const mount = async ({ digest }: Blob, from?: string): Promise<Answer> => {
      const query = new URLSearchParams({ mount: digest, ...(from === undefined ? {} : { from }) });
      return await send('POST', `/v2/${registry().repository}/blobs/uploads/?${query.toString()}`);
    };

    test('what another repository has is there without being sent, and stays when it is deleted there', async () => {
      const { client, repository, otherRepository } = registry();
      const blob = makeBlob();
      await client.push(otherRepository, blob);
      await expectGone(blob);
      const answer = await mount(blob, otherRepository);
      expect(answer.status).toBe(201);
      expect(new URL(locationOf(answer), 'http://x').pathname).toBe(`/v2/${repository}/blobs/${blob.digest}`);
      await expectThere(blob);
      await expectDeletable(blob, otherRepository);
      await expectThere(blob);
      await expectDeletable(blob);
    });

    test('what no repository, or none that was named, has is to be sent', async () => {
      const { client, otherRepository } = registry();
      for (const [from, isThere] of [
        [otherRepository, false],
        [undefined, false],
        [undefined, true],
      ] as const) {
        const blob = makeBlob();
        if (isThere) await client.push(otherRepository, blob);
        const answer = await mount(blob, from);
        expect(answer.status).toBe(202);
        await expectGone(blob);
        await expectKept(await send('PUT', ending(locationOf(answer), blob.digest), { body: blob.bytes }), blob);
      }
    });
  });

  test('ranges are answered to the byte, and what is beyond the end is refused', async () => {
    const { client, repository } = registry();
    const blob = makeBlob(2048);
    await client.push(repository, blob);
    for (const [range, start, end] of RANGES) {
      const answer = await send('GET', pathOf(blob), { headers: { range } });
      expect([answer.status, answer.headers.get('content-length')], range).toEqual([206, String(end - start)]);
      expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/2048`);
      expect(answer.body).toEqual(blob.bytes.subarray(start, end));
    }
    for (const range of BAD_RANGES) {
      expect((await send('GET', pathOf(blob), { headers: { range } })).status, range).toBe(416);
    }
    await expectDeletable(blob);
  });
}
