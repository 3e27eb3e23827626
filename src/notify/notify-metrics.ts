/** What is counted of notifications. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** What became of an event. */
export type EventOutcome = 'queued' | 'ignored' | 'delivered' | 'given_up' | 'lost';

/** What came of one try to deliver. */
export type AttemptOutcome = 'delivered' | 'refused' | 'redirected' | 'failed' | 'unreachable' | 'timeout' | 'unsafe';

export class NotifyMetrics {
  readonly #events: Counter<'endpoint' | 'outcome'>;
  readonly #attempts: Counter<'endpoint' | 'outcome'>;
  readonly #pending: Gauge<'endpoint'>;
  readonly #deadLetters: Gauge<'endpoint'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#events = new Counter({
      name: 'dockyard_webhook_events_total',
      help: 'Events for webhook endpoints by what became of them; `lost` ones could not even be written down, or fell out of the dead letters.',
      labelNames: ['endpoint', 'outcome'],
      registers,
    });
    this.#attempts = new Counter({
      name: 'dockyard_webhook_attempts_total',
      help: 'Tries to deliver an event to a webhook endpoint, by what came of them.',
      labelNames: ['endpoint', 'outcome'],
      registers,
    });
    this.#pending = new Gauge({
      name: 'dockyard_webhook_pending_events',
      help: 'Events that wait to be delivered to a webhook endpoint.',
      labelNames: ['endpoint'],
      registers,
    });
    this.#deadLetters = new Gauge({
      name: 'dockyard_webhook_dead_letters',
      help: 'Events that were given up and are kept for a webhook endpoint. Worth an alert.',
      labelNames: ['endpoint'],
      registers,
    });
  }

  event(endpoint: string, outcome: EventOutcome): void {
    this.#events.inc({ endpoint, outcome });
  }

  attempt(endpoint: string, outcome: AttemptOutcome): void {
    this.#attempts.inc({ endpoint, outcome });
  }

  /** How long the lists of an endpoint are now. */
  lengths(endpoint: string, lengths: { readonly pending: number; readonly deadLetters: number }): void {
    this.#pending.set({ endpoint }, lengths.pending);
    this.#deadLetters.set({ endpoint }, lengths.deadLetters);
  }

  /** Ends the gauges of an endpoint that is no longer configured; counters stay, as Prometheus wants them. */
  forget(endpoint: string): void {
    this.#pending.remove({ endpoint });
    this.#deadLetters.remove({ endpoint });
  }
}
