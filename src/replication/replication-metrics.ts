/** What is counted of replication. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { IntakeOutcome } from './change-intake.ts';

/** What the gauges show of one seed. */
export interface PendingFacts {
  readonly count: number;
  readonly oldestSinceMs: number | undefined;
}

export class ReplicationMetrics {
  readonly #changes: Counter<'seed' | 'outcome'>;
  readonly #failures: Counter<'seed' | 'what'>;

  /** @param facts asked whenever metrics are read */
  constructor(registry: Registry, facts: () => ReadonlyMap<string, PendingFacts>, nowMs: () => number) {
    const registers = [registry];
    this.#changes = new Counter({
      name: 'dockyard_replication_changes_total',
      help: 'Changes of tags and manifests of another seed by what came of them here.',
      labelNames: ['seed', 'outcome'],
      registers,
    });
    this.#failures = new Counter({
      name: 'dockyard_replication_failures_total',
      help: 'Failed tries to hear of the changes of another seed (`changes`) or to make one here (`change`); all are repeated.',
      labelNames: ['seed', 'what'],
      registers,
    });
    new Gauge({
      name: 'dockyard_replication_pending_changes',
      help: 'Changes of another seed that were heard of and are not made here yet.',
      labelNames: ['seed'],
      registers,
      collect() {
        for (const [seed, { count }] of facts()) this.set({ seed }, count);
      },
    });
    new Gauge({
      name: 'dockyard_replication_oldest_pending_seconds',
      help: 'For how long the oldest of them waits. Worth an alert.',
      labelNames: ['seed'],
      registers,
      collect() {
        for (const [seed, { oldestSinceMs }] of facts())
          this.set({ seed }, oldestSinceMs === undefined ? 0 : Math.max(0, nowMs() - oldestSinceMs) / 1000);
      },
    });
  }

  change(seed: string, outcome: IntakeOutcome): void {
    this.#changes.inc({ seed, outcome });
  }

  failure(seed: string, what: 'changes' | 'change'): void {
    this.#failures.inc({ seed, what });
  }
}
