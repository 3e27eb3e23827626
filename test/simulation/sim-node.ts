/** One simulated node: who it is, whether it lives, its journeys, and what it knows as a home. */
import type { Member } from '../../src/swarm/member.ts';
import { Rendezvous } from '../../src/transfer/rendezvous.ts';
import type { SimJourney } from './sim-journey.ts';

/** The limits with which nodes keep their table. */
const RENDEZVOUS = { maxDigests: 200_000, gatheringTtlMs: 30_000 };

export class SimNode {
  readonly index: number;
  readonly member: Member;
  /** `waiting`: it has not come yet. `stopped`: it is there and does nothing. */
  state: 'waiting' | 'alive' | 'stopped' | 'dead' = 'waiting';
  /** Since when nothing comes from it. */
  silentSinceMs: number | undefined;
  readonly journeys = new Map<string, SimJourney>();
  readonly #maxParticipants: number;
  #table: Rendezvous | undefined;

  constructor(index: number, maxParticipants: number) {
    this.index = index;
    this.#maxParticipants = maxParticipants;
    this.member = { peerId: `node-${index}`, dataAddresses: [], topology: '' };
  }

  get isAlive(): boolean {
    return this.state === 'alive';
  }

  /** What it knows of who takes part. */
  get table(): Rendezvous {
    this.#table ??= new Rendezvous({ ...RENDEZVOUS, maxParticipants: this.#maxParticipants });
    return this.#table;
  }
}
