/**
 * Stops asking an upstream that cannot be reached, so that a dead origin costs a pull microseconds instead of timeouts.
 * Closed: all may ask. After some failures in a row, open: nobody may, for a while. Then half-open: one may try, and what
 * comes of it closes or opens the breaker.
 */
import type { Clock } from './clock.ts';

export interface CircuitBreakerConfig {
  /** Failures in a row that open the breaker. */
  readonly failureThreshold: number;
  /** How long it stays open before one request may try. */
  readonly openMs: number;
}

export const BREAKER_DEFAULTS: CircuitBreakerConfig = { failureThreshold: 3, openMs: 5_000 };

export class CircuitBreaker {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #config: CircuitBreakerConfig;
  #failures = 0;
  /** While set, nobody may ask before this time; a probe moves it on, so that others keep waiting. */
  #closedUntilMs: number | undefined;

  constructor(deps: { clock: Pick<Clock, 'nowMs'> }, config: CircuitBreakerConfig = BREAKER_DEFAULTS) {
    this.#clock = deps.clock;
    this.#config = config;
  }

  get isOpen(): boolean {
    return this.#closedUntilMs !== undefined;
  }

  /** True when a request may go out now. Whoever gets `true` tells the outcome, unless it gave up by itself. */
  tryPass(): boolean {
    if (this.#closedUntilMs === undefined) return true;
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#closedUntilMs) return false;
    this.#closedUntilMs = nowMs + this.#config.openMs;
    return true;
  }

  /** The upstream answered, whatever it said. */
  succeeded(): void {
    this.#failures = 0;
    this.#closedUntilMs = undefined;
  }

  /** The upstream could not be reached. */
  failed(): void {
    this.#failures += 1;
    if (this.#failures < this.#config.failureThreshold) return;
    this.#closedUntilMs = this.#clock.nowMs() + this.#config.openMs;
  }
}
