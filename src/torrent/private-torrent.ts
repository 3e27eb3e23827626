/**
 * What webtorrent 3 leaves out for private torrents: it keeps them out of the DHT and of peer exchange, and tells the local
 * network of them all the same. @see BEP 27
 */

/** The parts of a torrent and of its client that matter here. */
export interface DiscoveredTorrent {
  readonly private?: boolean;
  _startDiscovery(): void;
}

/** Keeps a torrent, if it turns out to be private, from being announced by multicast. */
export function hideFromNeighbours(torrent: DiscoveredTorrent, client: { lsd: boolean }): void {
  const start = torrent._startDiscovery.bind(torrent);
  torrent._startDiscovery = () => {
    const { lsd } = client;
    client.lsd = lsd && torrent.private !== true;
    try {
      start();
    } finally {
      client.lsd = lsd;
    }
  };
}
