/**
 * Tells operators once why an upstream fails, not once for each request: a dead upstream under load would fill the log, and
 * the first cause would be lost in it.
 */
import type { Logger } from 'pino';
import type { DockyardError } from '../oci/error.ts';
import type { Clock } from './clock.ts';
import { isOriginTrouble } from './errors.ts';

/** The same reason is told again after this long, if it is still so. */
export const TROUBLE_REPEAT_MS = 60_000;

/** Reasons that are remembered; there are a handful in practice. */
const MAX_REASONS = 50;

export interface TroubleLogDeps {
  readonly log: Logger;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** The troubles of one upstream. */
export class TroubleLog {
  readonly #deps: TroubleLogDeps;
  readonly #upstream: string;
  /** When each reason was last told, and how often it came since. */
  readonly #told = new Map<string, { atMs: number; silentCount: number }>();
  #isDown = false;

  constructor(deps: TroubleLogDeps, upstream: string) {
    this.#deps = deps;
    this.#upstream = upstream;
  }

  /** A request was given up. What says nothing of the upstream as a whole (a refused access) is passed over. */
  failed(error: unknown): void {
    if (!isOriginTrouble(error)) return;
    const nowMs = this.#deps.clock.nowMs();
    const told = this.#told.get(error.message);
    if (told !== undefined && nowMs - told.atMs < TROUBLE_REPEAT_MS) {
      told.silentCount += 1;
      return;
    }
    if (this.#told.size >= MAX_REASONS) this.#told.clear();
    this.#told.set(error.message, { atMs: nowMs, silentCount: 0 });
    if (isOutage(error)) this.#isDown = true;
    const { log } = this.#deps;
    const repeated = told === undefined || told.silentCount === 0 ? {} : { requestsSince: told.silentCount };
    log.warn({ upstream: this.#upstream, code: error.code, reason: error.message, ...repeated }, 'upstream fails');
  }

  /** The upstream answered a request, whatever it said. */
  answered(): void {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#deps.log.info({ upstream: this.#upstream }, 'upstream answers again');
  }
}

/** True for a failure that ends with the next answer, whatever that says. */
function isOutage(error: DockyardError): boolean {
  if (error.code === 'ERR_ORIGIN_UNTRUSTED' || error.code === 'ERR_ORIGIN_STALLED') return true;
  return error.code === 'ERR_ORIGIN_UNAVAILABLE' && error.details['status'] === undefined;
}
