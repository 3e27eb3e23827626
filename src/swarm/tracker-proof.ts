/**
 * How a holder of the swarm key vouches for an info-hash to a closed tracker, which serves that info-hash to all from then on.
 * The proof goes with an announce: as `proof=` in the query over HTTP, in the URL data of BEP 41 over UDP. It names its time
 * and binds the info-hash alone, so whoever overhears it can do no more than say again, for a while, what was said already.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SwarmKey } from './swarm-key.ts';

/** How far the clocks of tracker and node may differ, and how long a proof can be said again: it is made for each announce. */
export const PROOF_WINDOW_MS = 600_000;

/** Half of an HMAC-SHA256: far beyond guessing, and short enough for a datagram. */
const TAG_BYTES = 16;

const PROOF = /^(\d{1,12})-([0-9a-f]{32})$/;

/** Makes proofs, and checks them; both sides derive the same key. */
export class TrackerProof {
  readonly #key: Buffer;

  constructor(swarmKey: SwarmKey) {
    this.#key = swarmKey.deriveKey('tracker announces');
  }

  /** The proof for an info-hash (20 bytes) at this time: at most 45 characters that need no escaping in a URL. */
  prove(infoHash: Uint8Array, nowMs: number): string {
    const seconds = Math.floor(nowMs / 1000);
    return `${seconds}-${this.#tag(infoHash, seconds).toString('hex')}`;
  }

  /** True for a proof of this info-hash by a holder of the same key, made at about this time. */
  isProven(infoHash: Uint8Array, proof: string, nowMs: number): boolean {
    const [, time = '', tag = ''] = PROOF.exec(proof) ?? [];
    const seconds = Number(time);
    if (tag === '' || Math.abs(seconds * 1000 - nowMs) > PROOF_WINDOW_MS) return false;
    return timingSafeEqual(this.#tag(infoHash, seconds), Buffer.from(tag, 'hex'));
  }

  #tag(infoHash: Uint8Array, seconds: number): Buffer {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(seconds));
    return createHmac('sha256', this.#key).update(time).update(infoHash).digest().subarray(0, TAG_BYTES);
  }
}
