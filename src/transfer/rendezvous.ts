/**
 * What a home knows: who has pieces of which blob, and who is after it. Pure table, bounded, forgetting the digests used
 * least recently. Every node keeps one, for the digests whose home it is or is taken to be.
 */
import type { Digest } from '../oci/digest.ts';
import type { PeerId } from '../swarm/member.ts';
import { Participants, type Participant } from './participants.ts';

export interface RendezvousConfig {
  readonly maxDigests: number;
  /** Of one digest. */
  readonly maxParticipants: number;
  /** Of all digests together. */
  readonly maxEntries: number;
  /** One who is still gathering must show up again within this time. */
  readonly gatheringTtlMs: number;
}

/**
 * The limits that nodes keep to. Of one digest so many that a few thousand nodes that ask at once can meet any of those who asked
 * before: with 256 each met those who came just before it, and a swarm of ten thousand was a chain of neighbourhoods that
 * pieces went through one after the other.
 */
export const RENDEZVOUS_LIMITS: RendezvousConfig = {
  maxDigests: 200_000,
  maxParticipants: 4096,
  maxEntries: 1_000_000,
  gatheringTtlMs: 30_000,
};

export class Rendezvous {
  readonly #config: RendezvousConfig;
  readonly #random: () => number;
  /** The one that was noted last is the last. */
  readonly #digests = new Map<Digest, Participants>();
  #entryCount = 0;

  /** @param random a number from 0 to 1 */
  constructor(config: RendezvousConfig, random: () => number) {
    this.#config = config;
    this.#random = random;
  }

  /** Digests known. */
  get size(): number {
    return this.#digests.size;
  }

  /** A peer has all of a blob, or has begun to gather it. */
  note(digest: Digest, peerId: PeerId, complete: boolean, nowMs: number): void {
    const { maxDigests, maxParticipants, maxEntries } = this.#config;
    const known = this.#digests.get(digest) ?? new Participants(this.#random);
    this.#digests.delete(digest);
    this.#digests.set(digest, known);
    this.#change(known, () => {
      known.note(peerId, complete, nowMs);
      if (known.size > maxParticipants) known.removeOne(peerId);
    });
    while (this.#digests.size > maxDigests || (this.#entryCount > maxEntries && this.#digests.size > 1)) {
      this.#dropOldest();
    }
  }

  /** A peer does not have the blob any more. */
  withdraw(digest: Digest, peerId: PeerId): void {
    const known = this.#digests.get(digest);
    if (known === undefined) return;
    this.#change(known, () => known.remove(peerId));
    if (known.size === 0) this.#digests.delete(digest);
  }

  /**
   * Some of those who take part, complete ones first; `except` is the one who asks. Each is as likely as the other: if all who
   * ask at about the same time met the newest, the swarm would be a chain of neighbours, and pieces would take many hops.
   */
  participants(digest: Digest, except: PeerId, nowMs: number, count: number): Participant[] {
    const known = this.#digests.get(digest);
    if (known === undefined) return [];
    return this.#change(known, () => known.choose(count, except, nowMs - this.#config.gatheringTtlMs));
  }

  /** Does something to those of one digest, and counts how many are there then. */
  #change<Result>(known: Participants, action: () => Result): Result {
    const before = known.size;
    const result = action();
    this.#entryCount += known.size - before;
    return result;
  }

  #dropOldest(): void {
    const [oldest] = this.#digests;
    if (oldest === undefined) return;
    this.#digests.delete(oldest[0]);
    this.#entryCount -= oldest[1].size;
  }
}
