/** Who is told of what a collection of garbage does. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { CollectionEvent } from './removal.ts';

/** How a run ended: to its end, or before because it was told to, its caller left, or something failed. */
export type CollectionOutcome = 'complete' | 'broken_off';

/** Told of every run that removes something, whoever began it; not of dry ones. */
export interface CollectionObserver {
  /** After it was done, and before the caller of the run hears of it. */
  onEvent(event: CollectionEvent): Promise<void>;
  onEnd(outcome: CollectionOutcome, atMs: number): void;
}

/** Counts what is removed. */
export class CollectionMetrics {
  readonly #runs: Counter<'outcome'>;
  readonly #removed: Counter<'kind'>;
  readonly #freedBytes: Counter;
  readonly #lastEnd: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#runs = new Counter({
      name: 'dockyard_gc_runs_total',
      help: 'Collections of garbage, dry ones left out, by whether they came to their end.',
      labelNames: ['outcome'],
      registers,
    });
    this.#removed = new Counter({
      name: 'dockyard_gc_removed_total',
      help: 'What collections of garbage removed; a link is that a blob may be seen in a repository.',
      labelNames: ['kind'],
      registers,
    });
    this.#freedBytes = new Counter({
      name: 'dockyard_gc_freed_bytes_total',
      help: 'Bytes of blobs and manifests that collections of garbage removed.',
      registers,
    });
    this.#lastEnd = new Gauge({
      name: 'dockyard_gc_last_run_timestamp_seconds',
      help: 'When the last collection of garbage came to its end, in seconds since the epoch; 0 before the first.',
      registers,
    });
  }

  event(event: CollectionEvent): void {
    if (event.kind === 'postponed') return;
    this.#removed.inc({ kind: event.kind });
    if (event.kind === 'blob' || event.kind === 'manifest') this.#freedBytes.inc(event.sizeBytes);
  }

  end(outcome: CollectionOutcome, atMs: number): void {
    this.#runs.inc({ outcome });
    if (outcome === 'complete') this.#lastEnd.set(atMs / 1000);
  }
}
