import { expect, test } from 'vitest';
import { hideFromNeighbours, type DiscoveredTorrent } from '../../../src/torrent/private-torrent.ts';

test.each([
  [{ isPrivate: true, lsd: true }, false],
  [{ isPrivate: false, lsd: true }, true],
  [{ isPrivate: true, lsd: false }, false],
])('of %j the local network hears: %s', ({ isPrivate, lsd }, isAnnounced) => {
  const client = { lsd };
  const announced: boolean[] = [];
  const torrent: DiscoveredTorrent & { private?: boolean } = {
    _startDiscovery: () => void announced.push(client.lsd),
  };
  hideFromNeighbours(torrent, client);
  // Known only when the torrent was read.
  torrent.private = isPrivate;
  torrent._startDiscovery();
  expect([announced, client.lsd]).toEqual([[isAnnounced], lsd]);
});
