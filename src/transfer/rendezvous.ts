/**
 * What a home knows: who has pieces of which blob, and who is after it. Pure table, bounded, forgetting the digests used
 * least recently. Every node keeps one, for the digests whose home it is or is taken to be.
 */
import type { Digest } from '../oci/digest.ts';
import type { PeerId } from '../swarm/member.ts';

/** One who takes part in a blob. */
export interface Participant {
  readonly peerId: PeerId;
  readonly complete: boolean;
}

export interface RendezvousConfig {
  readonly maxDigests: number;
  readonly maxParticipants: number;
  /** One who is still gathering must show up again within this time. */
  readonly gatheringTtlMs: number;
}

interface Entry {
  complete: boolean;
  seenAtMs: number;
}

export class Rendezvous {
  readonly #config: RendezvousConfig;
  readonly #digests = new Map<Digest, Map<PeerId, Entry>>();

  constructor(config: RendezvousConfig) {
    this.#config = config;
  }

  /** Digests known. */
  get size(): number {
    return this.#digests.size;
  }

  /** A peer has all of a blob, or has begun to gather it. */
  note(digest: Digest, peerId: PeerId, complete: boolean, nowMs: number): void {
    const entries = this.#digests.get(digest) ?? new Map<PeerId, Entry>();
    this.#digests.delete(digest);
    this.#digests.set(digest, entries);
    const known = entries.get(peerId);
    entries.delete(peerId);
    entries.set(peerId, { complete: complete || known?.complete === true, seenAtMs: nowMs });
    if (entries.size > this.#config.maxParticipants) this.#dropOne(entries);
    if (this.#digests.size > this.#config.maxDigests) {
      const oldest = this.#digests.keys().next().value;
      if (oldest !== undefined) this.#digests.delete(oldest);
    }
  }

  /** A peer does not have the blob any more. */
  withdraw(digest: Digest, peerId: PeerId): void {
    const entries = this.#digests.get(digest);
    entries?.delete(peerId);
    if (entries?.size === 0) this.#digests.delete(digest);
  }

  /** A peer is gone from the swarm. */
  withdrawAll(peerId: PeerId): void {
    for (const digest of [...this.#digests.keys()]) this.withdraw(digest, peerId);
  }

  /** Who takes part, complete ones first, then the newest; `except` is the one who asks. */
  participants(digest: Digest, except: PeerId, nowMs: number, count: number): Participant[] {
    const entries = this.#digests.get(digest);
    if (entries === undefined) return [];
    const complete: Participant[] = [];
    const gathering: Participant[] = [];
    for (const [peerId, entry] of entries) {
      if (entry.complete) {
        if (peerId !== except) complete.unshift({ peerId, complete: true });
      } else if (nowMs - entry.seenAtMs > this.#config.gatheringTtlMs) entries.delete(peerId);
      else if (peerId !== except) gathering.unshift({ peerId, complete: false });
    }
    const completeCount = Math.max(Math.ceil(count / 2), count - gathering.length);
    const chosen = complete.slice(0, completeCount);
    return [...chosen, ...gathering.slice(0, count - chosen.length)];
  }

  /** Those who are gathering go first: the complete are worth more. */
  #dropOne(entries: Map<PeerId, Entry>): void {
    for (const [peerId, entry] of entries) {
      if (entry.complete) continue;
      entries.delete(peerId);
      return;
    }
    const first = entries.keys().next().value;
    if (first !== undefined) entries.delete(first);
  }
}
