import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { torrentLinkOf } from '../../../../src/appc/discovery/torrent-link.ts';
import { readMetaTags } from '../../../../src/appc/discovery/meta-tags.ts';
import { packed, testImage, testManifest } from '../../../support/aci-builder.ts';
import { makeSigningKey } from '../../../support/signing-key.ts';
import { makeManifest, outcomeOf, pushBlob, putManifest } from '../../seed/seed-fixture.ts';
import { acpush, imagePath, openAppcSeed, putSigned, type AppcSeed } from './appc-fixture.ts';

const NAME = 'example.com/team/app';
const image = packed(testImage(NAME, { body: Buffer.alloc(300_000, 'x') }), 'gzip');

let appc: AppcSeed;

beforeEach(async () => {
  appc = await openAppcSeed();
});

afterEach(async () => {
  await appc[Symbol.asyncDispose]();
});

async function get(path: string, headers = {}, method = 'GET') {
  return await appc.seed.send(method, path, { headers });
}

describe('an image that was pushed', () => {
  test('is given to those who ask, whole and in parts, and so is its signature', async () => {
    const pushed = await putSigned(appc, NAME, image);
    expect(pushed.status).toBe(201);
    expect(JSON.parse(pushed.body.toString())).toMatchObject({ name: NAME, version: '1.0', size: image.length });
    const whole = await get(imagePath(NAME));
    expect([whole.status, whole.body.equals(image)]).toEqual([200, true]);
    expect(whole.headers).toMatchObject({ 'accept-ranges': 'bytes', 'content-length': String(image.length) });
    const etag = String(whole.headers.etag);
    const part = await get(imagePath(NAME), { range: 'bytes=100-199', 'if-range': etag });
    expect([part.status, part.headers['content-range']]).toEqual([206, `bytes 100-199/${image.length}`]);
    expect(part.body.equals(image.subarray(100, 200))).toBe(true);
    expect((await get(imagePath(NAME), { range: `bytes=${image.length}-` })).status).toBe(416);
    expect((await get(imagePath(NAME), { 'if-none-match': etag })).status).toBe(304);
    const head = await get(imagePath(NAME), {}, 'HEAD');
    expect([head.status, head.headers['content-length'], head.headers.etag]).toEqual([200, String(image.length), etag]);
    const signature = await get(imagePath(NAME, '1.0', 'aci.asc'));
    expect(signature.body.toString()).toContain('BEGIN PGP SIGNATURE');
    expect(appc.published).toHaveLength(1);
    expect(appc.seed.stored.length).toBeGreaterThanOrEqual(3);
  });

  test('is told to those who want to know: pushes, pulls and deletes', async () => {
    await putSigned(appc, NAME, image);
    await get(imagePath(NAME));
    await get(imagePath(NAME), {}, 'HEAD');
    await get(imagePath(NAME), {}, 'DELETE');
    const repository = `appc/${NAME}`;
    const tag = '1.0__linux__amd64';
    expect(appc.seed.events).toMatchObject([
      { action: 'push', repository, tag, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
      { action: 'pull', repository, digest: digestOf(image), sizeBytes: image.length },
      { action: 'delete', repository, tag },
    ]);
    expect(appc.seed.events).toHaveLength(3);
  });

  test('is the latest one until a later one comes', async () => {
    expect((await get(imagePath(NAME, 'latest'))).status).toBe(404);
    for (const version of ['1.9.0', '1.10.0', '1.10.1-rc.1', 'nightly']) {
      const labels = { version, os: 'linux', arch: 'amd64' };
      expect((await putSigned(appc, NAME, testImage(NAME, { labels }), version)).status).toBe(201);
    }
    const latest = await get(imagePath(NAME, 'latest'));
    expect([latest.status, latest.headers.location]).toEqual([302, imagePath(NAME, '1.10.1-rc.1')]);
    expect((await get('/appc/images/example.com/team/app/latest/linux/arm64.aci')).status).toBe(404);
  });

  test('is found by the name alone, as simple discovery has it, also where versions have dashes', async () => {
    const host = `127.0.0.1`;
    for (const [name, version] of [
      [`${host}/my-app`, '1.0-rc.1'],
      [`${host}/my-app-1.0`, 'x'],
    ] as const) {
      const labels = { version, os: 'linux', arch: 'amd64' };
      expect((await putSigned(appc, name, testImage(name, { labels }), version)).status).toBe(201);
    }
    expect((await get('/my-app-1.0-rc.1-linux-amd64.aci')).status).toBe(200);
    expect((await get('/my-app-1.0-rc.1-linux-amd64.aci.asc')).status).toBe(200);
    expect((await get('/my-app-1.0-x-linux-amd64.aci')).status).toBe(200);
    expect((await get('/my-app-2.0-linux-amd64.aci')).status).toBe(404);
    expect((await get('/x.aci')).status).toBe(404);
  });

  test('is replaced by another of the same version, and stays when that is refused', async () => {
    await putSigned(appc, NAME, image);
    const next = testImage(NAME, { body: Buffer.from('next') });
    await appc.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: await appc.key.sign(image.subarray(1)) });
    const refused = await appc.seed.send('PUT', imagePath(NAME), { body: next });
    expect(outcomeOf(refused)).toEqual([400, 'MANIFEST_INVALID']);
    expect((await get(imagePath(NAME))).body.equals(image)).toBe(true);
    expect((await putSigned(appc, NAME, next)).status).toBe(201);
    expect((await get(imagePath(NAME))).body.equals(next)).toBe(true);
  });

  test('may be deleted', async () => {
    await putSigned(appc, NAME, image);
    expect((await get(imagePath(NAME), {}, 'DELETE')).status).toBe(204);
    expect((await get(imagePath(NAME))).status).toBe(404);
    expect((await get(imagePath(NAME), {}, 'DELETE')).status).toBe(404);
  });

  test('is an artifact that other clients can pull', async () => {
    await putSigned(appc, NAME, image);
    const manifest = await get(`/v2/appc/${NAME}/manifests/1.0__linux__amd64`);
    expect(manifest.status).toBe(200);
    const { layers } = JSON.parse(manifest.body.toString()) as { layers: { digest: string }[] };
    const blob = await get(`/v2/appc/${NAME}/blobs/${layers[0]?.digest ?? ''}`);
    expect(blob.body.equals(image)).toBe(true);
  });
});

