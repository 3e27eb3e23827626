/** What is counted of manifests. */
import { Counter, type Registry } from 'prom-client';

/** Where a manifest was found. */
export type ManifestSource = 'store' | 'peer' | 'origin';

export class ManifestMetrics {
  readonly #found: Counter<'source'>;
  readonly #stale: Counter<'upstream'>;
  readonly #refused: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#found = new Counter({
      name: 'dockyard_manifests_found_total',
      help: 'Manifests found, by where they were found.',
      labelNames: ['source'],
      registers,
    });
    this.#stale = new Counter({
      name: 'dockyard_manifests_stale_total',
      help: 'Tags answered from memory because their upstream could not be asked.',
      labelNames: ['upstream'],
      registers,
    });
    this.#refused = new Counter({
      name: 'dockyard_manifests_refused_total',
      help: 'Manifests from peers that were not what their digest says, or no manifests.',
      registers,
    });
  }

  found(source: ManifestSource): void {
    this.#found.inc({ source });
  }

  stale(upstream: string): void {
    this.#stale.inc({ upstream });
  }

  refused(): void {
    this.#refused.inc();
  }
}
