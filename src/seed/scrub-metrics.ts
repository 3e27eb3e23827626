/** What is counted of scrubbing. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { StoredState } from '../storage/blob-storage.ts';

export class ScrubMetrics {
  readonly #blobs: Counter<'state'>;
  readonly #readBytes: Counter;
  readonly #repairs: Counter<'outcome'>;
  readonly #lost: Gauge;
  readonly #lastEnd: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#blobs = new Counter({
      name: 'dockyard_scrub_blobs_total',
      help: 'Blobs of record that scrubbing looked at, by how they were found.',
      labelNames: ['state'],
      registers,
    });
    this.#readBytes = new Counter({
      name: 'dockyard_scrub_read_bytes_total',
      help: 'Bytes of record that scrubbing read and hashed.',
      registers,
    });
    this.#repairs = new Counter({
      name: 'dockyard_scrub_repairs_total',
      help: 'Damaged or missing blobs by whether a peer or another seed gave them again.',
      labelNames: ['outcome'],
      registers,
    });
    this.#lost = new Gauge({
      name: 'dockyard_scrub_lost_blobs',
      help: 'Blobs that images need and that neither storage has nor anybody could give so far. Worth an alert.',
      registers,
    });
    this.#lastEnd = new Gauge({
      name: 'dockyard_scrub_last_pass_timestamp_seconds',
      help: 'When the last pass over all of storage ended, in seconds since the epoch; 0 before the first.',
      registers,
    });
  }

  blob(state: StoredState): void {
    this.#blobs.inc({ state });
  }

  read(sizeBytes: number): void {
    this.#readBytes.inc(sizeBytes);
  }

  repair(outcome: 'repaired' | 'failed'): void {
    this.#repairs.inc({ outcome });
  }

  lost(count: number): void {
    this.#lost.set(count);
  }

  passEnded(atMs: number): void {
    this.#lastEnd.set(atMs / 1000);
  }
}
