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
  readonly #random: () => number;
  readonly #digests = new Map<Digest, Map<PeerId, Entry>>();

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

  /**
   * Some of those who take part, complete ones first; `except` is the one who asks. Each is as likely as the other: if all who
   * ask at about the same time met the newest, the swarm would be a chain of neighbours, and pieces would take many hops.
   */
  participants(digest: Digest, except: PeerId, nowMs: number, count: number): Participant[] {
    const entries = this.#digests.get(digest);
    if (entries === undefined) return [];
    const complete: Participant[] = [];
    const gathering: Participant[] = [];
    for (const [peerId, entry] of entries) {
      if (entry.complete) {
        if (peerId !== except) complete.push({ peerId, complete: true });
      } else if (nowMs - entry.seenAtMs > this.#config.gatheringTtlMs) entries.delete(peerId);
      else if (peerId !== except) gathering.push({ peerId, complete: false });
    }
    const completeCount = Math.max(Math.ceil(count / 2), count - gathering.length);
    const chosen = this.#some(complete, completeCount);
    return [...chosen, ...this.#some(gathering, count - chosen.length)];
  }

  /** So many of a list, in no order; the list is used up. */
  #some<Item>(list: Item[], count: number): Item[] {
    const chosen = Math.min(count, list.length);
    for (let at = 0; at < chosen; at += 1) {
      const other = at + Math.floor(this.#random() * (list.length - at));
      const [a, b] = [list[at], list[other]];
      if (a === undefined || b === undefined) break;
      list[at] = b;
      list[other] = a;
    }
    return list.slice(0, chosen);
  }

  /**
   * Those who are gathering go first: the complete are worth more. Not the newest, who must be met, and not the oldest either:
   * what is kept is to be an even sample of all.
   */
  #dropOne(entries: Map<PeerId, Entry>): void {
    const older = [...entries].slice(0, -1);
    const gathering = older.filter(([, { complete }]) => !complete);
    const [dropped] = this.#some(gathering.length > 0 ? gathering : older, 1);
    if (dropped !== undefined) entries.delete(dropped[0]);
  }
}
