/** What a seed must withstand: every input here is answered as the specification says, and nothing else happens. */
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseTestAnswer, type RawAnswer } from '../registry/facade-client.ts';
import { askRaw, errorCode } from '../registry/facade-fixture.ts';
import {
  makeManifest,
  openTestSeed,
  outcomeOf,
  pushBlob,
  pushManifest,
  putManifest,
  type TestSeed,
} from './seed-fixture.ts';

const HEX = 'a'.repeat(64);

let seed: TestSeed;
beforeAll(async () => {
  seed = await openTestSeed({ policy: { names: ['**'] }, pace: { timeoutMs: 300, progressBytes: 1024 } });
  await pushBlob(seed, 'team/app', Buffer.from('here'));
});
afterAll(async () => await seed[Symbol.asyncDispose]());

/** Sends bytes as they are on one connection, and reads what comes until it is closed. */
async function raw(text: string): Promise<RawAnswer> {
  const socket = connect(seed.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  return parseTestAnswer(Buffer.concat(chunks));
}

async function begin(): Promise<string> {
  return (await seed.send('POST', '/v2/team/app/blobs/uploads/')).headers.location ?? '';
}

describe('paths', () => {
  const names = [
    '..',
    '%2e%2e',
    '%252e%252e',
    'a%00b',
    'a\\b',
    'A',
    '/etc',
    'a//b',
    '.a',
    'a..b',
    '-a',
    'a'.repeat(256),
  ];
  test.each([...names, `${'a/'.repeat(5000)}a`])('no repository is named %.40s', async (name) => {
    for (const [method, path] of [
      ['POST', `/v2/${name}/blobs/uploads/`],
      ['PUT', `/v2/${name}/manifests/v1`],
      ['DELETE', `/v2/${name}/manifests/v1`],
      ['GET', `/v2/${name}/tags/list`],
    ] as const) {
      const { status, body } = await askRaw(seed.port, path, { method });
      expect([status, errorCode(body)], path.slice(0, 60)).toEqual([400, 'NAME_INVALID']);
    }
  });

  test.each(['.hidden', '-x', 'x'.repeat(129), 'a,b', '..'])('nothing is tagged %.20s', async (tag) => {
    const manifest = makeManifest('tagged');
    const target = `/v2/team/app/manifests/${tag}`;
    const answer = await askRaw(seed.port, target, { method: 'PUT' });
    expect([400, 404]).toContain(answer.status);
    expect(['TAG_INVALID', 'NAME_INVALID']).toContain(errorCode(answer.body));
    const query = `/v2/team/app/manifests/${manifest.digest}?tag=${encodeURIComponent(tag)}`;
    expect(outcomeOf(await putManifest(seed, query, manifest.bytes))).toEqual([400, 'TAG_INVALID']);
  });

  test.each(['../../x', '%2e%2e', 'x'.repeat(32), 'a'.repeat(31), 'A'.repeat(32), 'f'.repeat(32), '0'])(
    'no upload is named %s',
    async (id) => {
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const target = `/v2/team/app/blobs/uploads/${id}?digest=sha256:${HEX}`;
        const { status } = await askRaw(seed.port, target, { method });
        expect([400, 404], `${method} ${id}`).toContain(status);
      }
    },
  );

  test.each([
    ['GET', '/v2/team/app/tags/list/', 404],
    ['GET', '/v2/team/app/manifests/v1/', 404],
    ['PUT', '/v2/team/app/manifests/v1/', 404],
    ['POST', '/v2/team/app/blobs/uploads//', 404],
    ['GET', '/v2/team//app/tags/list', 400],
    ['GET', '//v2/team/app/tags/list', 404],
    ['GET', '/v2/team/app/blobs/..%2f..%2f..%2fetc%2fpasswd', 400],
    ['GET', '/v2/team/app/manifests/..%2f..%2fcatalog', 400],
    ['GET', '/v2/team/app/referrers/..%5c..%5cx', 400],
    ['GET', `/v2/team/app/blobs/sha256:${HEX}%00`, 400],
    ['GET', `/v2/team/app/blobs/sha256:..%2f${HEX.slice(3)}`, 400],
    ['GET', '/v2/team/app/blobs/%', 400],
  ])('%s %s leads nowhere', async (method, path, status) => {
    const answer = await askRaw(seed.port, path, { method });
    expect(answer.status).toBe(status);
    expect(['NAME_INVALID', 'DIGEST_INVALID', 'TAG_INVALID', 'UNSUPPORTED', 'NAME_UNKNOWN', 'NOT_FOUND']).toContain(
      errorCode(answer.body),
    );
  });

  test('words of the protocol are good parts of a name', async () => {
    for (const name of ['blobs', 'a/manifests', 'tags/list', 'uploads/blobs', 'a/blobs/uploads/b']) {
      const manifest = makeManifest(name);
      await pushManifest(seed, name, 'latest', manifest);
      const { status, headers } = await seed.send('GET', `/v2/${name}/manifests/latest`);
      expect([status, headers['docker-content-digest']], name).toEqual([200, manifest.digest]);
    }
  });
});

