/**
 * What comes after a failed delivery: a pure function. As the distribution registry does it, deliveries are repeated at once
 * until so many failed in a row, and after that with a pause before each; other than there they are not repeated for ever.
 */

/** A delivery that failed. */
export interface FailedDelivery {
  /** Of this endpoint, whatever the event. */
  readonly failuresInARow: number;
  /** Of this event, since the node started. */
  readonly attempts: number;
  readonly ageMs: number;
  /** The receiver answered that it does not take this event, as a repetition would not change. */
  readonly isRefusal: boolean;
}

/** The bounds of an endpoint. */
export interface RetryBounds {
  readonly threshold: number;
  readonly backoffMs: number;
  readonly giveUpAfterMs: number;
}

/** What to do next. */
export type RetryPlan = { readonly kind: 'again'; readonly delayMs: number } | { readonly kind: 'give-up' };

/** Decides. A refused event has `threshold` tries, so that it does not keep back those behind it until it is old. */
export function planRetry(failed: FailedDelivery, bounds: RetryBounds): RetryPlan {
  if (failed.ageMs >= bounds.giveUpAfterMs) return { kind: 'give-up' };
  if (failed.isRefusal && failed.attempts >= bounds.threshold) return { kind: 'give-up' };
  return { kind: 'again', delayMs: failed.failuresInARow < bounds.threshold ? 0 : bounds.backoffMs };
}
