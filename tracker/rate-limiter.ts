/** How many announces are taken: of each address and of all together, by buckets of tokens that fill again with time. */

/** Addresses that are remembered; the one that announced longest ago is forgotten first, and starts with a full bucket again. */
const MAX_ADDRESSES = 65_536;

/** A bucket holds what comes in this time: a node that starts announces all that it holds. */
const BURST_SECONDS = 20;

export interface RateLimits {
  /** Announces a second of one address (of a /64 in IPv6), and of all. `Infinity` for no limit. */
  readonly perAddress: number;
  readonly total: number;
}

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

/** The limiter. */
export class RateLimiter {
  readonly #limits: RateLimits;
  readonly #nowMs: () => number;
  readonly #all: Bucket;
  /** The one that was used longest ago stands first. */
  readonly #addresses = new Map<string, Bucket>();

  constructor(nowMs: () => number, limits: RateLimits) {
    this.#nowMs = nowMs;
    this.#limits = limits;
    this.#all = { tokens: Infinity, filledAtMs: nowMs() };
  }

  /** After how many seconds the address may announce again; 0 when this announce is taken. Without address, all alone count. */
  take(address: string | undefined): number {
    const nowMs = this.#nowMs();
    const ofAddress =
      this.#limits.perAddress === Infinity || address === undefined ? 0 : this.#takeOfAddress(address, nowMs);
    if (ofAddress > 0 || this.#limits.total === Infinity) return ofAddress;
    return takeToken(this.#all, this.#limits.total, nowMs);
  }

  #takeOfAddress(address: string, nowMs: number): number {
    const known = this.#addresses.get(address);
    const bucket = known ?? { tokens: Infinity, filledAtMs: nowMs };
    if (known !== undefined) this.#addresses.delete(address);
    else if (this.#addresses.size >= MAX_ADDRESSES) {
      const oldest = this.#addresses.keys().next().value;
      if (oldest !== undefined) this.#addresses.delete(oldest);
    }
    this.#addresses.set(address, bucket);
    return takeToken(bucket, this.#limits.perAddress, nowMs);
  }
}

function takeToken(bucket: Bucket, perSecond: number, nowMs: number): number {
  const filled = bucket.tokens + (Math.max(0, nowMs - bucket.filledAtMs) / 1000) * perSecond;
  bucket.tokens = Math.min(filled, Math.max(1, perSecond * BURST_SECONDS));
  bucket.filledAtMs = nowMs;
  if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / perSecond);
  bucket.tokens -= 1;
  return 0;
}
