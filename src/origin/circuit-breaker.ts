/**
 * Stops asking an upstream that is down, so that a dead origin costs a pull microseconds instead of timeouts.
 * Closed: all may ask. Once the upstream has answered nobody for a while, open: nobody may, for some time. Then half-open: one may
 * try, and what comes of it closes or opens the breaker.
 *
 * It opens on what says that the upstream is down, not on what says that it is slow: a stall that passes is waited out by each
 * request, within its own repetitions, and one blob that never comes (a caching proxy that still fetches it, say) keeps nobody
 * from the others.
 */
import type { Clock } from './clock.ts';

export interface CircuitBreakerConfig {
  /** Failures in a row, each of an attempt that began after the one before had failed. */
  readonly failureThreshold: number;
  /** For so long the upstream must have answered nobody. */
  readonly outageMs: number;
  /** How long it stays open before one request may try. */
  readonly openMs: number;
}

export const BREAKER_DEFAULTS: CircuitBreakerConfig = { failureThreshold: 3, outageMs: 10_000, openMs: 5_000 };

/** An attempt that was let through. */
export interface BreakerPass {
  readonly startedAtMs: number;
}

/** What is known of a time in which nobody was answered. */
interface Outage {
  /** When the first attempt began that failed. */
  readonly sinceMs: number;
  failures: number;
  countedAtMs: number;
  /** Some attempt did not even get a connection. */
  isWithoutConnection: boolean;
  /** A request that got a connection and no answer. */
  silentRequest: string | undefined;
  /** There was another one. */
  areSeveralSilent: boolean;
}

export class CircuitBreaker {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #config: CircuitBreakerConfig;
  #answeredAtMs = -Infinity;
  #outage: Outage | undefined;
  /** While set, nobody may ask before this time; a probe moves it on, so that others keep waiting. */
  #closedUntilMs: number | undefined;

  constructor(deps: { clock: Pick<Clock, 'nowMs'> }, config: CircuitBreakerConfig = BREAKER_DEFAULTS) {
    this.#clock = deps.clock;
    this.#config = config;
  }

  get isOpen(): boolean {
    return this.#closedUntilMs !== undefined;
  }

  /** Lets a request go out, or not. Whoever gets a pass tells the outcome, unless it gave up by itself. */
  tryPass(): BreakerPass | undefined {
    const nowMs = this.#clock.nowMs();
    if (this.#closedUntilMs !== undefined) {
      if (nowMs < this.#closedUntilMs) return undefined;
      this.#closedUntilMs = nowMs + this.#config.openMs;
    }
    return { startedAtMs: nowMs };
  }

  /** The upstream answered, whatever it said. */
  succeeded(): void {
    this.#answeredAtMs = this.#clock.nowMs();
    this.#outage = undefined;
    this.#closedUntilMs = undefined;
  }

  /**
   * The upstream did not answer.
   * @param silentRequest what was asked, where a connection came about and nothing more; undefined where none did
   */
  failed(pass: BreakerPass, silentRequest: string | undefined): void {
    // Somebody was answered meanwhile: it is this one request that the upstream has no answer to.
    if (pass.startedAtMs < this.#answeredAtMs) return;
    const nowMs = this.#clock.nowMs();
    const outage = (this.#outage ??= newOutage(pass.startedAtMs));
    if (silentRequest === undefined) outage.isWithoutConnection = true;
    else if (outage.silentRequest !== silentRequest) {
      outage.areSeveralSilent = outage.silentRequest !== undefined;
      outage.silentRequest ??= silentRequest;
    }
    // What ran side by side with a failure that was counted tells nothing new.
    if (pass.startedAtMs >= outage.countedAtMs) {
      outage.failures += 1;
      outage.countedAtMs = nowMs;
    }
    if (this.#isDown(outage, nowMs)) this.#closedUntilMs = nowMs + this.#config.openMs;
  }

  #isDown(outage: Outage, nowMs: number): boolean {
    const { failureThreshold, outageMs } = this.#config;
    const isLasting = outage.failures >= failureThreshold && nowMs - outage.sinceMs >= outageMs;
    return isLasting && (outage.isWithoutConnection || outage.areSeveralSilent);
  }
}

function newOutage(sinceMs: number): Outage {
  return {
    sinceMs,
    failures: 0,
    countedAtMs: -Infinity,
    isWithoutConnection: false,
    silentRequest: undefined,
    areSeveralSilent: false,
  };
}
