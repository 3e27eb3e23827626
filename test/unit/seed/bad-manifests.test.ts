/** Manifests that a seed must withstand: each is answered as the specification says, and nothing else happens. */
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { parseTestAnswer } from '../registry/facade-client.ts';
import { makeManifest, openTestSeed, outcomeOf, pushBlob, putManifest, type TestSeed } from './seed-fixture.ts';

const HEX = 'a'.repeat(64);

let seed: TestSeed;
beforeAll(async () => {
  seed = await openTestSeed({ policy: { names: ['**'] } });
});
afterAll(async () => await seed[Symbol.asyncDispose]());

describe('manifests', () => {
  const good = makeManifest('good');
  const document = JSON.parse(good.bytes.toString()) as Record<string, unknown>;
  const changed = (change: object): Buffer => Buffer.from(JSON.stringify({ ...document, ...change }));
  const layer = (change: object): Buffer =>
    changed({ layers: [{ ...(document['layers'] as object[])[0], ...change }] });

  beforeAll(async () => {
    for (const blob of good.blobs) await pushBlob(seed, 'team/app', blob);
  });

  test.each<[string, Buffer]>([
    ['no JSON', Buffer.from('not json')],
    ['nothing', Buffer.alloc(0)],
    ['no object', Buffer.from('[]')],
    ['nested beyond reason', Buffer.from(`${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`)],
    ['a key twice', Buffer.from(`{"schemaVersion":2,${good.bytes.toString().slice(1)}`)],
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), good.bytes])],
    ['bad UTF-8', Buffer.concat([good.bytes.subarray(0, -1), Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])])],
    ['layers and manifests', changed({ manifests: [] })],
    ['another media type inside', changed({ mediaType: MEDIA_TYPES.ociIndex })],
    ['a negative size', layer({ size: -1 })],
    ['a huge size', layer({ size: 1e300 })],
    ['a broken size', layer({ size: 1.5 })],
    ['a size in words', layer({ size: '10' })],
    ['a size that is not so', layer({ size: 1 })],
    ['a digest that is none', layer({ digest: 'sha256:..' })],
    ['another schema', changed({ schemaVersion: 3 })],
  ])('one with %s is refused', async (_what, bytes) => {
    const answer = await putManifest(seed, '/v2/team/app/manifests/bad', bytes);
    expect(outcomeOf(answer)).toEqual([400, 'MANIFEST_INVALID']);
    expect((await seed.send('GET', '/v2/team/app/manifests/bad')).status).toBe(404);
  });

  test('one of an unknown type is refused', async () => {
    for (const type of ['application/json', 'text/html', 'x'.repeat(5000), MEDIA_TYPES.ociIndex]) {
      const answer = await putManifest(seed, '/v2/team/app/manifests/bad', good.bytes, type);
      expect(outcomeOf(answer)).toEqual([400, 'MANIFEST_INVALID']);
    }
  });

  test('one that needs what is not there is refused', async () => {
    const answer = await putManifest(seed, '/v2/team/app/manifests/bad', makeManifest('nobody pushed it').bytes);
    expect(outcomeOf(answer)).toEqual([404, 'MANIFEST_BLOB_UNKNOWN']);
  });

  test('an index that names itself cannot be: what it names has to be there first', async () => {
    const own = { mediaType: MEDIA_TYPES.ociIndex, digest: `sha256:${HEX}`, size: 100 };
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [own] };
    const bytes = Buffer.from(JSON.stringify(index));
    const answer = await putManifest(seed, '/v2/team/app/manifests/bad', bytes, MEDIA_TYPES.ociIndex);
    expect(outcomeOf(answer)).toEqual([404, 'MANIFEST_BLOB_UNKNOWN']);
  });

  test.each(['http://169.254.169.254/latest', 'http://localhost:5001/gc', 'file:///etc/passwd'])(
    'nothing is fetched from the urls of a layer: %s',
    async (url) => {
      const bytes = layer({ urls: [url] });
      expect((await putManifest(seed, '/v2/team/app/manifests/urls', bytes)).status).toBe(201);
      const answer = await seed.send('GET', '/v2/team/app/manifests/urls');
      expect(answer.body).toEqual(bytes);
      const absent = layer({ urls: [url], digest: `sha256:${HEX}` });
      expect((await putManifest(seed, '/v2/team/app/manifests/urls-absent', absent)).status).toBe(404);
    },
  );

  test('subjects in a long row are taken before what they name is there, and their lists end', async () => {
    let subject = { mediaType: MEDIA_TYPES.ociManifest, digest: `sha256:${HEX}`, size: 10 };
    for (let step = 0; step < 3; step += 1) {
      const bytes = changed({ subject, annotations: { step: String(step) } });
      expect((await putManifest(seed, `/v2/team/app/manifests/${digestOf(bytes)}`, bytes)).status).toBe(201);
      const listed = await seed.send('GET', `/v2/team/app/referrers/${subject.digest}`);
      const { manifests } = JSON.parse(listed.body.toString()) as { manifests: { digest: string }[] };
      expect(manifests.map(({ digest }) => digest)).toEqual([digestOf(bytes)]);
      subject = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
    }
  });

  test.each(['', '*/*', 'text/html;q=0', 'application/json, ,;;', 'x'.repeat(12_000)])(
    'whatever a client accepts, it gets what was pushed (%.20s)',
    async (accept) => {
      await putManifest(seed, '/v2/team/app/manifests/accepted', good.bytes);
      const answer = await seed.send('GET', '/v2/team/app/manifests/accepted', { headers: { Accept: accept } });
      expect([answer.status, answer.headers['content-type']]).toEqual([200, MEDIA_TYPES.ociManifest]);
      expect(answer.body).toEqual(good.bytes);
    },
  );

  test('a head of 64 KiB is refused, and the next request is served', async () => {
    const socket = connect(seed.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`GET /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nAccept: ${'x'.repeat(65_536)}\r\n\r\n`);
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(parseTestAnswer(bytes).status).toBe(431);
    expect((await seed.send('GET', '/v2/')).status).toBe(200);
  });

  test('one whose digest is another is refused', async () => {
    const answer = await putManifest(seed, `/v2/team/app/manifests/sha256:${HEX}`, good.bytes);
    expect(outcomeOf(answer)).toEqual([400, 'DIGEST_INVALID']);
  });

  test('4 MiB are taken, and not a byte more, whether the length is told or not', async () => {
    const limit = 4 * 1024 * 1024;
    const padded = (size: number): Buffer => {
      const empty = changed({ annotations: { padding: '' } }).length;
      return changed({ annotations: { padding: 'x'.repeat(size - empty) } });
    };
    expect((await putManifest(seed, '/v2/team/app/manifests/large', padded(limit))).status).toBe(201);
    const tooLarge = padded(limit + 1);
    const told = await putManifest(seed, '/v2/team/app/manifests/larger', tooLarge);
    expect(outcomeOf(told)).toEqual([413, 'MANIFEST_INVALID']);
    const stream = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < tooLarge.length; at += 65_536)
        yield await Promise.resolve(tooLarge.subarray(at, at + 65_536));
    };
    const headers = { 'Content-Type': MEDIA_TYPES.ociManifest };
    const untold = await seed.send('PUT', '/v2/team/app/manifests/larger', { headers, body: stream() });
    expect(outcomeOf(untold)).toEqual([413, 'MANIFEST_INVALID']);
  });
});