describe('digests', () => {
  test.each([
    `md5:${'a'.repeat(32)}`,
    `sha1:${'a'.repeat(40)}`,
    `SHA256:${HEX}`,
    `sha256:${HEX.toUpperCase()}`,
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX}a`,
    'sha256:',
    `sha512:${HEX}`,
    `sha256:${'g'.repeat(64)}`,
    'baddigeststring',
    '',
  ])('%s is none', async (digest) => {
    const location = await begin();
    const invalid = [400, 'DIGEST_INVALID'];
    expect(outcomeOf(await seed.send('PUT', `${location}?digest=${digest}`, { body: 'x' }))).toEqual(invalid);
    expect((await seed.send('GET', location)).status).toBe(204);
    const post = `/v2/team/app/blobs/uploads/?digest=${digest}`;
    expect(outcomeOf(await seed.send('POST', post, { body: 'x' }))).toEqual(invalid);
    const mount = `/v2/team/app/blobs/uploads/?mount=${digest}&from=team/app`;
    expect(outcomeOf(await seed.send('POST', mount))).toEqual(invalid);
    if (!digest.includes(':')) return;
    expect(outcomeOf(await seed.send('GET', `/v2/team/app/blobs/${digest}`))).toEqual(invalid);
    expect(outcomeOf(await seed.send('DELETE', `/v2/team/app/blobs/${digest}`))).toEqual(invalid);
    expect(outcomeOf(await seed.send('GET', `/v2/team/app/referrers/${digest}`))).toEqual(invalid);
    const manifest = await putManifest(seed, `/v2/team/app/manifests/${digest}`, makeManifest('x').bytes);
    expect(outcomeOf(manifest)).toEqual(invalid);
  });

  test('two digests are none', async () => {
    const location = await begin();
    const digest = digestOf(Buffer.from('x'));
    const answer = await seed.send('PUT', `${location}?digest=${digest}&digest=${digest}`, { body: 'x' });
    expect(outcomeOf(answer)).toEqual([400, 'DIGEST_INVALID']);
    expect((await seed.send('PUT', location, { body: 'x' })).status).toBe(400);
    expect((await seed.send('PUT', `${location}?digest=${digest}`, { body: 'x' })).status).toBe(201);
  });

  test('a blob may be named by another algorithm than was announced, if it is right', async () => {
    const announced = '/v2/team/app/blobs/uploads/?digest-algorithm=sha512';
    const bytes = Buffer.from('announced as sha512');
    for (const digest of [digestOf(bytes), digestOf(bytes, 'sha512')]) {
      const location = (await seed.send('POST', announced)).headers.location ?? '';
      expect((await seed.send('PATCH', location, { body: bytes })).status).toBe(202);
      expect((await seed.send('PUT', `${location}?digest=${digest}`)).status).toBe(201);
      expect((await seed.send('GET', `/v2/team/app/blobs/${digest}`)).body).toEqual(bytes);
    }
    const location = (await seed.send('POST', announced)).headers.location ?? '';
    await seed.send('PATCH', location, { body: bytes });
    const wrong = await seed.send('PUT', `${location}?digest=sha512:${HEX}${HEX}`);
    expect(outcomeOf(wrong)).toEqual([400, 'DIGEST_INVALID']);
  });

  test('an algorithm that is not supported is refused at once', async () => {
    const answer = await seed.send('POST', '/v2/team/app/blobs/uploads/?digest-algorithm=md5');
    expect(outcomeOf(answer)).toEqual([400, 'DIGEST_INVALID']);
  });
});

describe('uploads', () => {
  let location = '';
  beforeEach(async () => {
    location = await begin();
    await seed.send('PATCH', location, { body: 'first' });
  });

  test.each(['bytes 0-4', '3-7', '5-', '-5', '9-5', 'x-y', '5-9/10', '5--9', '', '99999999999999999999-1', '1e1-20'])(
    'Content-Range: %s is refused, and the upload goes on',
    async (range) => {
      const answer = await seed.send('PATCH', location, { headers: { 'Content-Range': range }, body: 'other' });
      expect(outcomeOf(answer)).toEqual([416, 'BLOB_UPLOAD_INVALID']);
      expect((await seed.send('GET', location)).headers.range).toBe('0-4');
      await expectUnharmed();
    },
  );

  test('a range and a length that differ are refused', async () => {
    const headers = { 'Content-Range': '5-9' };
    const answer = await seed.send('PATCH', location, { headers, body: 'more than five' });
    expect(outcomeOf(answer)).toEqual([400, 'SIZE_INVALID']);
    await expectUnharmed();
  });

  test('an empty chunk adds nothing', async () => {
    const answer = await seed.send('PATCH', location, { body: '' });
    expect([answer.status, answer.headers.range]).toEqual([202, '0-4']);
    await expectUnharmed();
  });

  test('a chunk that is sent again at the old place is refused, and tells where the upload stands', async () => {
    const again = await seed.send('PATCH', location, { headers: { 'Content-Range': '0-4' }, body: 'first' });
    expect(outcomeOf(again)).toEqual([416, 'BLOB_UPLOAD_INVALID']);
    const status = await seed.send('GET', location);
    expect([status.status, status.headers.range]).toEqual([204, '0-4']);
    await expectUnharmed();
  });

  test('nothing is done with an upload in the name of another repository, or with a forged one', async () => {
    const other = location.replace('/team/app/', '/team/other/');
    const forged = location.replace(/[a-f0-9]{32}$/, (id) => [...id].toReversed().join(''));
    for (const [target, method] of [other, forged].flatMap((path) =>
      ['GET', 'PATCH', 'PUT', 'DELETE'].map((verb) => [path, verb] as const),
    )) {
      const digest = digestOf(Buffer.from('first'));
      const answer = await seed.send(method, `${target}?digest=${digest}&_state=forged`, { body: 'x' });
      expect(outcomeOf(answer), `${method} ${target}`).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    }
    await expectUnharmed();
  });

  test.each(['cancelled', 'finished', 'removed behind its back'])(
    'nothing is added to an upload that was %s',
    async (how) => {
      const digest = digestOf(Buffer.from('first'));
      if (how === 'cancelled') expect((await seed.send('DELETE', location)).status).toBe(204);
      else if (how === 'finished') expect((await seed.send('PUT', `${location}?digest=${digest}`)).status).toBe(201);
      else seed.medium.uploads.delete(location.slice(-32));
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const answer = await seed.send(method, `${location}?digest=${digest}`, { body: 'x' });
        expect(outcomeOf(answer), method).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
      }
    },
  );

  test('a body that is shorter than its length is kept as far as it came', async () => {
    const socket = connect(seed.port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.end(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nmore`);
    await once(socket, 'close');
    await expect.poll(async () => (await seed.send('GET', location)).headers.range).toBe('0-8');
  });

  test('a length and a transfer encoding together are no HTTP', async () => {
    const answer = await raw(
      `PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    );
    expect(answer.status).toBe(400);
    await expectUnharmed();
  });

  test('a body that stops coming is given up in time, and what came of it is kept', async () => {
    const answer = await raw(
      `PATCH ${location} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\nrest`,
    );
    expect([answer.status, errorCode(answer.body)]).toEqual([408, 'BLOB_UPLOAD_INVALID']);
    expect((await seed.send('GET', location)).headers.range).toBe('0-8');
  });

  test('a body that trickles is given up in time', async () => {
    const socket = connect(seed.port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n`);
    const drip = setInterval(() => socket.write('x'), 20);
    const answered = once(socket, 'data') as Promise<[Buffer]>;
    const [answer] = await answered;
    clearInterval(drip);
    socket.destroy();
    expect(parseTestAnswer(answer).status).toBe(408);
  });

  test('a body that is not wanted is not asked for', async () => {
    const wrong = `/v2/team/app/blobs/uploads/${'f'.repeat(32)}`;
    const head = `PATCH ${wrong} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n`;
    const answer = await raw(head);
    expect([answer.status, answer.headers['connection']]).toEqual([404, 'close']);
  });

  test('nothing but uploads is asked of uploads', async () => {
    expect((await seed.send('POST', location)).status).toBe(405);
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      expect((await seed.send(method, '/v2/team/app/blobs/uploads/', { body: 'x' })).status).toBe(405);
    }
    expect((await seed.send('GET', '/v2/team/app/blobs/uploads/')).status).toBe(404);
  });

  test('headers of proxies do not change where clients are sent', async () => {
    const headers = {
      'X-Forwarded-Host': 'evil.example',
      'X-Forwarded-Proto': 'https',
      Forwarded: 'for="[::1]";host=evil.example',
      Host: 'evil.example/path',
    };
    const answer = await seed.send('POST', '/v2/team/app/blobs/uploads/', { headers });
    expect(answer.headers.location).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[a-f0-9]{32}$/);
  });

  /** The upload is finished with what it had, or with what the test added. */
  async function expectUnharmed(): Promise<void> {
    const answer = await seed.send('PUT', `${location}?digest=${digestOf(Buffer.from('first'))}`);
    expect(answer.status).toBe(201);
  }
});

