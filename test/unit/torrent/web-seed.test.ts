import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseRange } from '../../../src/oci/byte-range.ts';
import { WebSeed } from '../../../src/torrent/web-seed.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';

const BYTES = seededBytes(100_000, 21);

describe('a web seed', () => {
  let server: Server;
  let answer: RequestListener;
  let asked: (string | undefined)[];
  let url: string;
  const seeds = new Set<WebSeed>();

  beforeEach(async () => {
    asked = [];
    server = createServer((request, response) => {
      asked.push(request.url);
      answer(request, response);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    answer = serve;
  });

  afterEach(async () => {
    for (const seed of seeds) seed.close();
    seeds.clear();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  const serve: RequestListener = (request, response) => {
    const asked = parseRange(request.headers.range, BYTES.length);
    if (asked.kind !== 'range') throw new Error('no range was asked for');
    const { start, end } = asked.range;
    response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${BYTES.length}` });
    response.end(BYTES.subarray(start, end));
  };

  function open(path: string, files = [{ path: 'file', length: BYTES.length, offset: 0 }]): WebSeed {
    const seed = new WebSeed(`${url}${path}`, files);
    seeds.add(seed);
    return seed;
  }

  test('is asked for ranges of its file, which lies at its URL or in the folder that this names', async () => {
    const range = { start: 500, end: 70_000 };
    expect(Buffer.from(await open('/a%20b').read(range)).equals(BYTES.subarray(500, 70_000))).toBe(true);
    await open('/folder/').read(range);
    expect(asked).toEqual(['/a%20b', '/folder/file']);
  });

  test('is asked for each file that a piece touches, by a name that no character of it can change', async () => {
    const files = [
      { path: 'name/a#b?', length: 600, offset: 0 },
      { path: 'name/empty', length: 0, offset: 600 },
      { path: 'name/sub/c', length: 50_000, offset: 600 },
    ];
    const read = await open('/torrents', files).read({ start: 500, end: 1_000 });
    expect(asked).toEqual(['/torrents/name/a%23b%3F', '/torrents/name/sub/c']);
    expect(Buffer.from(read).equals(Buffer.concat([BYTES.subarray(500, 600), BYTES.subarray(0, 400)]))).toBe(true);
  });

  test('may send all of a file where all of it was asked for, and not for a part', async () => {
    answer = (_, response) => response.writeHead(200).end(BYTES);
    const seed = open('/');
    expect(Buffer.from(await seed.read({ start: 0, end: BYTES.length })).equals(BYTES)).toBe(true);
    await expect(seed.read({ start: 0, end: 10 })).rejects.toThrow('answered 200');
  });

  test.each<[string, number, string, string]>([
    ['another range', 206, 'bytes 1-10/100000', 'answered 206'],
    ['an error', 503, '', 'answered 503'],
    ['a range that it does not name', 206, '', 'answered 206'],
  ])('that sends %s is refused', async (_, status, contentRange, message) => {
    answer = (_, response) => response.writeHead(status, { 'content-range': contentRange }).end(BYTES.subarray(0, 10));
    await expect(open('/').read({ start: 0, end: 10 })).rejects.toThrow(message);
  });

  test('that sends without end is ended, and one that sends too little is refused', async () => {
    let isEnded = Promise.withResolvers<void>();
    answer = (_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-9/100000' });
      const more = (): void => {
        while (!response.destroyed && response.write(BYTES));
      };
      response.on('drain', more).on('close', () => isEnded.resolve());
      more();
    };
    await expect(open('/').read({ start: 0, end: 10 })).rejects.toThrow('more than was asked');
    await isEnded.promise;
    isEnded = Promise.withResolvers();
    answer = (_, response) => response.writeHead(206, { 'content-range': 'bytes 0-9/100000' }).end('short');
    await expect(open('/').read({ start: 0, end: 10 })).rejects.toThrow('less than was asked');
  });

  test('is followed to where it points, but not in circles, and never to a metadata service or another protocol', async () => {
    const range = { start: 0, end: 10 };
    answer = (request, response) => {
      if (request.url === '/moved') serve(request, response);
      else response.writeHead(302, { location: '/moved' }).end();
    };
    expect(Buffer.from(await open('/').read(range)).equals(BYTES.subarray(0, 10))).toBe(true);
    for (const [location, message] of [
      ['/round', 'redirects too often'],
      ['http://169.254.169.254/latest', 'not to be reached'],
      ['file:///etc/passwd', 'nothing is fetched from'],
    ]) {
      answer = (_, response) => response.writeHead(302, { location }).end();
      await expect(open('/').read(range)).rejects.toThrow(message);
    }
    const metadata = new WebSeed('http://169.254.169.254/', [{ path: 'file', length: BYTES.length, offset: 0 }]);
    seeds.add(metadata);
    await expect(metadata.read(range)).rejects.toThrow('not to be reached');
  });

  test('on the Internet leads nowhere inside of the own network, by address or by name', async () => {
    const scopeOf = (address: string): 'public' | 'private' => (address === '127.0.0.1' ? 'public' : 'private');
    const files = [{ path: 'file', length: BYTES.length, offset: 0 }];
    const port = new URL(url).port;
    for (const [host, isReached] of [
      ['127.0.0.1', true],
      ['127.0.0.2', false],
      ['[::1]', false],
    ] as const) {
      answer = (request, response) => {
        if (request.url === '/moved') serve(request, response);
        else response.writeHead(302, { location: `http://${host}:${port}/moved` }).end();
      };
      const seed = new WebSeed(`${url}/`, files, scopeOf);
      seeds.add(seed);
      const reading = seed.read({ start: 0, end: 10 });
      if (isReached) await expect(reading).resolves.toHaveLength(10);
      else await expect(reading).rejects.toThrow('not to be reached');
    }
    const named = new WebSeed(`http://localhost:${port}/`, files, () => 'link-local');
    seeds.add(named);
    await expect(named.read({ start: 0, end: 10 })).rejects.toThrow('not to be reached');
  });

  test('is not waited for when it was left', async () => {
    const isAsked = Promise.withResolvers<void>();
    answer = () => isAsked.resolve();
    const seed = open('/');
    const reading = seed.read({ start: 0, end: 10 });
    await isAsked.promise;
    seed.close();
    await expect(reading).rejects.toThrow('left');
  });
});
