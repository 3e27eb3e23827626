/**
 * Who is in the swarm: probes, news and comparison of tables over libp2p, by the rules of `members.ts`.
 *
 * Every second one member is probed. If it does not answer within a second, others are asked to probe it; if they get no
 * answer either it is suspect, and dead if it has not refuted within some seconds. News goes along with every exchange,
 * and for itself to connected members. Connections are bounded: in a large swarm those not used for longest are closed.
 */
import type { Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Bootstrap } from './bootstrap.ts';
import type { Clock } from './clock.ts';
import type { Identity } from './identity.ts';
import type { Libp2pHost } from './libp2p-host.ts';
import type { Member, MemberDirectory, PeerId } from './member.ts';
import { recordPeerId } from './members-record.ts';
import { MEMBER_STATES } from './members-update.ts';
import type { MemberEntry } from './members.ts';
import type { MembershipConfig } from './membership-config.ts';
import { MembersExchange, type ExchangeTarget } from './membership-exchange.ts';
import { MEMBERS_PROTOCOL } from './membership-messages.ts';
import { MembershipState, type SelfDescription } from './membership-state.ts';
import { probeMember, type ProbeOutcome } from './membership-probe.ts';
import { ConnectionTrimmer } from './connection-trimmer.ts';
import { formatSocketAddress } from './socket-address.ts';
import { TaskSet } from './task-set.ts';

/** A comparison that changed more rows than this is followed by another at once: a partition has healed. */
const LARGE_SYNC_CHANGES = 32;

/** Timers that fire later than this say that the process stood still: what others did meanwhile was not heard. */
const STALL_MS = 500;

export interface MembershipDeps {
  readonly identity: Identity;
  readonly host: Libp2pHost;
  readonly bootstrap: Bootstrap;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** Whoever opens it closes it, before the host. */
export class Membership implements MemberDirectory, AsyncDisposable {
  readonly #deps: MembershipDeps;
  readonly #config: MembershipConfig;
  readonly #state: MembershipState;
  readonly #exchange: MembersExchange;
  readonly #trimmer: ConnectionTrimmer;
  readonly #probes: Counter<'outcome'>;
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  readonly #early = new Set<PeerId>();
  readonly #heldUntilMs = new Map<PeerId, number>();
  readonly #listeners = new Set<() => void>();
  #timers: NodeJS.Timeout[] = [];
  #alive: { version: number; members: readonly Member[] } | undefined;
  #lastTickMs: number;
  #nextSyncMs: number;
  #nextReconnectMs = 0;
  #isolatedRetryMs: number;
  #closing: Promise<void> | undefined;

  private constructor(deps: MembershipDeps, self: SelfDescription, config: MembershipConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#state = new MembershipState(deps, self, config.table);
    this.#trimmer = new ConnectionTrimmer(deps.host, deps.clock, config.softMaxConnections);
    const onHeard = (peerId: PeerId, changes: number): void => {
      this.#trimmer.used(peerId);
      if (changes > 0) this.#changed();
    };
    this.#exchange = new MembersExchange({ state: this.#state, host: deps.host, log: deps.log, onHeard }, config);
    this.#lastTickMs = deps.clock.nowMs();
    this.#nextSyncMs = this.#lastTickMs + config.syncIntervalMs;
    this.#isolatedRetryMs = config.isolatedRetryMs;
    this.#probes = declareMetrics(deps, this.#state);
  }

  /** Starts to take part. The first contact is made in the background: alone is a valid state. */
  static async open(deps: MembershipDeps, self: SelfDescription, config: MembershipConfig): Promise<Membership> {
    const membership = new Membership(deps, self, config);
    await membership.#start();
    return membership;
  }

  get self(): Member {
    return this.#state.table.self.member;
  }

