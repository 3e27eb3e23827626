/**
 * Keeps the tracker's state on disk: soon after a peer or a registration has come or gone, and now and then while nothing but
 * times of announces changes. One write at a time; the more a write costs, the longer until the next.
 */
import type { Logger } from 'pino';
import { writeStateFile, type TrackerState } from './state-file.ts';
import type { StateMetrics } from './tracker-metrics.ts';

/** How often is looked whether something has changed, and so how much a killed tracker forgets at least. */
const CHECK_MS = 1_000;

/** Writing takes a hundredth of the time at most. */
const LEAST_REST_PER_WRITE = 100;

export interface StateKeeperDeps extends TrackerState {
  readonly log: Logger;
  readonly metrics: StateMetrics;
}

export interface StateKeeperConfig {
  readonly path: string;
  /** How often times of announces are written, while nothing else changes. */
  readonly refreshMs: number;
}

/** Whoever makes it closes it. */
export class StateKeeper {
  readonly #deps: StateKeeperDeps;
  readonly #config: StateKeeperConfig;
  readonly #timer: NodeJS.Timeout;
  #saving: Promise<void> | undefined;
  #savedChanges: number;
  #savedAnnounces = 0;
  #savedAtMs = performance.now();
  #restUntilMs = 0;
  #failing = false;

  constructor(deps: StateKeeperDeps, config: StateKeeperConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#savedChanges = this.#changes;
    this.#timer = setInterval(() => this.#saveIfDue(), CHECK_MS).unref();
  }

  /** Writes what stands now. @throws the error of the disk */
  async save(): Promise<void> {
    // What runs began before; a write of its own holds what the caller has changed.
    await this.#saving?.catch(() => undefined);
    this.#saving ??= this.#write().finally(() => (this.#saving = undefined));
    await this.#saving;
  }

  /** Writes for the last time. A failure is logged: it ends nothing that is ending already. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.save().catch((error: unknown) => this.#noteFailure(error));
  }

  get #changes(): number {
    return this.#deps.table.changes + this.#deps.registrations.changes;
  }

  #saveIfDue(): void {
    const nowMs = performance.now();
    if (this.#saving !== undefined || nowMs < this.#restUntilMs) return;
    const isOld = nowMs - this.#savedAtMs >= this.#config.refreshMs;
    const isRefreshed = isOld && this.#deps.table.announces !== this.#savedAnnounces;
    if (this.#changes === this.#savedChanges && !isRefreshed) return;
    this.save().catch((error: unknown) => this.#noteFailure(error));
  }

  async #write(): Promise<void> {
    const startMs = performance.now();
    const [changes, announces] = [this.#changes, this.#deps.table.announces];
    try {
      const sizeBytes = await writeStateFile(this.#config.path, this.#deps);
      [this.#savedChanges, this.#savedAnnounces] = [changes, announces];
      this.#deps.metrics.saved(sizeBytes);
      if (this.#failing) this.#deps.log.info({ path: this.#config.path }, 'tracker state is kept again');
      this.#failing = false;
    } finally {
      this.#savedAtMs = performance.now();
      this.#restUntilMs = this.#savedAtMs + LEAST_REST_PER_WRITE * (this.#savedAtMs - startMs);
    }
  }

  #noteFailure(error: unknown): void {
    this.#deps.metrics.failed();
    const facts = { path: this.#config.path, err: error };
    if (this.#failing) this.#deps.log.debug(facts, 'tracker state cannot be kept');
    else this.#deps.log.error(facts, 'tracker state cannot be kept');
    this.#failing = true;
  }
}
