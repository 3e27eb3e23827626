/** Collects garbage from time to time. */
import type { Logger } from 'pino';
import { isAbortError, isDockyardError } from '../oci/error.ts';
import type { Collector } from './collector.ts';
import { addEvent, NOTHING_REMOVED } from './removal.ts';

export interface CollectionTimerDeps {
  readonly collector: Pick<Collector, 'collect'>;
  readonly log: Logger;
}

export interface CollectionTimerConfig {
  /** 0 is never. */
  readonly intervalMs: number;
}

/** Works in the background from `start` to `close`. */
export class CollectionTimer implements AsyncDisposable {
  readonly #deps: CollectionTimerDeps;
  readonly #config: CollectionTimerConfig;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(deps: CollectionTimerDeps, config: CollectionTimerConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** The first run is one interval later: a start is busy enough. */
  start(): void {
    const { intervalMs } = this.#config;
    if (intervalMs === 0) return;
    this.#timer = setInterval(() => {
      // One that takes longer than the interval is not run twice.
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    }, intervalMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { collector, log } = this.#deps;
    let totals = NOTHING_REMOVED;
    try {
      for await (const event of collector.collect({ signal: this.#stopping.signal })) {
        totals = addEvent(totals, event);
        log.debug({ ...event }, 'garbage removed');
      }
      log.info({ ...totals }, 'garbage collected');
    } catch (error) {
      // One that an operator began: its end is reported there.
      if (isAbortError(error) || isDockyardError(error, 'ERR_COLLECTION_RUNNING')) return;
      log.error({ err: error, ...totals }, 'garbage could not be collected');
    }
  }
}
