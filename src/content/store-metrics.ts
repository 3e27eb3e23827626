/** What a content store counts. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** Where the gauges read from. */
export interface StoreFacts {
  blobCount(): number;
  blobBytes(): number;
  partialBytes(): number;
  maxSizeBytes(): number;
}

/** Counters and gauges of one store; registered once per registry. */
export class StoreMetrics {
  readonly #evictions: Counter<'reason' | 'kind'>;
  readonly #damaged: Counter;
  readonly #refusals: Counter;
  readonly #indexFailures: Counter;
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
    const registers = [registry];
    this.#evictions = new Counter({
      name: 'dockyard_store_evictions_total',
      help: 'Blobs and partial blobs removed to make room; reason size: the limit, disk: the floor or a full disk.',
      labelNames: ['reason', 'kind'],
      registers,
    });
    this.#damaged = new Counter({
      name: 'dockyard_store_damaged_total',
      help: 'Blobs found damaged and set aside.',
      registers,
    });
    this.#refusals = new Counter({
      name: 'dockyard_store_full_total',
      help: 'Writes refused because no room could be made.',
      registers,
    });
    this.#indexFailures = new Counter({
      name: 'dockyard_store_index_failures_total',
      help: 'Index entries that could not be written; they are made again from the files at the next start.',
      registers,
    });
  }

  /** Lets the gauges read from the store. */
  observe(facts: StoreFacts): void {
    const registers = [this.#registry];
    new Gauge({
      name: 'dockyard_store_bytes',
      help: 'Bytes held, complete or partial.',
      labelNames: ['state'],
      registers,
      collect() {
        this.set({ state: 'complete' }, facts.blobBytes());
        this.set({ state: 'partial' }, facts.partialBytes());
      },
    });
    new Gauge({
      name: 'dockyard_store_blobs',
      help: 'Complete blobs held.',
      registers,
      collect() {
        this.set(facts.blobCount());
      },
    });
    new Gauge({
      name: 'dockyard_store_limit_bytes',
      help: 'Size limit of the store.',
      registers,
      collect() {
        this.set(facts.maxSizeBytes());
      },
    });
  }

  countEviction(reason: 'size' | 'disk', kind: 'blob' | 'partial' | 'quarantine'): void {
    this.#evictions.inc({ reason, kind });
  }

  countDamaged(): void {
    this.#damaged.inc();
  }

  countRefusal(): void {
    this.#refusals.inc();
  }

  countIndexFailure(): void {
    this.#indexFailures.inc();
  }
}