  /** How often `alive()` may have changed: a number that grows. */
  alive(): readonly Member[] {
    const { table } = this.#state;
    if (this.#alive?.version === table.version) return this.#alive.members;
    const members: Member[] = [];
    for (const entry of table.entries()) {
      if ((entry.state === 'alive' || entry.state === 'suspect') && !this.#heldUntilMs.has(recordPeerId(entry.signed))) {
        members.push(entry.signed.member);
      }
    }
    this.#alive = { version: table.version, members };
    return members;
  }

  get(peerId: PeerId): Member | undefined {
    const entry = this.#state.table.get(peerId);
    return entry === undefined || entry.state === 'dead' || entry.state === 'left' ? undefined : entry.signed.member;
  }

  /** All rows of the table, the gone included, for an operator. */
  entries(): MemberEntry[] {
    return [...this.#state.table.entries()];
  }

  reportUnreachable(peerId: PeerId): void {
    const entry = this.#state.table.get(peerId);
    if (entry === undefined || peerId === this.#state.peerId) return;
    this.#heldUntilMs.set(peerId, this.#deps.clock.nowMs() + this.#config.reportHoldMs);
    this.#alive = undefined;
    this.#tell();
    this.#probeEarly(entry);
  }

  /** Calls `listener` after `alive()` may have changed. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Changes what this node says of itself: where its data plane listens, say. */
  describe(self: Partial<SelfDescription>): void {
    this.#state.describe(self);
    this.#changed();
  }

  /** Tells some members that this node leaves, and ends. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#stop();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    const { host } = this.#deps;
    await host.handle(MEMBERS_PROTOCOL, (stream, peerId) => {
      this.#tasks.run(this.#exchange.serve(stream, peerId, { signal: this.#ending.signal }));
    });
    host.onConnect((peerId, direction) => {
      this.#trimmer.used(peerId);
      if (direction === 'outbound' && this.get(peerId) === undefined) this.#syncWith({ peerId, addresses: [] });
    });
    host.onDisconnect((peerId) => this.#onDisconnect(peerId));
    host.onDiscover((peerId, addresses) => {
      if (this.#state.table.get(peerId) === undefined && addresses.length > 0) this.#syncWith({ peerId, addresses });
    });
    this.#timers = [
      setInterval(() => this.#tick(), this.#config.probeIntervalMs),
      setInterval(() => this.#gossip(), this.#config.gossipIntervalMs),
    ];
    this.#reconnect(this.#lastTickMs);
  }

  #tick(): void {
    const nowMs = this.#deps.clock.nowMs();
    const lateMs = nowMs - this.#lastTickMs - this.#config.probeIntervalMs;
    this.#lastTickMs = nowMs;
    if (lateMs > STALL_MS) this.#state.table.postpone(lateMs);
    for (const [peerId, untilMs] of this.#heldUntilMs) {
      if (nowMs < untilMs) continue;
      this.#heldUntilMs.delete(peerId);
      this.#alive = undefined;
    }
    if (this.#state.table.expire(nowMs) || this.#alive === undefined) this.#changed();
    const target = this.#state.table.nextToProbe();
    if (target !== undefined) this.#tasks.run(this.#probe(target));
    if (nowMs >= this.#nextSyncMs) this.#syncWithSomeone(nowMs);
    if (nowMs >= this.#nextReconnectMs) this.#reconnect(nowMs);
    this.#tasks.run(this.#trimmer.trim({ signal: this.#ending.signal }));
  }

  async #probe(entry: MemberEntry): Promise<void> {
    const target = targetOf(entry);
    const startedMs = this.#deps.clock.nowMs();
    const helpers = this.#state.table.pickLive(this.#config.helpers, new Set([target.peerId])).map(targetOf);
    const { probeTimeoutMs } = this.#config;
    const heard = await probeMember({ exchange: this.#exchange, log: this.#deps.log }, target, helpers, probeTimeoutMs, this.#ending.signal);
    if (this.#ending.signal.aborted) return;
    const tookMs = this.#deps.clock.nowMs() - startedMs;
    const outcome: ProbeOutcome | 'stalled' = heard === 'failed' && tookMs > 2 * probeTimeoutMs + STALL_MS ? 'stalled' : heard;
    this.#probes.inc({ outcome });
    if (outcome === 'direct') return;
    // Whatever is left of the connection is not trusted: the next probe dials anew.
    this.#deps.host.disconnect(target.peerId, 'no answer to a probe');
    if (outcome !== 'failed' || !this.#state.table.suspect(target.peerId, this.#deps.clock.nowMs())) return;
    this.#deps.log.debug({ peer: target.peerId }, 'member suspected');
    this.#changed();
  }

  /** Out of turn. Bounded: what is beyond has its turn in the round. */
  #probeEarly(entry: MemberEntry): void {
    const { peerId } = targetOf(entry);
    if (this.#early.has(peerId) || this.#early.size >= this.#config.maxEarlyProbes || this.#ending.signal.aborted) return;
    this.#early.add(peerId);
    this.#tasks.run(this.#probe(entry).finally(() => this.#early.delete(peerId)));
  }

  #onDisconnect(peerId: PeerId): void {
    const { table } = this.#state;
    const entry = table.get(peerId);
    // In a large swarm connections close all the time, because both sides bound them.
    if (entry?.state === 'alive' && table.liveCount <= this.#config.softMaxConnections) this.#probeEarly(entry);
  }

  #gossip(): void {
    const { table } = this.#state;
    if (!table.hasRumours()) return;
    const connected = this.#deps.host.connectedPeers().flatMap((peerId) => {
      const entry = table.get(peerId);
      return entry?.state === 'alive' ? [entry] : [];
    });
    for (let told = 0; told < this.#config.gossipFanout && connected.length > 0; told += 1) {
      const [entry] = connected.splice(Math.floor(this.#deps.random() * connected.length), 1);
      if (entry !== undefined) this.#tellNews(targetOf(entry));
    }
  }

  #tellNews(target: ExchangeTarget): void {
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(this.#config.probeTimeoutMs)]);
    this.#tasks.run(this.#exchange.probe(target, { signal }).catch((error: unknown) => this.#logFailure(target, error, 'gossip')));
  }

  #syncWithSomeone(nowMs: number): void {
    this.#nextSyncMs = nowMs + this.#config.syncIntervalMs * (0.5 + this.#deps.random());
    const [entry] = this.#state.table.pickLive(1);
    if (entry !== undefined) this.#syncWith(targetOf(entry));
  }

  #syncWith(target: ExchangeTarget): void {
    if (this.#early.has(target.peerId) || this.#early.size >= this.#config.maxEarlyProbes || this.#ending.signal.aborted) return;
    this.#early.add(target.peerId);
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(this.#config.syncTimeoutMs)]);
    const sync = this.#exchange.sync(target, { signal }).then(
      (changes) => {
        if (changes > LARGE_SYNC_CHANGES) this.#nextSyncMs = 0;
      },
      (error: unknown) => this.#logFailure(target, error, 'sync'),
    );
    this.#tasks.run(sync.finally(() => this.#early.delete(target.peerId)));
  }

  #reconnect(nowMs: number): void {
    const { table } = this.#state;
    const isolated = table.liveCount <= 1;
    if (!isolated) this.#isolatedRetryMs = this.#config.isolatedRetryMs;
    const waitMs = isolated ? this.#isolatedRetryMs : this.#config.reconnectIntervalMs;
    this.#isolatedRetryMs = Math.min(this.#isolatedRetryMs * 2, this.#config.reconnectIntervalMs);
    this.#nextReconnectMs = nowMs + waitMs * (0.75 + this.#deps.random() / 2);
    const covered = new Set<string>();
    for (const entry of table.entries()) {
      if (entry.state === 'dead' || entry.state === 'left') continue;
      for (const address of entry.signed.record.swarmAddresses) covered.add(formatSocketAddress(address));
    }
    this.#tasks.run(this.#deps.bootstrap.connect(covered, { signal: this.#ending.signal }));
    const dead = table.pickDead();
    if (dead !== undefined) this.#tellNews(targetOf(dead));
  }

