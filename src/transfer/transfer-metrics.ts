/** Where bytes come from, and what goes wrong on their way. */
import { Counter, type Registry } from 'prom-client';

export class TransferMetrics {
  readonly #received: Counter<'source'>;
  readonly #stalls: Counter;
  readonly #falseMaps: Counter;
  readonly #journeys: Counter<'outcome'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#received = new Counter({
      name: 'dockyard_received_bytes_total',
      help: 'Verified bytes of blobs that this node took in, by source.',
      labelNames: ['source'],
      registers,
    });
    for (const source of ['peer', 'origin']) this.#received.inc({ source }, 0);
    this.#stalls = new Counter({
      name: 'dockyard_holder_stalls_total',
      help: 'Holders given up because nothing came from them in time.',
      registers,
    });
    this.#falseMaps = new Counter({
      name: 'dockyard_false_piece_maps_total',
      help: 'Blobs whose pieces agreed with a piece map and whose whole did not have its digest.',
      registers,
    });
    this.#journeys = new Counter({
      name: 'dockyard_journeys_total',
      help: 'Blobs fetched by this node, by how it ended.',
      labelNames: ['outcome'],
      registers,
    });
  }

  received(source: 'peer' | 'origin', bytes: number): void {
    this.#received.inc({ source }, bytes);
  }

  onStall(): void {
    this.#stalls.inc();
  }

  onFalseMap(): void {
    this.#falseMaps.inc();
  }

  onJourneyEnd(outcome: string): void {
    this.#journeys.inc({ outcome });
  }
}
