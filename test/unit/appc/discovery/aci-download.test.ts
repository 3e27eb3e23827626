import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ACI_DOWNLOAD_DEFAULTS, AciDownload, type AciSink } from '../../../../src/appc/discovery/aci-download.ts';
import { readKeyring, type Keyring } from '../../../../src/appc/signature/keyring.ts';
import { parseAppReference } from '../../../../src/appc/values/app-reference.ts';
import { packed, testImage } from '../../../support/aci-builder.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { makeSigningKey } from '../../../support/signing-key.ts';
import { openClient, openSite, type Page, type TestSite } from './web-fixture.ts';

const NAME = '127.0.0.1/app';
const TAG = '"v1"';
const image = packed(testImage(NAME, { body: Buffer.alloc(400_000, 'x') }), 'none');

class MemorySink implements AciSink {
  bytes = Buffer.alloc(0);
  etag: string | undefined;
  restarts = 0;

  held() {
    return Promise.resolve({ sizeBytes: this.bytes.length, etag: this.etag });
  }

  restart(etag: string | undefined) {
    this.restarts += 1;
    this.bytes = Buffer.alloc(0);
    this.etag = etag;
    return Promise.resolve();
  }

  append(bytes: Uint8Array) {
    this.bytes = Buffer.concat([this.bytes, bytes]);
    return Promise.resolve();
  }

  async *read() {
    yield await Promise.resolve(this.bytes);
  }
}

