import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConnectionIds } from '../../../tracker/connection-ids.ts';
import { announceAnswer, readUdpRequest, scrapeAnswer } from '../../../tracker/udp-packets.ts';

function announce(options = Buffer.alloc(0)): Buffer {
  const message = Buffer.alloc(98);
  message.writeBigUInt64BE(77n, 0);
  message.writeUInt32BE(1, 8);
  message.writeUInt32BE(9, 12);
  message.fill(0xab, 16, 36);
  message.fill(0xcd, 36, 56);
  message.writeUInt32BE(2, 80);
  message.writeUInt32BE(0x08080808, 84);
  message.writeInt32BE(-1, 92);
  message.writeUInt16BE(5002, 96);
  return Buffer.concat([message, options]);
}

function option(text: string): Buffer {
  return Buffer.concat([Buffer.of(2, text.length), Buffer.from(text)]);
}

describe('a datagram', () => {
  test('is read as an announce; the address within it counts for nothing', () => {
    expect(readUdpRequest(announce())).toEqual({
      action: 'announce',
      transaction: 9,
      connectionId: 77n,
      infoHash: 'ab'.repeat(20),
      peerId: Buffer.alloc(20, 0xcd),
      isComplete: true,
      event: 'started',
      wantedPeers: 50,
      port: 5002,
      proof: undefined,
    });
  });

  test.each([
    [[option('/announce?a=b&proof=12-ab')], '12-ab'],
    [[option('/announce?pro'), option('of=12-ab')], '12-ab'],
    [[Buffer.of(1, 1), option('?proof=x'), Buffer.of(0), option('y')], 'x'],
    [[Buffer.of(9, 2, 0, 0), option('?proof=x')], 'x'],
    [[option('/announce')], undefined],
    [[Buffer.of(2, 200, 63)], undefined],
    [[Buffer.of(2)], undefined],
  ])('%# carries the proof in its options', (options, proof) => {
    expect(readUdpRequest(announce(Buffer.concat(options)))).toMatchObject({ proof });
  });

  test('of any bytes is read or passed over', () => {
    const near = fc
      .tuple(fc.uint8Array({ minLength: 0, maxLength: 60 }), fc.constantFrom(0, 1, 2, 3))
      .map(([rest, action]) => {
        const message = Buffer.concat([announce().subarray(0, 40 + rest.length), rest]);
        message.writeUInt32BE(action, 8);
        return message;
      });
    fc.assert(
      fc.property(
        fc.oneof(
          near,
          fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
        ),
        (message) => {
          const request = readUdpRequest(message);
          if (request?.action === 'announce') expect(message.length).toBeGreaterThanOrEqual(98);
          if (request?.action === 'scrape') expect(request.infoHashes.length).toBe((message.length - 16) / 20);
        },
      ),
    );
  });

  test('that asks for more torrents than an answer may hold, for none, or for a part of one is passed over', () => {
    const scrape = (sizeBytes: number): Buffer => {
      const message = Buffer.alloc(16 + sizeBytes);
      message.writeUInt32BE(2, 8);
      return message;
    };
    expect(readUdpRequest(scrape(20 * 74))).toMatchObject({ action: 'scrape' });
    for (const sizeBytes of [0, 19, 21, 20 * 75]) expect(readUdpRequest(scrape(sizeBytes))).toBeUndefined();
  });

  test('with an answer holds as many peers as travel in one piece', () => {
    const peers = Array.from({ length: 82 }, () => ({ address: Buffer.alloc(18, 1), peerId: Buffer.alloc(20) }));
    expect(announceAnswer(1, { complete: 3, incomplete: 4, peers }, 60_000).length).toBe(20 + 18 * 66);
    const answer = announceAnswer(1, { complete: 3, incomplete: 4, peers: [] }, 1_500);
    expect([8, 12, 16].map((at) => answer.readUInt32BE(at))).toEqual([2, 4, 3]);
    const scraped = scrapeAnswer(5, [undefined, { complete: 1, incomplete: 2, downloaded: 3 }]);
    expect(scraped.toString('hex')).toBe('0000000200000005' + '00'.repeat(12) + '000000010000000300000002');
  });
});

test('a connection id is good for its address, and for some minutes', () => {
  const time = { nowMs: 120_000 };
  const ids = new ConnectionIds(() => time.nowMs, Buffer.alloc(32, 1));
  const id = ids.issue('10.0.0.1');
  expect(ids.isValid('10.0.0.1', id)).toBe(true);
  expect(ids.isValid('10.0.0.2', id)).toBe(false);
  expect(ids.isValid('10.0.0.1', 0x41727101980n)).toBe(false);
  time.nowMs += 119_999;
  expect(ids.isValid('10.0.0.1', id)).toBe(true);
  time.nowMs += 1;
  expect(ids.isValid('10.0.0.1', id)).toBe(false);
  expect(new ConnectionIds(() => 120_000, Buffer.alloc(32, 2)).isValid('10.0.0.1', id)).toBe(false);
});
