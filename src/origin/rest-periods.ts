/**
 * An upstream that says when to come back (`Retry-After`) is left alone until then, for the kind of request that it
 * refused: Docker Hub, for one, limits manifests but not blobs.
 */
import { DockyardError } from '../oci/error.ts';
import type { Clock } from './clock.ts';
import type { RequestKind } from './origin-metrics.ts';

/** An upstream may ask for hours; it is asked again after this long, in case the limit was lifted. */
export const MAX_REST_MS = 60_000;

export class RestPeriods {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #rests = new Map<RequestKind, { readonly untilMs: number; readonly error: DockyardError }>();

  constructor(deps: { clock: Pick<Clock, 'nowMs'> }) {
    this.#clock = deps.clock;
  }

  /** @param error why; given to those who ask meanwhile */
  begin(kind: RequestKind, durationMs: number, error: DockyardError): void {
    this.#rests.set(kind, { untilMs: this.#clock.nowMs() + Math.min(durationMs, MAX_REST_MS), error });
  }

  /** Why the upstream is not to be asked for this kind now; `undefined` when it may be. */
  current(kind: RequestKind): DockyardError | undefined {
    const rest = this.#rests.get(kind);
    if (rest === undefined) return undefined;
    if (this.#clock.nowMs() < rest.untilMs) {
      const { code, message, details } = rest.error;
      return new DockyardError(code, `${message}, and asked to be left alone`, { cause: rest.error, details });
    }
    this.#rests.delete(kind);
    return undefined;
  }
}
