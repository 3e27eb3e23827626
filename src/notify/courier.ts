/** Delivers the events of one endpoint, one after the other, for as long as the endpoint is configured. */
import type { Logger } from 'pino';
import { isAbortError } from '../oci/error.ts';
import type { EndpointConfig } from './endpoint-config.ts';
import { envelopeText, type WireEvent } from './envelope.ts';
import type { EventQueue, QueuedEvent } from './event-queue.ts';
import type { NotifyMetrics } from './notify-metrics.ts';
import { planRetry } from './retry-plan.ts';
import type { DeliveryResult, Sender } from './sender.ts';

/** After the outbox could not be read or written. */
const OUTBOX_PAUSE_MS = 5_000;

/** How long a delivery that is under way may take to end; cut off it would be repeated, and most receivers are quick. */
const CLOSE_GRACE_MS = 1_000;

export interface CourierDeps {
  readonly log: Logger;
  readonly clock: {
    nowMs(): number;
    sleep(delayMs: number, options?: { signal?: AbortSignal | undefined }): Promise<void>;
  };
  readonly metrics: NotifyMetrics;
  readonly queue: EventQueue;
  readonly sender: Sender;
}

/** How deliveries go. */
export interface CourierState {
  readonly failuresInARow: number;
  readonly lastFailure: string | undefined;
  readonly lastFailureAtMs: number | undefined;
  readonly lastDeliveryAtMs: number | undefined;
}

/** Works from its making to `close`. */
export class Courier {
  readonly #deps: CourierDeps;
  readonly #endpoint: EndpointConfig;
  /** Nothing further is begun. */
  readonly #ending = new AbortController();
  /** What is under way ends. */
  readonly #cutting = new AbortController();
  readonly #work: Promise<void>;
  #wake: () => void = () => undefined;
  #state: CourierState = {
    failuresInARow: 0,
    lastFailure: undefined,
    lastFailureAtMs: undefined,
    lastDeliveryAtMs: undefined,
  };

  constructor(deps: CourierDeps, endpoint: EndpointConfig) {
    this.#deps = deps;
    this.#endpoint = endpoint;
    this.#work = this.#run();
  }

  get state(): CourierState {
    return this.#state;
  }

  /** There are new events. */
  wake(): void {
    this.#wake();
  }

  /** Ends after the delivery that is under way, or cuts it off; then whoever comes later repeats it. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#wake();
    const grace = setTimeout(() => this.#cutting.abort(), CLOSE_GRACE_MS);
    await this.#work;
    clearTimeout(grace);
    await this.#deps.sender.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const news = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        const event = await this.#deps.queue.take();
        if (event === undefined) await news;
        else await this.#deliver(event, signal);
      } catch (error) {
        if (signal.aborted && isAbortError(error)) return;
        this.#deps.log.error({ err: error, endpoint: this.#endpoint.name }, 'webhook outbox failed');
        await this.#deps.clock.sleep(OUTBOX_PAUSE_MS, { signal }).catch(() => undefined);
      }
    }
  }

  async #deliver(event: QueuedEvent, signal: AbortSignal): Promise<void> {
    const { clock, queue, sender, metrics } = this.#deps;
    const { id, timestamp } = JSON.parse(event.text) as WireEvent;
    const body = envelopeText(event.text);
    for (let attempts = 1; ; attempts += 1) {
      const result = await sender.send({ id, body }, { signal: this.#cutting.signal });
      metrics.attempt(this.#endpoint.name, result.outcome);
      if (result.outcome === 'delivered') {
        await queue.done(event.number);
        this.#delivered();
        return;
      }
      this.#failed(result);
      const plan = planRetry(
        {
          failuresInARow: this.#state.failuresInARow,
          attempts,
          ageMs: clock.nowMs() - Date.parse(timestamp),
          isRefusal: result.outcome === 'refused',
        },
        this.#endpoint,
      );
      if (plan.kind === 'give-up') {
        await this.#giveUp(event, result);
        return;
      }
      await clock.sleep(plan.delayMs, { signal });
    }
  }

  #delivered(): void {
    const { clock, log, metrics } = this.#deps;
    if (this.#state.failuresInARow >= this.#endpoint.threshold) {
      log.info({ endpoint: this.#endpoint.name }, 'webhook endpoint answers again');
    }
    this.#state = { ...this.#state, failuresInARow: 0, lastDeliveryAtMs: clock.nowMs() };
    metrics.event(this.#endpoint.name, 'delivered');
    this.#showLengths();
  }

  #failed({ reason }: DeliveryResult): void {
    const { clock, log } = this.#deps;
    const failuresInARow = this.#state.failuresInARow + 1;
    this.#state = { ...this.#state, failuresInARow, lastFailure: reason, lastFailureAtMs: clock.nowMs() };
    // Told when it begins to be an outage, not for each of thousands of tries.
    if (failuresInARow === this.#endpoint.threshold) {
      log.warn({ endpoint: this.#endpoint.name, failuresInARow, reason }, 'webhook endpoint fails');
    }
  }

  async #giveUp(event: QueuedEvent, { reason = '' }: DeliveryResult): Promise<void> {
    const { clock, log, metrics, queue } = this.#deps;
    const { forgotten } = await queue.giveUp(event.number, reason, clock.nowMs());
    log.warn({ endpoint: this.#endpoint.name, reason }, 'webhook event given up');
    metrics.event(this.#endpoint.name, 'given_up');
    for (let index = 0; index < forgotten; index += 1) metrics.event(this.#endpoint.name, 'lost');
    this.#showLengths();
  }

  #showLengths(): void {
    const { metrics, queue } = this.#deps;
    metrics.lengths(this.#endpoint.name, { pending: queue.pendingCount, deadLetters: queue.deadCount });
  }
}