describe('the page of a name', () => {
  test('leads to its files, to pushes and to keys', async () => {
    const page = await get('/team/app?ac-discovery=1', { host: 'Example.com:5000' });
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(readMetaTags(page.body.toString())).toEqual([
      {
        name: 'ac-discovery',
        prefix: 'example.com',
        url: 'http://example.com:5000/appc/images/{name}/{version}/{os}/{arch}.{ext}',
      },
      {
        name: 'ac-push-discovery',
        prefix: 'example.com',
        url: 'http://example.com:5000/appc/push/{name}/{version}/{os}/{arch}',
      },
      { name: 'ac-discovery-pubkeys', prefix: 'example.com', url: 'http://example.com:5000/appc/keys.gpg' },
    ]);
    const keys = await get('/appc/keys.gpg');
    expect(keys.body.toString()).toContain('BEGIN PGP PUBLIC KEY BLOCK');
  });

  test('leads to where the operator says, whatever a proxy or a client says', async () => {
    await using other = await openAppcSeed({ url: 'https://images.example.com/x' });
    const headers = { host: 'a.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'ftp' };
    const { body } = await other.seed.send('GET', '/app?ac-discovery=1', { headers });
    expect(body.toString()).toContain('content="a.example https://images.example.com/x/appc/images/');
    expect(body.toString()).not.toContain('evil');
  });

  test.each(['/Team?ac-discovery=1', '/a%22b?ac-discovery=1', '/a/../b?ac-discovery=1', '/<script>?ac-discovery=1'])(
    'is not there for %s',
    async (path) => {
      expect((await get(path)).status).toBe(404);
    },
  );

  test.each(['evil"><script>', 'a b', 'x/y', '[zz]', 'user@h'])('is not there for the host %j', async (host) => {
    expect(outcomeOf(await get('/app?ac-discovery=1', { host }))).toEqual([400, 'NAME_INVALID']);
  });

  test('does not hide the registry', async () => {
    expect((await get('/v2/')).status).toBe(200);
    expect((await get('/v2/?ac-discovery=2')).status).toBe(200);
    expect((await get('/nothing')).status).toBe(404);
  });
});

async function expectNothingStays(): Promise<void> {
  expect((await get(imagePath(NAME))).status).toBe(404);
  expect(appc.published).toEqual([]);
}

describe('a push is refused, and nothing of it stays', () => {
  test('without a signature, before its file is sent', async () => {
    const unsigned = await appc.seed.send('PUT', imagePath(NAME), { body: image });
    expect(unsigned.body.toString()).toContain('ERR_SIGNATURE_MISSING');
    await expectNothingStays();
  });

  test('with the signature of a stranger', async () => {
    const stranger = await makeSigningKey('stranger');
    expect((await putSigned({ ...appc, key: stranger }, NAME, image)).body.toString()).toContain(
      'none of the trusted keys',
    );
    await expectNothingStays();
  });

  test('with a signature that is none', async () => {
    const answer = await appc.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: 'hello' });
    expect(outcomeOf(answer)).toEqual([400, 'MANIFEST_INVALID']);
    const large = await appc.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: Buffer.alloc(70_000) });
    expect(large.status).toBe(413);
    await expectNothingStays();
  });

  test('under another name or version than its own', async () => {
    for (const [name, version] of [
      ['example.com/other', '1.0'],
      [NAME, '2.0'],
    ] as const)
      expect((await putSigned(appc, name, image, version)).body.toString()).toContain('ERR_ACI_MISMATCH');
    await expectNothingStays();
  });

  test('when it is no image, or one that could do harm', async () => {
    expect((await putSigned(appc, NAME, Buffer.alloc(5000, 'x'))).body.toString()).toContain('ERR_ACI_INVALID');
    const bomb = packed(testImage(NAME, { body: Buffer.alloc(96 * 1024 ** 2) }), 'gzip');
    expect((await putSigned(appc, NAME, bomb)).status).toBe(413);
    await expectNothingStays();
  });

  test('when its client leaves halfway', async () => {
    await appc.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: await appc.key.sign(image) });
    const body = async function* () {
      yield await Promise.resolve(image.subarray(0, 1000));
      throw new Error('the line is cut');
    };
    await expect(appc.seed.send('PUT', imagePath(NAME), { body: body() })).rejects.toThrow('the line is cut');
    await expect.poll(() => appc.seed.medium.uploads.size).toBe(0);
    await expectNothingStays();
  });

  test('when its signature has waited too long', async () => {
    await appc.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: await appc.key.sign(image) });
    appc.pass(3_600_001);
    expect((await appc.seed.send('PUT', imagePath(NAME), { body: image })).status).toBe(400);
    await expectNothingStays();
  });

  test('through the door of other images', async () => {
    const manifest = makeManifest('forged');
    await expect(pushBlob(appc.seed, `appc/${NAME}`, Buffer.from('x'))).rejects.toThrow('403');
    const answer = await putManifest(appc.seed, `/v2/appc/${NAME}/manifests/1.0__linux__amd64`, manifest.bytes);
    expect(outcomeOf(answer)).toEqual([403, 'DENIED']);
    await expectNothingStays();
  });

  test.each([
    '/appc/images/example.com/..%2F..%2Fetc/1.0/linux/amd64.aci',
    '/appc/images/example.com/%2e%2e/1.0/linux/amd64.aci',
    '/appc/images/Example.com/app/1.0/linux/amd64.aci',
    '/appc/images/example.com//app/1.0/linux/amd64.aci',
    '/appc/images/1.0/linux/amd64.aci',
    '/appc/images/example.com/app/1.0/linux/amd64.tar',
    '/appc/images/example.com/app/%ff/linux/amd64.aci',
    '/appc/images/example.com/app/%00/linux/amd64.aci',
    `/appc/images/${'a/'.repeat(2000)}1.0/linux/amd64.aci`,
    `/appc/images/example.com/app/${'9'.repeat(200)}/linux/amd64.aci`,
  ])('at %s', async (path) => {
    expect(outcomeOf(await appc.seed.send('PUT', path, { body: image }))[0]).toBe(400);
    await expectNothingStays();
  });
});

