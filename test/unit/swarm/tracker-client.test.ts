import { once } from 'node:events';
import { createServer } from 'node:http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BencodeValue, encodeBencode } from '../../../src/bencode/bencode.ts';
import { arbitraryValue } from '../bencode/arbitrary-value.ts';
import { compactPeers, readAnswer } from '../../../src/swarm/tracker-answer.ts';
import { announceToTracker, parseTrackerUrl } from '../../../src/swarm/tracker-client.ts';
import { freeRefusedPort } from '../../support/refused-port.ts';

describe('the answer of a tracker', () => {
  test('gives compact peers of both families', () => {
    const peers = Buffer.from([10, 0, 0, 1, 0x13, 0x8a, 10, 0, 0, 2, 0, 0, 9]);
    const peers6 = Buffer.concat([Buffer.from('20010db8000000000000000000000001', 'hex'), Buffer.from([0x13, 0x8a])]);
    const answer = new Map<string, BencodeValue>([
      ['interval', 120],
      ['peers', peers],
      ['peers6', peers6],
    ]);
    expect(readAnswer(answer)).toEqual({
      intervalMs: 120_000,
      peers: [
        { host: '10.0.0.1', port: 5_002 },
        { host: '2001:db8:0:0:0:0:0:1', port: 5_002 },
      ],
    });
  });

  test('gives peers in the long form, without those that make no sense', () => {
    const peer = (ip: BencodeValue, port: BencodeValue) =>
      new Map([
        ['ip', ip],
        ['port', port],
      ]);
    const peers = [peer(Buffer.from('::ffff:10.0.0.3'), 7), peer(Buffer.from('10.0.0.4'), 0), peer(5, 5), 3];
    expect(
      readAnswer(
        new Map<string, BencodeValue>([
          ['interval', 1],
          ['peers', peers],
        ]),
      ).peers,
    ).toEqual([{ host: '10.0.0.3', port: 7 }]);
  });

  test.each<[BencodeValue, RegExp]>([
    [5, /no dictionary/],
    [new Map(), /no interval/],
    [new Map([['interval', -1]]), /no interval/],
    [new Map([['failure reason', Buffer.from('go\naway')]]), /it refused: go\?away/],
  ])('%j is refused with a reason', (answer, reason) => {
    expect(() => readAnswer(answer)).toThrow(reason);
  });

  test('of any value is read or refused', () => {
    const answer = fc.dictionary(fc.constantFrom('interval', 'peers', 'peers6', 'failure reason'), arbitraryValue);
    fc.assert(
      fc.property(answer, (fields) => {
        try {
          for (const { port } of readAnswer(new Map(Object.entries(fields))).peers) expect(port).toBeGreaterThan(0);
        } catch (error) {
          expect((error as Error).message).toMatch(/^its answer|^it refused/);
        }
      }),
    );
  });

  test('with mapped addresses gives those of IPv4', () => {
    const mapped = Buffer.from('00000000000000000000ffff0a000005138a', 'hex');
    expect(compactPeers(mapped, 16)).toEqual([{ host: '10.0.0.5', port: 5_002 }]);
  });
});

describe('the URL of a tracker', () => {
  test('means /announce where it has no path', () => {
    expect(parseTrackerUrl('http://tracker:6969').href).toBe('http://tracker:6969/announce');
    expect(parseTrackerUrl('https://tracker/a/announce').pathname).toBe('/a/announce');
    expect(parseTrackerUrl('udp://tracker:6969').hostname).toBe('tracker');
  });

  test.each(['', 'tracker:6969', 'ws://tracker', 'udp://tracker', 'file:///etc/passwd'])('%j is refused', (text) => {
    expect(() => parseTrackerUrl(text)).toThrow(/tracker/);
  });
});

describe('an announce', () => {
  test('reaches a tracker on a port that fetch refuses, through a redirect', async () => {
    const port = await freeRefusedPort(4);
    const answer = encodeBencode(
      new Map<string, BencodeValue>([
        ['interval', 60],
        ['peers', Buffer.alloc(0)],
      ]),
    );
    const infoHashes: string[] = [];
    const server = createServer((request, response) => {
      const [path, query = ''] = (request.url ?? '').split('?');
      if (path === '/announce') {
        response.writeHead(302, { location: `/moved?${query}` }).end();
        return;
      }
      infoHashes.push(/info_hash=([^&]*)/.exec(query)?.[1] ?? '');
      response.end(answer);
    }).listen(port, '127.0.0.1');
    await once(server, 'listening');
    const announce = {
      infoHash: Buffer.alloc(20, 0xfe),
      peerId: Buffer.alloc(20, 0x2e),
      port: 5002,
      leftBytes: 1,
      wantedPeers: 10,
      event: 'started',
    } as const;
    const url = parseTrackerUrl(`http://127.0.0.1:${port}`);
    const told = await announceToTracker(url, announce, { signal: AbortSignal.timeout(5_000) });
    server.closeAllConnections();
    server.close();
    expect(told).toEqual({ intervalMs: 60_000, peers: [] });
    expect(infoHashes).toEqual(['%FE'.repeat(20).toLowerCase()]);
  });
});
