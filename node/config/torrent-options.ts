/** The options of torrents. */
import { TORRENT_ENGINE_DEFAULTS } from '../../src/torrent/torrent-engine.ts';
import { address, choice, count, rate, remoteAddress, toggle } from './kinds.ts';
import { group, list, option } from './option.ts';

const KIB = 1024;

/** The group `torrent`. */
export const torrentOptions = group('Torrents of what this node has, for any BitTorrent client.', {
  enabled: option(toggle(), {
    summary: 'Whether torrents are given out at `/torrents/` and shared; the port is opened with the first of them.',
    default: true,
  }),
  listen: option(address(), {
    summary: 'Where torrent clients reach this node. They prove nothing: whoever reaches it may have what it shares.',
    flag: 'torrent',
    default: { host: '127.0.0.1', port: TORRENT_ENGINE_DEFAULTS.port },
  }),
  uploadRate: option(rate({ min: 64 * KIB }), {
    summary: 'How fast this node sends to torrent clients, all together.',
    default: Infinity,
    reloadable: true,
  }),
  downloadRate: option(rate({ min: 64 * KIB }), {
    summary: 'How fast this node fetches from torrent clients, all together.',
    default: Infinity,
    reloadable: true,
  }),
  maxTorrents: option(count({ min: 1, max: 10_000 }), {
    summary: 'Torrents that are shared at once; the one that was asked for least recently goes first.',
    default: 100,
  }),
  maxPeers: option(count({ min: 1, max: 1000 }), {
    summary: 'Torrent clients that one torrent is shared with at once.',
    default: TORRENT_ENGINE_DEFAULTS.maxPeersPerTorrent,
  }),
  private: option(toggle(), {
    summary: 'Whether clients are to find each other through the trackers of a torrent alone (BEP 27).',
    default: false,
  }),
  originWebSeeds: option(toggle(), {
    summary:
      'Whether torrents of blobs name the upstream beside this node, for upstreams without an account: of use where it gives blobs to anyone who asks, without a token.',
    default: false,
  }),
  pex: option(toggle(), {
    summary:
      'Whether clients are told of each other, and may tell of further ones (peer exchange); those of private torrents never are.',
    default: false,
  }),
  lsd: option(toggle(), {
    summary: 'Whether clients of the local network are found by multicast (local service discovery).',
    default: false,
  }),
  dht: option(toggle(), {
    summary:
      'Whether torrents are announced in the public BitTorrent DHT, for all the world to see, over UDP at the port of `listen`.',
    default: false,
  }),
  dhtBootstrap: list(remoteAddress(), {
    summary: 'Nodes of another DHT, to be used instead of the public one.',
    flag: 'torrent-dht-bootstrap',
  }),
  encryption: option(choice(['prefer', 'require', 'off']), {
    summary:
      'Whether connections are obscured by the cipher of torrent clients, which hides little and proves nothing.',
    default: TORRENT_ENGINE_DEFAULTS.encryption,
  }),
});