describe('an operator', () => {
  test('may take unsigned images, and signatures that come later', async () => {
    await using open = await openAppcSeed({ allowUnsigned: true });
    const { seed, key } = open;
    expect((await seed.send('PUT', imagePath(NAME), { body: image })).status).toBe(201);
    expect((await seed.send('GET', imagePath(NAME, '1.0', 'aci.asc'))).status).toBe(404);
    const signature = await key.sign(image);
    expect((await seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: signature })).status).toBe(201);
    expect((await seed.send('GET', imagePath(NAME, '1.0', 'aci.asc'))).body.toString()).toBe(signature);
    expect((await seed.send('GET', imagePath(NAME))).body.equals(image)).toBe(true);
  });

  test('may let versions never change', async () => {
    await using fixed = await openAppcSeed({}, { immutableTags: ['appc/**:*'] });
    expect((await putSigned(fixed, NAME, image)).status).toBe(201);
    const same = (await fixed.seed.send('GET', imagePath(NAME, '1.0', 'aci.asc'))).body;
    expect((await fixed.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: same })).status).toBe(201);
    const other = await putSigned(fixed, NAME, testImage(NAME));
    expect(outcomeOf(other)).toEqual([403, 'DENIED']);
    expect((await fixed.seed.send('GET', imagePath(NAME))).body.equals(image)).toBe(true);
    const signature = await fixed.key.sign(testImage(NAME));
    const push = { manifest: testManifest(NAME), signature, aci: testImage(NAME) };
    expect(await acpush(fixed.seed, `${NAME}/1.0/linux/amd64`, push)).toContain('immutable');
  });

  test('may give images by BitTorrent too, which the files say', async () => {
    await using shared = await openAppcSeed({ torrentPath: (digest, name) => `/torrents/${name}/${digest}.torrent` });
    await putSigned(shared, NAME, image);
    const { headers } = await shared.seed.send('HEAD', imagePath(NAME));
    const link = torrentLinkOf([String(headers['link'])], new URL('http://seed.lan:5000/appc/x'));
    expect(link?.href).toBe(`http://seed.lan:5000/torrents/appc/${NAME}/${digestOf(image)}.torrent`);
    expect((await shared.seed.send('HEAD', imagePath(NAME, '1.0', 'aci.asc'))).headers['link']).toBeUndefined();
  });

  test('may ask who pushes, and never in the open', async () => {
    const pushers = [{ username: 'ann', password: 'sécret:1' }];
    await using guarded = await openAppcSeed({ pushers });
    const basic = (text: string): object => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
    const signature = await guarded.key.sign(image);
    const put = async (headers: object) =>
      await guarded.seed.send('PUT', imagePath(NAME, '1.0', 'aci.asc'), { body: signature, headers: { ...headers } });
    expect((await put({})).headers['www-authenticate']).toContain('Basic');
    for (const wrong of ['ann:', 'ann:secret:1', 'bob:sécret:1', ':', 'x'.repeat(9000)])
      expect((await put(basic(wrong))).status).toBe(401);
    expect((await put({ authorization: 'Bearer x' })).status).toBe(401);
    expect((await put(basic('ann:sécret:1'))).status).toBe(202);
    expect((await guarded.seed.send('DELETE', imagePath(NAME))).status).toBe(401);
    expect((await guarded.seed.send('GET', imagePath(NAME))).status).toBe(404);
    const push = { manifest: testManifest(NAME), signature, aci: image };
    expect(await acpush(guarded.seed, `${NAME}/1.0/linux/amd64`, push)).toContain('401');
    expect(await acpush(guarded.seed, `${NAME}/1.0/linux/amd64`, push, basic('ann:sécret:1'))).toBeUndefined();
  });
});

