/**
 * The table of members: what this node believes of everyone in the swarm. Pure: no I/O, no clock, no signatures.
 *
 * After SWIM. Of two statements about a member the one with the higher incarnation wins, and within one incarnation
 * left > dead > suspect > alive; so tables that have heard the same, in any order and any number of times, agree. Only a
 * member raises its own incarnation: that is how it refutes a false suspicion. News is told a number of times that grows
 * with the logarithm of the swarm, the least told first. The gone are remembered for a while, so that late news does not
 * bring them back, and then forgotten; of the gone nothing is learned that was not known before.
 * @see Das, Gupta and Motivala, "SWIM", DSN 2002; Dadgar et al., "Lifeguard", 2017
 */
import type { PeerId } from './member.ts';
import { recordPeerId, type SignedRecord } from './members-record.ts';
import { FingerprintTable } from './members-fingerprint.ts';
import { MemberOrder } from './members-order.ts';
import { compareUpdates, isLive, type MemberState, type MemberUpdate } from './members-update.ts';

/** A row of the table. */
export interface MemberEntry extends MemberUpdate {
  /** When the state was last changed here. */
  readonly changedAtMs: number;
}

/** What became of a statement. `refute`: it speaks ill of this node, which is to answer with a higher incarnation. */
export type ApplyOutcome = 'changed' | 'unchanged' | 'refute';

export interface MemberTableConfig {
  /** How long a suspect has to refute; multiplied for swarms of more than 100, where news takes longer. */
  readonly suspicionMs: number;
  /** How long the dead and the left are remembered. */
  readonly retentionMs: number;
  /** News waiting to be told; beyond, the oldest is dropped, and comparison of tables makes up for it. */
  readonly maxRumours: number;
  /** Rows kept, the gone included; what is said of further members is ignored. About 1 KiB each. */
  readonly maxMembers: number;
}

export const MEMBER_TABLE_DEFAULTS: MemberTableConfig = {
  suspicionMs: 4_000,
  retentionMs: 600_000,
  maxRumours: 512,
  maxMembers: 20_000,
};

/** Tellings of each piece of news: this, times the binary logarithm of the number of members. */
const RUMOUR_FACTOR = 3;

/** The table of one node. Rows change only here. */
export class MemberTable {
  readonly #config: MemberTableConfig;
  readonly #random: () => number;
  readonly #entries = new Map<PeerId, MemberEntry>();
  readonly #suspects = new Set<PeerId>();
  readonly #gone = new Set<PeerId>();
  /** How often each piece of news was told. */
  readonly #tellings = new Map<PeerId, number>();
  readonly #fingerprints = new FingerprintTable();
  readonly #order: MemberOrder;
  #self: SignedRecord;
  #version = 0;

  /** @param random uniform in [0, 1) */
  constructor(self: SignedRecord, random: () => number, config: MemberTableConfig = MEMBER_TABLE_DEFAULTS) {
    this.#self = self;
    this.#random = random;
    this.#order = new MemberOrder(random);
    this.#config = config;
    this.#put({ signed: self, state: 'alive', changedAtMs: 0 });
  }

  /** Changes whenever any row does. */
  get version(): number {
    return this.#version;
  }

  get self(): SignedRecord {
    return this.#self;
  }

  /** Members thought alive or merely suspected, this node included. */
  get liveCount(): number {
    return this.#entries.size - this.#gone.size;
  }

  get(peerId: PeerId): MemberEntry | undefined {
    return this.#entries.get(peerId);
  }

  entries(): IterableIterator<MemberEntry> {
    return this.#entries.values();
  }

