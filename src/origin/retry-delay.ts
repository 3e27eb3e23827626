/** How long to wait before a request is repeated: pure functions. */

export const RETRY_BASE_DELAY_MS = 200;
export const RETRY_MAX_DELAY_MS = 5_000;

/** The longest `Retry-After` that a pull waits for; containerd gives a mirror minutes, but its user does not. */
export const RETRY_AFTER_CAP_MS = 30_000;

/** The first delay, and the longest. */
export interface BackoffBounds {
  readonly baseMs: number;
  readonly mostMs: number;
}

const REQUEST_BOUNDS: BackoffBounds = { baseMs: RETRY_BASE_DELAY_MS, mostMs: RETRY_MAX_DELAY_MS };

/**
 * Doubling delays with full jitter over the upper half.
 * @param attempt 0 for the wait after the first attempt
 * @param random a number from 0 to, and not including, 1
 * @param bounds those of a request that somebody waits for, unless told otherwise
 */
export function backoffDelayMs(attempt: number, random: number, bounds: BackoffBounds = REQUEST_BOUNDS): number {
  const ceilingMs = Math.min(bounds.mostMs, bounds.baseMs * 2 ** Math.min(attempt, 16));
  return Math.round(ceilingMs / 2 + (random * ceilingMs) / 2);
}

/**
 * What a `Retry-After` header asks for, in milliseconds; `undefined` when it is absent or nonsense.
 * @see RFC 9110, section 10.2.3: seconds, or an HTTP date
 */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2,8},? /.test(text)) return undefined;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
