/** Which announces a tracker takes: within its rates, and of torrents that it serves. */
import type { TrackerProof } from '../src/swarm/tracker-proof.ts';
import { limitKeyOf } from './address.ts';
import { Refusal, type Announce } from './announce.ts';
import { RateLimiter, type RateLimits } from './rate-limiter.ts';
import type { Registrations } from './registrations.ts';

export interface AdmissionDeps {
  readonly nowMs: () => number;
  readonly registrations: Registrations;
  /** By which holders of the swarm key vouch for info-hashes; without one only the operator does. */
  readonly proof: TrackerProof | undefined;
}

export interface AdmissionConfig {
  /** A closed tracker serves registered info-hashes alone, an open one all. */
  readonly isClosed: boolean;
  readonly rates: RateLimits;
}

/** Decides. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #isClosed: boolean;
  readonly #limiter: RateLimiter;

  constructor(deps: AdmissionDeps, config: AdmissionConfig) {
    this.#deps = deps;
    this.#isClosed = config.isClosed;
    this.#limiter = new RateLimiter(deps.nowMs, config.rates);
  }

  /** Counts a request from a host (plain) towards the rates; answers after how many seconds to come again, or 0 when it is taken. */
  retryAfterSeconds(host: string): number {
    return this.#limiter.take(limitKeyOf(host));
  }

  /** Lets an announce in, and notes who vouches for its info-hash. @throws {Refusal} closed */
  admit({ infoHash, proof }: Pick<Announce, 'infoHash' | 'proof'>): void {
    if (!this.#isClosed) return;
    const proven = this.#isProven(infoHash, proof);
    if (proven === true) {
      this.#deps.registrations.vouch(infoHash);
      return;
    }
    if (this.isServed(infoHash)) return;
    throw new Refusal(
      'closed',
      proven === false
        ? 'this torrent is not registered with this tracker, and the proof with it is of another swarm key or of another time'
        : 'this torrent is not registered with this tracker',
    );
  }

  /** True for what this tracker tells of. */
  isServed(infoHash: string): boolean {
    return !this.#isClosed || this.#deps.registrations.by(infoHash) !== undefined;
  }

  #isProven(infoHash: string, proof: string | undefined): boolean | undefined {
    if (proof === undefined || this.#deps.proof === undefined) return undefined;
    return this.#deps.proof.isProven(Buffer.from(infoHash, 'hex'), proof, this.#deps.nowMs());
  }
}
