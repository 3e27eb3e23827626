import { describe, expect, test } from 'vitest';
import { formatMagnet, looksLikeMagnet, parseMagnet } from '../../../src/torrent/magnet.ts';
import { infoOf } from './metainfo-fixtures.ts';

describe('a magnet link', () => {
  test('is read back as it was written', async () => {
    const info = await infoOf('a b&c', Buffer.alloc(10));
    const trackerTiers = [['http://t.example/announce?x=1&y=2'], ['udp://u.example:6969']];
    const link = formatMagnet({ info, trackerTiers, webSeeds: ['http://w.example/x'], comment: undefined });
    expect(looksLikeMagnet(link)).toBe(true);
    expect(parseMagnet(link)).toEqual({
      infoHash: info.infoHash,
      name: 'a b&c',
      trackers: trackerTiers.flat(),
      webSeeds: ['http://w.example/x'],
    });
  });

  test('may have its hash in base 32', () => {
    const { infoHash } = parseMagnet('magnet:?xt=urn:btih:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA77');
    expect(infoHash).toBe('00000000000000000000000000000000000003ff');
  });

  test.each([
    '',
    'http://x.example',
    'magnet:?',
    'magnet:?xt=urn:btih:123',
    'magnet:?xt=urn:sha1:aaaa',
    `magnet:?${'x'.repeat(20_000)}`,
  ])('is refused when it is %.40j', (text) => {
    expect(() => parseMagnet(text)).toThrow(expect.objectContaining({ code: 'ERR_MAGNET_INVALID' }));
  });
});
