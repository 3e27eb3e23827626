/**
 * The member table together with this node's own record: checks signatures of what arrives, and answers ill news of
 * itself with a record of a higher incarnation.
 */
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { swarmError } from './errors.ts';
import type { Identity } from './identity.ts';
import type { PeerId } from './member.ts';
import { isAuthentic, signRecord, type MemberRecord, type SignedRecord } from './members-record.ts';
import type { MemberUpdate } from './members-update.ts';
import { MemberTable, type MemberTableConfig } from './members.ts';
import { formatSocketAddress } from './socket-address.ts';

/** More records within a minute that a node did not make itself: another has its identity. */
const MAX_FOREIGN_PER_MINUTE = 3;
/** A twin is answered no more often: two that take turns would keep the whole swarm busy with their news. */
const TWIN_ANSWER_MS = 5_000;
/** It is told again after this long, if it is still so. */
const TWIN_REPEAT_MS = 10 * 60_000;

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
  /** When records were answered that this node did not make though they are signed with its identity. */
  #foreignAtMs: number[] = [];
  #toldOfTwinAtMs = -Infinity;

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
    if (update.signed.record.incarnation > this.#self.incarnation && this.#isOfTwin(update.signed)) return;
    this.#deps.log.debug(
      { heard: update.state, incarnation: update.signed.record.incarnation },
      'refuting ill news of this node',
    );
    this.#say(this.#self, Math.max(update.signed.record.incarnation, this.#self.incarnation) + 1);
  }

  /**
   * Where the clock was set back, records from before a restart are newer than this node's own, a few at most. Those that answer its
   * answers again and again come from another process. Answers whether this one is left without an answer for now.
   */
  #isOfTwin({ record }: SignedRecord): boolean {
    const nowMs = this.#deps.clock.nowMs();
    this.#foreignAtMs = this.#foreignAtMs.filter((atMs) => nowMs - atMs < 60_000);
    const isTwin = this.#foreignAtMs.length >= MAX_FOREIGN_PER_MINUTE;
    if (isTwin) this.#tellOfTwin(record, nowMs);
    if (isTwin && nowMs - (this.#foreignAtMs.at(-1) ?? 0) < TWIN_ANSWER_MS) return true;
    this.#foreignAtMs.push(nowMs);
    return false;
  }

  #tellOfTwin(record: MemberRecord, nowMs: number): void {
    if (nowMs - this.#toldOfTwinAtMs < TWIN_REPEAT_MS) return;
    this.#toldOfTwinAtMs = nowMs;
    const addresses = record.swarmAddresses.map(formatSocketAddress);
    const err = swarmError('ERR_SWARM_IDENTITY_TWICE', `another node, at ${addresses.join(', ')}, has this identity`, {
      details: { peer: this.peerId },
    });
    this.#deps.log.error({ err, peer: this.peerId, addresses }, 'another node has the identity of this one');
  }

  #say(record: MemberRecord, incarnation: number): void {
    this.#self = { ...record, incarnation };
    this.table.setSelf(signRecord(this.#deps.identity, this.#self), this.#deps.clock.nowMs());
  }
}
