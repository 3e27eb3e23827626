/** What the torrents of a node look like to Prometheus. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { TorrentEngineStats } from './torrent-engine.ts';

/** Declares the metrics. @param stats `undefined` while there is no engine */
export function declareTorrentMetrics(registry: Registry, stats: () => TorrentEngineStats | undefined): void {
  const registers = [registry];
  new Gauge({
    name: 'dockyard_torrents',
    help: 'Torrents that this node shares.',
    registers,
    collect() {
      this.set(stats()?.torrents ?? 0);
    },
  });
  new Gauge({
    name: 'dockyard_torrent_peers',
    help: 'Connections to torrent clients.',
    registers,
    collect() {
      this.set(stats()?.peers ?? 0);
    },
  });
  new Gauge({
    name: 'dockyard_torrent_thread_restarts',
    help: 'How often the thread for torrents had to be started again.',
    registers,
    collect() {
      this.set(stats()?.restarts ?? 0);
    },
  });
  new Counter({
    name: 'dockyard_torrent_bytes_total',
    help: 'Bytes to and from torrent clients, those of the protocol included.',
    labelNames: ['direction'],
    registers,
    collect() {
      const { uploadedBytes = 0, downloadedBytes = 0 } = stats() ?? {};
      this.reset();
      this.inc({ direction: 'sent' }, uploadedBytes);
      this.inc({ direction: 'received' }, downloadedBytes);
    },
  });
}