/** Serves a file with ranges; the first answers end after so many bytes. */
function served(bytes: Buffer, endings: number[] = [], tag = TAG): Page {
  return (request, response) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const isPart = start > 0 && request.headers['if-range'] === tag;
    if (isPart && start >= bytes.length) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}`, etag: tag }).end();
      return;
    }
    const from = isPart ? start : 0;
    const headers = { etag: tag, 'content-length': bytes.length - from, 'accept-ranges': 'bytes' };
    const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(isPart ? 206 : 200, isPart ? { ...headers, ...range } : headers);
    const ending = endings.shift();
    if (ending === undefined) response.end(bytes.subarray(from));
    else response.write(bytes.subarray(from, from + ending), () => response.destroy());
  };
}

let site: TestSite;
let web: ReturnType<typeof openClient>;
let download: AciDownload;
let keyring: Keyring;
let signature: string;

beforeEach(async () => {
  site = await openSite('http');
  web = openClient();
  const clock = { nowMs: () => Date.now() };
  download = new AciDownload({ web, clock, random: seededRandom(1) }, { ...ACI_DOWNLOAD_DEFAULTS, maxRetries: 1 });
  const key = await makeSigningKey('builder');
  keyring = await readKeyring([{ name: 'k', bytes: Buffer.from(key.publicKey) }]);
  signature = await key.sign(image);
  site.pages.set('/app.aci', served(image));
  site.pages.set('/app.aci.asc', signature);
});

afterEach(async () => {
  await web.close();
  await site[Symbol.asyncDispose]();
});

async function fetchTo(sink: AciSink, changes: { keyring?: undefined; version?: string } = {}) {
  const origin = new URL(site.origin);
  const endpoint = { aci: new URL('/app.aci', origin), signature: new URL('/app.aci.asc', origin), site: origin };
  const reference = parseAppReference(`${NAME}:${changes.version ?? '1.0'}`);
  return await download.fetch({ endpoint, reference, keyring: 'keyring' in changes ? undefined : keyring }, sink);
}

test('an image is fetched after its signature, and checked', async () => {
  const sink = new MemorySink();
  const fetched = await fetchTo(sink);
  expect(fetched).toMatchObject({ sizeBytes: image.length, signedBy: { fingerprint: keyring.fingerprints[0] } });
  expect(fetched.signature?.toString()).toBe(signature);
  expect(sink.bytes).toEqual(image);
  expect(site.asked).toEqual(['/app.aci.asc', '/app.aci']);
});

test('no signature is asked for where none is wanted', async () => {
  const fetched = await fetchTo(new MemorySink(), { keyring: undefined });
  expect(fetched.signedBy).toBeUndefined();
  expect(site.asked).toEqual(['/app.aci']);
});

describe('what breaks off', () => {
  test('goes on where it ended, as long as bytes come', async () => {
    site.pages.set('/app.aci', served(image, [50_000, 50_000, 50_000, 50_000]));
    const sink = new MemorySink();
    await fetchTo(sink);
    expect(sink.bytes.equals(image)).toBe(true);
    expect(sink.restarts).toBe(1);
  });

  test('goes on from what an earlier process left', async () => {
    const sink = Object.assign(new MemorySink(), { bytes: image.subarray(0, 100_000), etag: TAG });
    await fetchTo(sink);
    expect(sink.bytes.equals(image)).toBe(true);
    expect(sink.restarts).toBe(0);
  });

  test('begins again when the file has changed meanwhile', async () => {
    const sink = Object.assign(new MemorySink(), { bytes: Buffer.alloc(100_000, 'old'), etag: '"v0"' });
    await fetchTo(sink);
    expect(sink.bytes.equals(image)).toBe(true);
    expect(sink.restarts).toBe(1);
  });

  test('is complete when nothing is left of it', async () => {
    const sink = Object.assign(new MemorySink(), { bytes: image, etag: TAG });
    await fetchTo(sink);
    expect(sink.restarts).toBe(0);
  });

  test('begins again when what is there is more than the file', async () => {
    const sink = Object.assign(new MemorySink(), { bytes: Buffer.concat([image, image]), etag: TAG });
    await fetchTo(sink);
    expect(sink.bytes.equals(image)).toBe(true);
  });

  test('is given up when no more bytes come', async () => {
    site.pages.set('/app.aci', (_, response) => response.destroy());
    await expect(fetchTo(new MemorySink())).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
    expect(site.asked.filter((path) => path === '/app.aci')).toHaveLength(2);
  });
});

describe('a signature', () => {
  test('that is deferred is asked for again after the file', async () => {
    let asked = 0;
    site.pages.set('/app.aci.asc', (_, response) => {
      asked += 1;
      if (asked === 1) response.writeHead(202).end();
      else response.end(signature);
    });
    await expect(fetchTo(new MemorySink())).resolves.toMatchObject({ signedBy: expect.anything() as unknown });
    expect(site.asked).toEqual(['/app.aci.asc', '/app.aci', '/app.aci.asc']);
  });

  test('that is not there costs no download', async () => {
    site.pages.delete('/app.aci.asc');
    await expect(fetchTo(new MemorySink())).rejects.toMatchObject({ code: 'ERR_SIGNATURE_MISSING' });
    expect(site.asked).toEqual(['/app.aci.asc']);
  });

  test('without an end is not read to it', async () => {
    site.pages.set('/app.aci.asc', Buffer.alloc(1_000_000, 'x'));
    await expect(fetchTo(new MemorySink())).rejects.toMatchObject({ code: 'ERR_ACI_DOWNLOAD' });
  });
});

describe('the torrent of a file', () => {
  test.each([
    ['', undefined],
    ['</t/x.torrent>; rel=describedby; type="application/x-bittorrent"', '/t/x.torrent'],
    ['<a>; rel="next", </t/x.torrent>; type=application/x-bittorrent; rel="describedby"', '/t/x.torrent'],
    ['<a>; title="<b>, c"; rel=describedby, </t/x.torrent>; rel=duplicate; type="application/x-bittorrent"', undefined],
    ['<file:///etc/passwd>; rel=describedby; type="application/x-bittorrent"', undefined],
  ])('is named by the header %j', async (link, path) => {
    site.pages.set('/app.aci', (_, response) => response.writeHead(200, { link }).end());
    const origin = new URL(site.origin);
    const endpoint = { aci: new URL('/app.aci', origin), signature: origin, site: origin };
    expect((await download.findTorrent(endpoint))?.pathname).toBe(path);
  });

  test('is not looked for where the file is not', async () => {
    site.pages.delete('/app.aci');
    const origin = new URL(site.origin);
    const endpoint = { aci: new URL('/app.aci', origin), signature: origin, site: origin };
    await expect(download.findTorrent(endpoint)).rejects.toMatchObject({ code: 'ERR_ACI_UNKNOWN' });
  });
});

describe('a server that gives something else', () => {
  test.each<[string, Page, string]>([
    ['nothing', (_, response) => response.writeHead(404).end(), 'ERR_ACI_UNKNOWN'],
    ['a refusal', (_, response) => response.writeHead(401).end(), 'ERR_ACI_DOWNLOAD'],
    ['an image of another name', served(testImage('127.0.0.1/other')), 'ERR_ACI_MISMATCH'],
    ['a page', served(Buffer.from('<html>sign in first</html>')), 'ERR_ACI_INVALID'],
  ])('%s', async (_, page, code) => {
    site.pages.set('/app.aci', page);
    await expect(fetchTo(new MemorySink(), { keyring: undefined })).rejects.toMatchObject({ code });
  });

  test('another version', async () => {
    await expect(fetchTo(new MemorySink(), { version: '2.0' })).rejects.toMatchObject({ code: 'ERR_ACI_MISMATCH' });
  });

  test('other bytes than were asked for', async () => {
    site.pages.set('/app.aci', (_, response) =>
      response.writeHead(206, { 'content-range': `bytes 7-9/10` }).end('abc'),
    );
    const sink = Object.assign(new MemorySink(), { bytes: Buffer.alloc(5), etag: TAG });
    await expect(fetchTo(sink)).rejects.toMatchObject({ code: 'ERR_ACI_DOWNLOAD' });
  });
});
