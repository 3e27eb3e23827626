/**
 * What is known of how one upstream fares: whether it may be asked now, why not, and since when it could not be reached. All who
 * send requests to it tell here what came of them.
 */
import type { Logger } from 'pino';
import type { DockyardError } from '../oci/error.ts';
import { CircuitBreaker, type BreakerPass } from './circuit-breaker.ts';
import type { Clock } from './clock.ts';
import { originError } from './errors.ts';
import type { OriginMetrics, RequestKind } from './origin-metrics.ts';
import { RestPeriods } from './rest-periods.ts';
import { TransientFailure } from './transport-failure.ts';
import { TroubleLog } from './trouble-log.ts';

/** One that could not be reached is called so often, while others stand in for it. */
const CALL_EVERY_MS = 2_000;

/** Collaborators of the health of an upstream. */
export interface UpstreamHealthDeps {
  readonly log: Logger;
  readonly metrics: OriginMetrics;
  readonly clock: Clock;
  /** Tries whether the upstream answers, and tells `reached` if it does. */
  readonly call: () => Promise<void>;
}

export class UpstreamHealth {
  readonly #deps: UpstreamHealthDeps;
  readonly #upstream: string;
  readonly #breaker: CircuitBreaker;
  readonly #rests: RestPeriods;
  readonly #trouble: TroubleLog;
  /** Why the upstream could not be reached the last time: told to those who are refused while the breaker is open. */
  #lastUnreachable: DockyardError | undefined;
  /** When it was last tried, since it could not be reached. */
  #calledAtMs: number | undefined;

  constructor(deps: UpstreamHealthDeps, upstream: string) {
    this.#deps = deps;
    this.#upstream = upstream;
    this.#breaker = new CircuitBreaker(deps);
    this.#rests = new RestPeriods(deps);
    this.#trouble = new TroubleLog(deps, upstream);
    deps.metrics.breaker(upstream, false);
  }

  /** The upstream has answered nobody for a while. */
  get isDown(): boolean {
    return this.#breaker.isOpen;
  }

  /**
   * False from when the upstream could not be reached until it answers again: whoever has another to ask asks that one first. Now
   * and then it is called, beside whatever is asked of others.
   */
  get isReachable(): boolean {
    if (this.#calledAtMs === undefined) return true;
    const nowMs = this.#deps.clock.nowMs();
    if (nowMs - this.#calledAtMs >= CALL_EVERY_MS) {
      this.#calledAtMs = nowMs;
      void this.#deps.call();
    }
    return false;
  }

  /** Leave to send a request. @throws {DockyardError} while the upstream is not to be asked */
  passWhileUp(kind: RequestKind): BreakerPass {
    const rest = this.#rests.current(kind);
    if (rest !== undefined) throw rest;
    const pass = this.#breaker.tryPass();
    if (pass !== undefined) return pass;
    const cause = this.#lastUnreachable;
    const what = cause?.message ?? `upstream '${this.#upstream}' cannot be reached`;
    throw originError('ERR_ORIGIN_UNAVAILABLE', `${what}; it is tried again every few seconds`, {
      cause,
      details: cause?.details ?? { upstream: this.#upstream },
    });
  }

  /** It answered, whatever it said. */
  reached(): void {
    this.#breaker.succeeded();
    this.#calledAtMs = undefined;
    this.#trouble.answered();
    this.#deps.metrics.breaker(this.#upstream, this.#breaker.isOpen);
  }

  /** An attempt failed; it counts where nothing was reached. */
  attemptFailed(pass: BreakerPass, path: string, error: unknown): void {
    if (!(error instanceof TransientFailure) || !error.isUnreachable) return;
    this.#breaker.failed(pass, error.final.code === 'ERR_ORIGIN_STALLED' ? path : undefined);
    this.#lastUnreachable = error.final;
    this.#calledAtMs = this.#deps.clock.nowMs();
    this.#deps.metrics.breaker(this.#upstream, this.#breaker.isOpen);
  }

  /** A request was given up, for this reason. */
  requestFailed(error: unknown): void {
    this.#trouble.failed(error);
  }

  /** It asked to be left alone for so long. */
  rest(kind: RequestKind, durationMs: number, error: DockyardError): void {
    this.#rests.begin(kind, durationMs, error);
  }
}
