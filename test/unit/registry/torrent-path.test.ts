import { describe, expect, test } from 'vitest';
import { parseTorrentPath } from '../../../src/registry/torrent-path.ts';

const HEX = 'a'.repeat(64);

describe('a path of torrents', () => {
  test.each([
    [`/torrents/sha256:${HEX}.torrent`, { kind: 'blob-torrent', digestText: `sha256:${HEX}` }],
    [`/torrents/sha256:${HEX}`, { kind: 'blob', digestText: `sha256:${HEX}` }],
    ['/torrents/team/app/1.0.torrent', { kind: 'image-torrent', nameText: 'team/app', referenceText: '1.0' }],
    [
      `/torrents/ghcr.io/a/b/sha256:${HEX}.torrent`,
      { kind: 'image-torrent', nameText: 'ghcr.io/a/b', referenceText: `sha256:${HEX}` },
    ],
    [
      `/torrents/team/app/sha256-${HEX}/index.json`,
      { kind: 'layout-file', nameText: 'team/app', digestText: `sha256:${HEX}`, filePath: ['index.json'] },
    ],
    [
      `/torrents/team/app/sha256-${HEX}/blobs/sha256/${HEX}`,
      { kind: 'layout-file', nameText: 'team/app', digestText: `sha256:${HEX}`, filePath: ['blobs', 'sha256', HEX] },
    ],
  ])('%s is read', (path, expected) => {
    expect(parseTorrentPath(path)).toEqual(expected);
  });

  test.each([
    '/torrents/',
    '/torrents',
    '/v2/',
    '/torrents/team/app/1.0',
    `/torrents/team/app/sha256-${HEX}/../../etc/passwd`,
    `/torrents/team/app/sha256-${HEX}/blobs/sha256/../x`,
  ])('%s is none', (path) => {
    expect(parseTorrentPath(path)).toBeUndefined();
  });
});