  /** Rows by state. */
  counts(): Record<MemberState, number> {
    const counts = {
      alive: this.#entries.size - this.#suspects.size - this.#gone.size,
      suspect: this.#suspects.size,
      dead: 0,
      left: 0,
    };
    for (const peerId of this.#gone) counts[this.#entries.get(peerId)?.state === 'left' ? 'left' : 'dead'] += 1;
    return counts;
  }

  /** Replaces what this node says of itself, and tells it on. */
  setSelf(signed: SignedRecord, nowMs: number): void {
    this.#self = signed;
    this.#put({ signed, state: signed.record.left ? 'left' : 'alive', changedAtMs: nowMs });
    this.#news(recordPeerId(signed));
  }

  /** True when the statement would change the table or call for a refutation: worth checking its signature. */
  isNews(update: MemberUpdate): boolean {
    const known = this.#entries.get(recordPeerId(update.signed));
    if (known === undefined) return isLive(update) && this.#entries.size < this.#config.maxMembers;
    return compareUpdates(known, update) < 0;
  }

  /** Takes in a statement whose record is authentic. */
  apply(update: MemberUpdate, nowMs: number): ApplyOutcome {
    if (!this.isNews(update)) return 'unchanged';
    const peerId = recordPeerId(update.signed);
    if (peerId === recordPeerId(this.#self)) return 'refute';
    this.#put({ signed: update.signed, state: update.state, changedAtMs: nowMs });
    this.#news(peerId);
    return 'changed';
  }

  /** This node itself found the member unreachable. False when that is no news. */
  suspect(peerId: PeerId, nowMs: number): boolean {
    const known = this.#entries.get(peerId);
    if (known?.state !== 'alive' || peerId === recordPeerId(this.#self)) return false;
    return this.apply({ signed: known.signed, state: 'suspect' }, nowMs) === 'changed';
  }

  /** Suspects whose time is over are dead; the gone whose time is over are forgotten. Returns whether anything changed. */
  expire(nowMs: number): boolean {
    const before = this.#version;
    const suspicionMs = this.suspicionMs();
    for (const peerId of [...this.#suspects]) {
      const entry = this.#entries.get(peerId);
      if (entry !== undefined && nowMs - entry.changedAtMs >= suspicionMs)
        this.apply({ signed: entry.signed, state: 'dead' }, nowMs);
    }
    for (const peerId of [...this.#gone]) {
      const entry = this.#entries.get(peerId);
      if (entry !== undefined && nowMs - entry.changedAtMs >= this.#config.retentionMs) this.#forget(peerId);
    }
    return this.#version !== before;
  }

  /** This node itself stood still for a time: suspects could not be heard, and get as much longer. */
  postpone(byMs: number): void {
    for (const peerId of this.#suspects) {
      const entry = this.#entries.get(peerId);
      if (entry !== undefined) this.#entries.set(peerId, { ...entry, changedAtMs: entry.changedAtMs + byMs });
    }
  }

  /** How long a suspect has to refute in a swarm of this size. */
  suspicionMs(): number {
    return this.#config.suspicionMs * Math.max(1, Math.log10(this.liveCount) / 2);
  }

  /** Whom to probe: every live member once per round, in an order shuffled for each. `undefined` when alone. */
  nextToProbe(): MemberEntry | undefined {
    return this.#entries.get(this.#order.next((peerId) => this.#isLiveOther(peerId)) ?? '');
  }

  /** Up to `count` live members, at random, without this node and those excluded. */
  pickLive(count: number, excluded: ReadonlySet<PeerId> = new Set()): MemberEntry[] {
    const drawn = this.#order.draw(count, (peerId) => this.#isLiveOther(peerId) && !excluded.has(peerId));
    return drawn.flatMap((peerId) => this.#entries.get(peerId) ?? []);
  }

  /** A dead member, at random: it may be behind a partition that has healed. */
  pickDead(): MemberEntry | undefined {
    const dead = [...this.#gone]
      .flatMap((peerId) => this.#entries.get(peerId) ?? [])
      .filter((entry) => entry.state === 'dead');
    return dead[Math.floor(this.#random() * dead.length)];
  }

  /** True while there is news to tell. */
  hasRumours(): boolean {
    return this.#tellings.size > 0;
  }

  /** News for one message, the least told first, counted as told. */
  takeRumours(maxCount: number): MemberUpdate[] {
    const limit = Math.ceil(RUMOUR_FACTOR * Math.log2(this.liveCount + 2));
    const waiting = [...this.#tellings].sort((a, b) => a[1] - b[1]).slice(0, maxCount);
    return waiting.flatMap(([peerId, told]) => {
      if (told + 1 >= limit) this.#tellings.delete(peerId);
      else this.#tellings.set(peerId, told + 1);
      return this.#entries.get(peerId) ?? [];
    });
  }

  /** Sums over the live members of each bucket, for comparing tables: see FingerprintTable. */
  fingerprints(): Uint8Array {
    return this.#fingerprints.toBytes();
  }

  /** All rows whose member falls into one of the buckets. */
  inBuckets(buckets: ReadonlySet<number>): MemberUpdate[] {
    return [...this.#entries.values()].filter((entry) => buckets.has(FingerprintTable.bucketOf(entry)));
  }

  #isLiveOther(peerId: PeerId): boolean {
    const entry = this.#entries.get(peerId);
    return entry !== undefined && isLive(entry) && peerId !== recordPeerId(this.#self);
  }

  #put(entry: MemberEntry): void {
    const peerId = recordPeerId(entry.signed);
    const before = this.#entries.get(peerId);
    if (before !== undefined) this.#fingerprints.toggle(before);
    else this.#order.add(peerId);
    this.#fingerprints.toggle(entry);
    this.#entries.set(peerId, entry);
    this.#suspects.delete(peerId);
    this.#gone.delete(peerId);
    if (entry.state === 'suspect') this.#suspects.add(peerId);
    if (entry.state === 'dead' || entry.state === 'left') this.#gone.add(peerId);
    this.#version += 1;
  }

  #forget(peerId: PeerId): void {
    this.#entries.delete(peerId);
    this.#gone.delete(peerId);
    this.#order.remove(peerId);
    this.#tellings.delete(peerId);
    this.#version += 1;
  }

  #news(peerId: PeerId): void {
    // Put last, so that the first is the oldest news, which is dropped when there is too much.
    this.#tellings.delete(peerId);
    this.#tellings.set(peerId, 0);
    if (this.#tellings.size <= this.#config.maxRumours) return;
    const oldest = this.#tellings.keys().next().value;
    if (oldest !== undefined) this.#tellings.delete(oldest);
  }
}
