/**
 * The member table together with this node's own record: checks signatures of what arrives, and answers ill news of
 * itself with a record of a higher incarnation.
 */
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { swarmError } from './errors.ts';
import type { Identity } from './identity.ts';
import type { PeerId } from './member.ts';
import { isAuthentic, signRecord, type MemberRecord } from './members-record.ts';
import type { MemberUpdate } from './members-update.ts';
import { MemberTable, type MemberTableConfig } from './members.ts';

/** More refutations than this within a minute: another node speaks with the same identity, or the clock was set back. */
const MAX_REFUTATIONS_PER_MINUTE = 10;

/** What a node says of itself, but for what the membership adds. */
export type SelfDescription = Pick<MemberRecord, 'swarmAddresses' | 'dataAddresses' | 'topology'>;

export interface MembershipStateDeps {
  readonly identity: Identity;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

export class MembershipState {
  readonly table: MemberTable;
  readonly #deps: MembershipStateDeps;
  #self: MemberRecord;
  #refutedAtMs: number[] = [];

  constructor(deps: MembershipStateDeps, self: SelfDescription, config: MemberTableConfig) {
    this.#deps = deps;
    // The clock makes the incarnation after a restart higher than any before it; where it was set back, the first ill
    // news of this node does.
    this.#self = { ...self, incarnation: Math.floor(deps.clock.nowMs()), left: false };
    this.table = new MemberTable(signRecord(deps.identity, this.#self), deps.random, config);
  }

  get peerId(): PeerId {
    return this.#deps.identity.peerId;
  }

  /** This node as it is told to others. */
  selfUpdate(): MemberUpdate {
    return { signed: this.table.self, state: this.#self.left ? 'left' : 'alive' };
  }

  /** Changes what this node says of itself. */
  describe(self: Partial<SelfDescription>): void {
    this.#say({ ...this.#self, ...self }, this.#self.incarnation + 1);
  }

  /** Says that this node leaves on purpose. */
  leave(): void {
    this.#say({ ...this.#self, left: true }, this.#self.incarnation + 1);
  }

  /**
   * Takes in what a peer tells; returns how many rows changed.
   * @throws {DockyardError} ERR_MEMBERS_PROTOCOL at the first record that was not signed by its member
   */
  take(updates: readonly MemberUpdate[]): number {
    let changes = 0;
    for (const heard of updates) {
      if (!this.table.isNews(heard)) continue;
      const update = this.#authentic(heard);
      const outcome = this.table.apply(update, this.#deps.clock.nowMs());
      if (outcome === 'refute') this.#refute(update);
      if (outcome === 'changed') changes += 1;
    }
    return changes;
  }

  /** What is believed of a member, if it is not that it is well: told to the member itself, so that it can refute. */
  illNewsOf(peerId: PeerId): MemberUpdate[] {
    const entry = this.table.get(peerId);
    return entry === undefined || entry.state === 'alive' ? [] : [entry];
  }

  #authentic(update: MemberUpdate): MemberUpdate {
    const known = this.table.get(update.signed.member.peerId);
    if (known !== undefined && Buffer.compare(known.signed.body, update.signed.body) === 0) {
      return { signed: known.signed, state: update.state };
    }
    if (isAuthentic(update.signed)) return update;
    const peer = update.signed.member.peerId;
    throw swarmError('ERR_MEMBERS_PROTOCOL', 'a peer sent a record that its member did not sign', {
      details: { member: peer },
    });
  }

  #refute(update: MemberUpdate): void {
    if (this.#self.left) return;
    const nowMs = this.#deps.clock.nowMs();
    this.#refutedAtMs = [...this.#refutedAtMs.filter((atMs) => nowMs - atMs < 60_000), nowMs];
    if (this.#refutedAtMs.length === MAX_REFUTATIONS_PER_MINUTE) {
      this.#deps.log.warn(
        { peer: this.peerId },
        'refuting again and again: another node may have the identity of this one',
      );
    }
    this.#deps.log.debug(
      { heard: update.state, incarnation: update.signed.record.incarnation },
      'refuting ill news of this node',
    );
    this.#say(this.#self, Math.max(update.signed.record.incarnation, this.#self.incarnation) + 1);
  }

  #say(record: MemberRecord, incarnation: number): void {
    this.#self = { ...record, incarnation };
    this.table.setSelf(signRecord(this.#deps.identity, this.#self), this.#deps.clock.nowMs());
  }
}