  #logFailure(target: ExchangeTarget, error: unknown, what: string): void {
    if (!this.#ending.signal.aborted) this.#deps.log.debug({ peer: target.peerId, what, err: error }, 'membership exchange failed');
  }

  #changed(): void {
    this.#alive = undefined;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  async #stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#state.leave();
    await this.#sayFarewell();
    this.#ending.abort();
    await this.#deps.host.unhandle(MEMBERS_PROTOCOL);
    await this.#tasks.settled();
  }

  async #sayFarewell(): Promise<void> {
    const signal = AbortSignal.timeout(this.#config.farewellTimeoutMs);
    const all = this.#state.table.pickLive(Infinity);
    const connectedFirst = all.sort((a, b) => this.#connectedRank(a) - this.#connectedRank(b)).slice(0, this.#config.farewells);
    await Promise.all(
      connectedFirst.map(async (entry) => {
        await this.#exchange.probe(targetOf(entry), { signal }).catch((error: unknown) => this.#logFailure(targetOf(entry), error, 'farewell'));
      }),
    );
  }

  #connectedRank(entry: MemberEntry): number {
    return this.#deps.host.isConnected(recordPeerId(entry.signed)) ? 0 : 1;
  }
}

function targetOf(entry: MemberEntry): ExchangeTarget {
  return { peerId: recordPeerId(entry.signed), addresses: entry.signed.record.swarmAddresses };
}

function declareMetrics(deps: MembershipDeps, state: MembershipState): Counter<'outcome'> {
  const registers = [deps.metrics];
  new Gauge({
    name: 'dockyard_swarm_members',
    help: 'Members of the swarm as this node believes, itself included, by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const counts = state.table.counts();
      for (const each of MEMBER_STATES) this.set({ state: each }, counts[each]);
    },
  });
  new Gauge({
    name: 'dockyard_swarm_connections',
    help: 'Open libp2p connections to other members.',
    registers,
    collect() {
      this.set(deps.host.stats().connections);
    },
  });
  return new Counter({
    name: 'dockyard_swarm_probes_total',
    help: 'Probes of members: answered directly, through another member, not at all, or void because this process stood still.',
    labelNames: ['outcome'],
    registers,
  });
}
