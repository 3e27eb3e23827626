/** One simulated node: who it is, whether it lives, its journeys, and what it knows as a home. */
import type { Digest } from '../../src/oci/digest.ts';
import type { Member } from '../../src/swarm/member.ts';
import { Rendezvous } from '../../src/transfer/rendezvous.ts';
import type { SimJourney } from './sim-journey.ts';

/** The limits with which nodes keep their table. */
const RENDEZVOUS = { maxDigests: 200_000, maxParticipants: 256, gatheringTtlMs: 30_000 };

export class SimNode {
  readonly index: number;
  readonly member: Member;
  /** `waiting`: it has not come yet. `stopped`: it is there and does nothing. */
  state: 'waiting' | 'alive' | 'stopped' | 'dead' = 'waiting';
  /** Since when nothing comes from it. */
  silentSinceMs: number | undefined;
  readonly journeys = new Map<string, SimJourney>();
  /** All who ever took part, for an even choice. */
  readonly #seen = new Map<Digest, Set<SimNode>>();
  readonly #seenInOrder = new Map<Digest, SimNode[]>();
  #table: Rendezvous | undefined;

  constructor(index: number) {
    this.index = index;
    this.member = { peerId: `node-${index}`, dataAddresses: [], topology: '' };
  }

  get isAlive(): boolean {
    return this.state === 'alive';
  }

  /** A node takes part in a blob, or has all of it. */
  note(digest: Digest, node: SimNode, complete: boolean, nowMs: number): void {
    this.table.note(digest, node.member.peerId, complete, nowMs);
    const seen = this.#seen.get(digest) ?? new Set<SimNode>();
    if (seen.has(node)) return;
    this.#seen.set(digest, seen.add(node));
    const list = this.#seenInOrder.get(digest) ?? [];
    list.push(node);
    this.#seenInOrder.set(digest, list);
  }

  /** Some of all who took part and live, each as likely as the other. */
  someParticipants(digest: Digest, except: SimNode, count: number, random: () => number): SimNode[] {
    const list = this.#seenInOrder.get(digest) ?? [];
    const chosen = new Set<SimNode>();
    for (let left = 2 * count; left > 0 && chosen.size < count; left -= 1) {
      const node = list[Math.floor(random() * list.length)];
      if (node !== undefined && node !== except && node !== this && node.isAlive) chosen.add(node);
    }
    return [...chosen];
  }

  /** What it knows of who takes part. */
  get table(): Rendezvous {
    this.#table ??= new Rendezvous(RENDEZVOUS);
    return this.#table;
  }
}
