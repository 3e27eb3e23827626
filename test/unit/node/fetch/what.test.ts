import { describe, expect, test } from 'vitest';
import { parseWanted } from '../../../../node/fetch/what.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('what is to be fetched is told by its form', () => {
  test.each([
    ['magnet:?xt=urn:btih:0123', { kind: 'magnet' }],
    [DIGEST, { kind: 'digest', digest: DIGEST }],
    ['./app.torrent', { kind: 'torrent', isUrl: false }],
    ['folder/app.torrent', { kind: 'torrent', isUrl: false }],
    ['http://node:5000/torrents/alpine/3.torrent', { kind: 'torrent', isUrl: true }],
    ['https://example.com/app.torrent?key=1', { kind: 'torrent', isUrl: true }],
    ['alpine', { kind: 'name', scheme: undefined, reference: { name: 'alpine' } }],
    ['ghcr.io/owner/name:1.0', { kind: 'name', reference: { host: 'ghcr.io', name: 'owner/name', tag: '1.0' } }],
    [
      `registry.lan:5000/app@${DIGEST}`,
      { kind: 'name', reference: { host: 'registry.lan:5000', name: 'app', digest: DIGEST } },
    ],
  ])('%s', (text, expected) => {
    expect(parseWanted(text)).toMatchObject(expected);
  });

  test('a scheme makes the first part a host, and a host behind it a part of the name', () => {
    const reference = { host: 'node', name: 'docker.io/library/alpine', tag: '3' };
    expect(parseWanted('http://node/docker.io/library/alpine:3')).toMatchObject({ scheme: 'http', reference });
  });

  test('a name that can be no image is kept as it is, since it may be an app', () => {
    expect(parseWanted('example.com/app:1.0,os=linux')).toMatchObject({ kind: 'name', reference: undefined });
  });

  test.each([`sha256:${'A'.repeat(64)}`, 'sha256:12', `md5:${'a'.repeat(32)}`.replace('md5', 'sha1')])(
    '%s is a digest with a fault, and no image',
    (text) => {
      expect(() => parseWanted(text)).toThrow(expect.objectContaining({ code: 'ERR_DIGEST_INVALID' }));
    },
  );

  test.each(['https://', 'https:///x', 'http://a b/c'])('%s is nothing', (text) => {
    expect(() => parseWanted(text)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
  });
});
