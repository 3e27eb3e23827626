/**
 * Which info-hashes a closed tracker serves: those that the operator named, for good, and those that a holder of the swarm
 * key vouched for, as long as one does so again in time.
 */

/** Who let an info-hash in. */
export type RegisteredBy = 'operator' | 'member';

export interface RegistrationsConfig {
  /** How long an info-hash is served after a holder of the swarm key vouched for it. */
  readonly ttlMs: number;
  /** As many are registered by the operator at most, and as many by holders of the key. */
  readonly max: number;
}

/** The list. Info-hashes are 40 hexadecimal digits, small. */
export class Registrations {
  readonly #config: RegistrationsConfig;
  readonly #nowMs: () => number;
  /** By command, for good. */
  readonly #named = new Set<string>();
  /** By the operator's file, which is read anew as a whole. */
  #filed: ReadonlySet<string> = new Set();
  /** Until when, for what holders of the key vouched for; the earliest first. */
  readonly #vouched = new Map<string, number>();
  #changes = 0;

  constructor(nowMs: () => number, config: RegistrationsConfig) {
    this.#nowMs = nowMs;
    this.#config = config;
  }

  /** Grows with every info-hash that comes or goes. */
  get changes(): number {
    return this.#changes;
  }

  /** Who let it in; `undefined` when nobody has. */
  by(infoHash: string): RegisteredBy | undefined {
    if (this.#named.has(infoHash) || this.#filed.has(infoHash)) return 'operator';
    return (this.#vouched.get(infoHash) ?? 0) > this.#nowMs() ? 'member' : undefined;
  }

  counts(): Readonly<Record<RegisteredBy, number>> {
    return { operator: this.#named.size + this.#filed.size, member: this.#vouched.size };
  }

  /** Registers for good, as the operator wishes; false when there is no room. */
  add(infoHash: string): boolean {
    if (this.#named.has(infoHash)) return true;
    if (this.#named.size >= this.#config.max) return false;
    this.#named.add(infoHash);
    this.#changes += 1;
    return true;
  }

  /** Takes back what `add` and holders of the key said; false when nobody had said anything. */
  remove(infoHash: string): boolean {
    const wasNamed = this.#named.delete(infoHash);
    const wasVouched = this.#vouched.delete(infoHash);
    if (wasNamed || wasVouched) this.#changes += 1;
    return wasNamed || wasVouched;
  }

  /** Takes what the operator's file says now in place of what it said before. */
  replaceFiled(infoHashes: ReadonlySet<string>): void {
    this.#filed = infoHashes;
  }

  /** Notes that a holder of the key vouches for it; beyond the bound, what was vouched for longest ago goes. */
  vouch(infoHash: string, untilMs = this.#nowMs() + this.#config.ttlMs): void {
    if (!this.#vouched.delete(infoHash)) this.#changes += 1;
    this.#vouched.set(infoHash, untilMs);
    if (this.#vouched.size <= this.#config.max) return;
    const [oldest = ''] = this.#vouched.keys();
    this.#vouched.delete(oldest);
  }

  /** What is to be kept over a restart; the file of the operator is read again. */
  *kept(): Generator<{ readonly infoHash: string; readonly untilMs: number }> {
    for (const infoHash of this.#named) yield { infoHash, untilMs: Infinity };
    for (const [infoHash, untilMs] of this.#vouched) yield { infoHash, untilMs };
  }

  /** Puts back what was kept. */
  restore(infoHash: string, untilMs: number): void {
    if (untilMs === Infinity) this.add(infoHash);
    else if (untilMs > this.#nowMs()) this.vouch(infoHash, untilMs);
  }

  /** Forgets what nobody has vouched for in time. */
  sweep(): void {
    this.#dropExpired();
  }

  #dropExpired(): void {
    const nowMs = this.#nowMs();
    for (const [infoHash, untilMs] of this.#vouched) {
      if (untilMs > nowMs) break;
      this.#vouched.delete(infoHash);
      this.#changes += 1;
    }
  }
}

const INFO_HASH = /^[0-9a-fA-F]{40}$/;
const MAGNET_HASH = /^magnet:\?(?:[^#]*&)?xt=urn:btih:([0-9a-fA-F]{40}|[A-Za-z2-7]{32})(?:&|$)/i;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Reads an info-hash: 40 hexadecimal digits, or a magnet link; `undefined` for anything else. @see BEP 9 */
export function parseInfoHash(text: string): string | undefined {
  if (INFO_HASH.test(text)) return text.toLowerCase();
  const [, hash] = MAGNET_HASH.exec(text) ?? [];
  if (hash === undefined) return undefined;
  return hash.length === 40 ? hash.toLowerCase() : fromBase32(hash);
}

function fromBase32(text: string): string {
  let value = 0n;
  for (const letter of text.toUpperCase()) value = value * 32n + BigInt(BASE32.indexOf(letter));
  return value.toString(16).padStart(40, '0');
}
