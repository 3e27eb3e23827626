/**
 * Sums over parts of the member table, by which two nodes find what they do not agree on without telling each other all:
 * 256 buckets by the first byte of the public key, and for each the exclusive or of eight bytes of every live record's
 * signature. Suspicion is left out: it passes quickly and travels by itself. The gone are left out: they are forgotten
 * at different times.
 */
import type { MemberUpdate } from './members-update.ts';

const BUCKETS = 256;
const BUCKET_BYTES = 8;

/** Length of all sums together. */
export const FINGERPRINT_BYTES = BUCKETS * BUCKET_BYTES;

export class FingerprintTable {
  readonly #sums = new Uint8Array(FINGERPRINT_BYTES);

  /** The bucket that a member falls into. */
  static bucketOf(update: MemberUpdate): number {
    return update.signed.publicKey[0] ?? 0;
  }

  /** Puts a live row in, or takes it out if it is in. */
  toggle(update: MemberUpdate): void {
    if (update.state === 'dead' || update.state === 'left') return;
    const start = FingerprintTable.bucketOf(update) * BUCKET_BYTES;
    for (let index = 0; index < BUCKET_BYTES; index += 1) {
      this.#sums[start + index] = (this.#sums[start + index] ?? 0) ^ (update.signed.signature[index] ?? 0);
    }
  }

  /** A copy of the sums: 2048 bytes. */
  toBytes(): Uint8Array {
    return this.#sums.slice();
  }
}

/** The buckets in which two tables differ. Both arguments: 2048 bytes. */
export function differingBuckets(mine: Uint8Array, theirs: Uint8Array): Set<number> {
  const buckets = new Set<number>();
  for (let index = 0; index < FINGERPRINT_BYTES; index += 1) {
    if (mine[index] !== theirs[index]) buckets.add(Math.floor(index / BUCKET_BYTES));
  }
  return buckets;
}