describe('acpush', () => {
  const place = `${NAME}/1.0/linux/amd64`;
  const manifest = testManifest(NAME);

  test('pushes an image, which is seen at the end alone', async () => {
    const signature = await appc.key.sign(image);
    expect(await acpush(appc.seed, place, { manifest, signature, aci: image })).toBeUndefined();
    expect((await get(imagePath(NAME))).body.equals(image)).toBe(true);
    expect(appc.published).toHaveLength(1);
  });

  test('pushes without saying a version', async () => {
    const signature = await appc.key.sign(image);
    const failure = await acpush(appc.seed, `${NAME}/latest/linux/amd64`, { manifest, signature, aci: image });
    expect(failure).toBeUndefined();
    expect((await get(imagePath(NAME))).status).toBe(200);
  });

  test('is told at the end what was wrong', async () => {
    const signature = await appc.key.sign(image);
    const other = testManifest('example.com/other');
    const cases: [string, Parameters<typeof acpush>[2]][] = [
      ['signature', { manifest, signature: '', aci: image }],
      ['made for another file', { manifest, signature: await appc.key.sign(Buffer.from('x')), aci: image }],
      ['OpenPGP', { manifest, signature: 'no signature', aci: image }],
      ['not the image that was meant', { manifest: other, signature, aci: image }],
      ['not valid', { manifest: '{}', signature, aci: image }],
      [
        'cut off',
        {
          manifest,
          signature: await appc.key.sign(testImage(NAME).subarray(0, 2500)),
          aci: testImage(NAME).subarray(0, 2500),
        },
      ],
    ];
    for (const [reason, push] of cases) expect(await acpush(appc.seed, place, push)).toContain(reason);
    expect(await acpush(appc.seed, place, { manifest, signature, aci: image, success: false })).toBe(
      'the client gave up',
    );
    expect((await get(imagePath(NAME))).status).toBe(404);
    await expect.poll(() => appc.seed.medium.uploads.size).toBe(0);
  });

  test('cannot use a push that is over, or that was never begun', async () => {
    const none = `/appc/uploads/${'0'.repeat(32)}`;
    for (const step of ['manifest', 'signature', 'aci'])
      expect((await appc.seed.send('PUT', `${none}/${step}`, { body: 'x' })).status).toBe(404);
    expect((await appc.seed.send('POST', `${none}/complete`, { body: '{"success":true}' })).status).toBe(404);
    expect((await appc.seed.send('PUT', '/appc/uploads/../x/aci', { body: 'x' })).status).toBe(404);
    const begun = await appc.seed.send('POST', `/appc/push/${place}`);
    const details = JSON.parse(begun.body.toString()) as { completed_url: string };
    const { pathname } = new URL(details.completed_url);
    expect((await get(pathname)).status).toBe(405);
    expect(outcomeOf(await appc.seed.send('POST', pathname, { body: 'no json' }))).toEqual([
      400,
      'BLOB_UPLOAD_INVALID',
    ]);
    const early = await appc.seed.send('POST', pathname, { body: '{"success":true}' });
    expect(JSON.parse(early.body.toString())).toEqual({ success: false, server_reason: 'no image was pushed' });
    expect((await appc.seed.send('POST', pathname, { body: '{"success":true}' })).status).toBe(404);
  });

  test('leaves nothing behind when its client is gone for an hour', async () => {
    const begun = await appc.seed.send('POST', `/appc/push/${place}`);
    const details = JSON.parse(begun.body.toString()) as Record<string, string>;
    const send = async (key: string, body: string | Buffer) =>
      await appc.seed.send('PUT', new URL(details[key] ?? '').pathname, { body });
    expect((await send('upload_signature_url', await appc.key.sign(image))).status).toBe(200);
    expect((await send('upload_aci_url', image)).status).toBe(200);
    expect((await send('upload_aci_url', image)).status).toBe(400);
    expect(appc.seed.medium.uploads.size).toBe(1);
    appc.pass(3_600_001);
    expect((await send('upload_manifest_url', manifest)).status).toBe(404);
    await expect.poll(() => appc.seed.medium.uploads.size).toBe(0);
  });
});
