/** One simulated node: who it is, whether it lives, its journeys, and what it knows as a home. */
import type { Digest } from '../../src/oci/digest.ts';
import type { Member } from '../../src/swarm/member.ts';
import { Rendezvous, RENDEZVOUS_LIMITS } from '../../src/transfer/rendezvous.ts';
import type { SimJourney } from './sim-journey.ts';

export class SimNode {
  readonly index: number;
  readonly member: Member;
  /** `waiting`: it has not come yet. `stopped`: it is there and does nothing. */
  state: 'waiting' | 'alive' | 'stopped' | 'dead' = 'waiting';
  /** Since when nothing comes from it. */
  silentSinceMs: number | undefined;
  readonly journeys = new Map<string, SimJourney>();
  readonly #random: () => number;
  #table: Rendezvous | undefined;

  constructor(index: number, random: () => number) {
    this.index = index;
    this.#random = random;
    this.member = { peerId: `node-${index}`, dataAddresses: [], topology: '' };
  }

  get isAlive(): boolean {
    return this.state === 'alive';
  }

  /** A node takes part in a blob, or has all of it. */
  note(digest: Digest, node: SimNode, complete: boolean, nowMs: number): void {
    this.table.note(digest, node.member.peerId, complete, nowMs);
  }

  /** What it knows of who takes part. */
  get table(): Rendezvous {
    this.#table ??= new Rendezvous(RENDEZVOUS_LIMITS, this.#random);
    return this.#table;
  }
}
