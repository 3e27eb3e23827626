/** What Prometheus is told of a tracker. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { AnnounceEvent, RefusalKind, TrackerProtocol } from './announce.ts';
import type { PeerTableStats } from './peer-table.ts';
import type { RegisteredBy } from './registrations.ts';

/** How a request ended. */
export type RequestOutcome = AnnounceEvent | 'scrape' | RefusalKind;

/** Counts requests. */
export class RequestCounter {
  readonly #requests: Counter<'protocol' | 'outcome'>;

  constructor(metrics: Registry) {
    this.#requests = new Counter({
      name: 'dockyard_tracker_requests_total',
      help: 'Requests to the tracker by protocol and outcome: the event of an announce that was taken, a scrape, or why it was refused.',
      labelNames: ['protocol', 'outcome'],
      registers: [metrics],
    });
  }

  count(protocol: TrackerProtocol, outcome: RequestOutcome): void {
    this.#requests.inc({ protocol, outcome });
  }
}

/** Counts writes of the state. */
export class StateMetrics {
  readonly #saves: Counter<'outcome'>;
  readonly #sizeBytes: Gauge;

  constructor(metrics: Registry) {
    this.#saves = new Counter({
      name: 'dockyard_tracker_state_saves_total',
      help: 'Writes of the peers and registrations that are kept over a restart, by outcome.',
      labelNames: ['outcome'],
      registers: [metrics],
    });
    this.#sizeBytes = new Gauge({
      name: 'dockyard_tracker_state_bytes',
      help: 'Size of the file of peers and registrations when it was last written.',
      registers: [metrics],
    });
  }

  saved(sizeBytes: number): void {
    this.#saves.inc({ outcome: 'saved' });
    this.#sizeBytes.set(sizeBytes);
  }

  failed(): void {
    this.#saves.inc({ outcome: 'failed' });
  }
}

/** Declares what is read when it is asked for. */
export function declareTableMetrics(
  metrics: Registry,
  sources: { readonly stats: () => PeerTableStats; readonly registered: () => Readonly<Record<RegisteredBy, number>> },
): void {
  const registers = [metrics];
  new Gauge({
    name: 'dockyard_tracker_torrents',
    help: 'Torrents that the tracker knows peers of; each blob of a node is one.',
    registers,
    collect() {
      this.set(sources.stats().torrents);
    },
  });
  new Gauge({
    name: 'dockyard_tracker_peers',
    help: 'Peers that the tracker knows, once for each torrent, by whether they hold all of it.',
    labelNames: ['state'],
    registers,
    collect() {
      const { complete, incomplete } = sources.stats();
      this.set({ state: 'complete' }, complete);
      this.set({ state: 'incomplete' }, incomplete);
    },
  });
  new Gauge({
    name: 'dockyard_tracker_registered',
    help: 'Info-hashes that a closed tracker serves, by who let them in: the operator, or a holder of the swarm key.',
    labelNames: ['by'],
    registers,
    collect() {
      const { operator, member } = sources.registered();
      this.set({ by: 'operator' }, operator);
      this.set({ by: 'member' }, member);
    },
  });
}