describe('ranges', () => {
  const bytes = Buffer.from('0123456789');
  test.each([
    ['bytes=0-4', 206, '01234', 'bytes 0-4/10'],
    ['bytes=0-', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-', 206, '56789', 'bytes 5-9/10'],
    ['bytes=9223372036854775808-', 416, undefined, 'bytes */10'],
    ['bytes=0-9223372036854775808', 206, '0123456789', 'bytes 0-9/10'],
    ['Bytes=0-1', 206, '01', 'bytes 0-1/10'],
    ['bytes=--1', 200, '0123456789', undefined],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
    ['bytes=8-99999999999999999999', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99999999999999999999', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-0', 416, undefined, 'bytes */10'],
    ['bytes=10-20', 416, undefined, 'bytes */10'],
    ['bytes=99999999999999999999-', 416, undefined, 'bytes */10'],
    ['bytes=-0', 416, undefined, 'bytes */10'],
    ['bytes=0-1,3-4', 200, '0123456789', undefined],
    ['items=0-1', 200, '0123456789', undefined],
    ['bytes=x-y', 200, '0123456789', undefined],
    ['bytes=-', 200, '0123456789', undefined],
  ])('%s', async (range, status, content, contentRange) => {
    const digest = await pushBlob(seed, 'team/ranges', bytes);
    const answer = await seed.send('GET', `/v2/team/ranges/blobs/${digest}`, { headers: { Range: range } });
    expect([answer.status, answer.headers['content-range']]).toEqual([status, contentRange]);
    if (content !== undefined) expect(answer.body.toString()).toBe(content);
  });

  test('an empty blob has no range', async () => {
    const digest = await pushBlob(seed, 'team/ranges', Buffer.alloc(0));
    const answer = await seed.send('GET', `/v2/team/ranges/blobs/${digest}`, { headers: { Range: 'bytes=0-' } });
    expect(answer.status).toBe(416);
  });
});

describe('lists', () => {
  test.each(['-1', 'NaN', '', '1e9', '0x10', '%00', '1;2'])('n=%s is no number', async (n) => {
    for (const path of ['/v2/team/app/tags/list', '/v2/_catalog']) {
      const answer = await seed.send('GET', `${path}?n=${n}`);
      expect(outcomeOf(answer), path).toEqual([400, 'PAGINATION_NUMBER_INVALID']);
    }
  });

  test('n=0 is a page without anything, and a huge one is a page of the usual length', async () => {
    expect(JSON.parse((await seed.send('GET', '/v2/_catalog?n=0')).body.toString())).toEqual({ repositories: [] });
    for (const n of ['1000000000', '9223372036854775808'])
      expect((await seed.send('GET', `/v2/_catalog?n=${n}`)).status).toBe(200);
  });

  test.each(['"quoted"', '%0d%0aSet-Cookie:%20a=b', 'no-such-tag', '%00', '..%2f..', 'x'.repeat(5000)])(
    'last=%.30s is a place in the order, and nothing else',
    async (last) => {
      for (const path of ['/v2/team/app/tags/list', '/v2/_catalog']) {
        const answer = await askRaw(seed.port, `${path}?n=1&last=${last}`, { method: 'GET' });
        expect(answer.status, path).toBe(200);
        expect(answer.headers['set-cookie']).toBeUndefined();
        expect(answer.headers['link'] ?? '').not.toMatch(/[\r\n]|"quoted"/);
      }
    },
  );
});
