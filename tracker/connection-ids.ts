/**
 * Connection ids over UDP: they prove that a client receives what is sent to its address, so that nobody can announce for
 * another, nor have answers sent there. They follow from address, time and a secret, so that none has to be remembered.
 * @see BEP 15, "UDP connections / spoofing"
 */
import { createHmac } from 'node:crypto';

/** A client may use an id for this time, and it is taken for as long again. */
const PERIOD_MS = 60_000;

/** Gives out ids and knows them again. */
export class ConnectionIds {
  readonly #secret: Uint8Array;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number, secret: Uint8Array) {
    this.#nowMs = nowMs;
    this.#secret = secret;
  }

  /** The id for an address. */
  issue(host: string): bigint {
    return this.#idOf(host, this.#period());
  }

  /** True for an id that the address was given in the last minutes. */
  isValid(host: string, id: bigint): boolean {
    const period = this.#period();
    return id === this.#idOf(host, period) || id === this.#idOf(host, period - 1);
  }

  #period(): number {
    return Math.floor(this.#nowMs() / PERIOD_MS);
  }

  #idOf(host: string, period: number): bigint {
    return createHmac('sha256', this.#secret).update(`${period} ${host}`).digest().readBigUInt64BE();
  }
}
