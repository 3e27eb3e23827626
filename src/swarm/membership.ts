/**
 * Who is in the swarm: probes, news and comparison of tables over libp2p, by the rules of `members.ts`.
 *
 * Every second one member is probed, unless it was just heard over a data link. If it does not answer within a second,
 * others are asked to probe it; if they get no answer either it is suspect, and dead if it has not refuted within some
 * seconds. News goes along with every exchange, and for itself to connected members. Connections are bounded: in a large
 * swarm those not used for longest are closed.
 */
import type { Logger } from 'pino';
import type { Counter, Registry } from 'prom-client';
import type { Bootstrap } from './bootstrap.ts';
import type { Clock } from './clock.ts';
import type { Identity } from './identity.ts';
import { LiveDirectory } from './live-directory.ts';
import type { Libp2pHost } from './libp2p-host.ts';
import type { Member, MemberDirectory, PeerId } from './member.ts';
import type { MemberEntry } from './members.ts';
import type { MembershipConfig } from './membership-config.ts';
import { MembershipContacts } from './membership-contacts.ts';
import { MembersExchange, targetOf } from './membership-exchange.ts';
import { MEMBERS_PROTOCOL } from './membership-messages.ts';
import { declareMembershipMetrics } from './membership-metrics.ts';
import { MembershipState, type SelfDescription } from './membership-state.ts';
import { probeMember, type ProbeOutcome } from './membership-probe.ts';
import { ConnectionTrimmer } from './connection-trimmer.ts';
import { TaskSet } from './task-set.ts';

/** Timers that fire later than this say that the process stood still: what others did meanwhile was not heard. */
const STALL_MS = 500;

export interface MembershipDeps {
  readonly identity: Identity;
  readonly host: Libp2pHost;
  readonly bootstrap: Bootstrap;
  readonly clock: Clock;
  /** When the data plane last heard from a member, by `clock`; undefined when there is no link with it. */
  readonly heardAtMs: (peerId: PeerId) => number | undefined;
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
  readonly #contacts: MembershipContacts;
  readonly #trimmer: ConnectionTrimmer;
  readonly #probes: Counter<'outcome'>;
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  readonly #early = new Set<PeerId>();
  readonly #directory: LiveDirectory;
  #timers: NodeJS.Timeout[] = [];
  #lastTickMs: number;
  #closing: Promise<void> | undefined;

  private constructor(deps: MembershipDeps, self: SelfDescription, config: MembershipConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#state = new MembershipState(deps, self, config.table);
    this.#trimmer = new ConnectionTrimmer(deps.host, deps.clock, config.softMaxConnections);
    const onHeard = (peerId: PeerId, changes: number): void => {
      this.#trimmer.used(peerId);
      if (changes > 0) this.#directory.changed();
    };
    this.#exchange = new MembersExchange({ state: this.#state, host: deps.host, log: deps.log, onHeard }, config);
    this.#lastTickMs = deps.clock.nowMs();
    this.#contacts = new MembershipContacts(
      {
        ...deps,
        table: this.#state.table,
        exchange: this.#exchange,
        connected: () => deps.host.connectedPeers(),
        searchNearby: async () => await deps.host.searchNearby(),
        tasks: this.#tasks,
        ending: this.#ending.signal,
      },
      config,
      this.#lastTickMs,
    );
    this.#directory = new LiveDirectory(this.#state.table);
    this.#probes = declareMembershipMetrics(deps.metrics, this.#state.table, deps.host);
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

  alive(): readonly Member[] {
    return this.#directory.alive();
  }

  get(peerId: PeerId): Member | undefined {
    return this.#directory.get(peerId);
  }

  /** All rows of the table, the gone included, for an operator. */
  entries(): MemberEntry[] {
    return [...this.#state.table.entries()];
  }

  reportUnreachable(peerId: PeerId): void {
    const entry = this.#state.table.get(peerId);
    if (entry === undefined || peerId === this.#state.peerId) return;
    this.#directory.hold(peerId, this.#deps.clock.nowMs() + this.#config.reportHoldMs);
    this.#probeEarly(entry);
  }

  /** Calls `listener` after `alive()` may have changed. Returns what ends it. */
  onChange(listener: () => void): () => void {
    return this.#directory.onChange(listener);
  }

  /** Changes what this node says of itself: where its data plane listens, say. */
  describe(self: Partial<SelfDescription>): void {
    this.#state.describe(self);
    this.#directory.changed();
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
      if (direction === 'outbound' && this.get(peerId) === undefined) this.#contacts.sync({ peerId, addresses: [] });
    });
    host.onDisconnect((peerId) => this.#onDisconnect(peerId));
    host.onDiscover((peerId, addresses) => {
      if (this.#state.table.get(peerId) === undefined && addresses.length > 0)
        this.#contacts.sync({ peerId, addresses });
    });
    this.#timers = [
      setInterval(() => this.#tick(), this.#config.probeIntervalMs),
      setInterval(() => this.#contacts.gossip(), this.#config.gossipIntervalMs),
    ];
    this.#contacts.tick(this.#lastTickMs);
  }

  #tick(): void {
    const nowMs = this.#deps.clock.nowMs();
    const lateMs = nowMs - this.#lastTickMs - this.#config.probeIntervalMs;
    this.#lastTickMs = nowMs;
    if (Math.abs(lateMs) > STALL_MS) this.#adjust(lateMs, nowMs);
    this.#directory.release(nowMs);
    if (this.#state.table.expire(nowMs)) this.#directory.changed();
    const target = this.#state.table.nextToProbe();
    if (target !== undefined && this.#wasHeard(target, nowMs)) this.#probes.inc({ outcome: 'heard' });
    else if (target !== undefined) this.#tasks.run(this.#probe(target));
    this.#contacts.tick(nowMs);
    this.#tasks.run(this.#trimmer.trim({ signal: this.#ending.signal }));
  }

  /** A member that is suspected is probed all the same: that is how it hears of the suspicion. */
  #wasHeard(entry: MemberEntry, nowMs: number): boolean {
    const heardAtMs = this.#deps.heardAtMs(targetOf(entry).peerId) ?? -Infinity;
    return entry.state === 'alive' && nowMs - heardAtMs < this.#config.probeIntervalMs;
  }

  /** The process stood still, or the clock was set: what is measured from before counts from now. */
  #adjust(byMs: number, nowMs: number): void {
    this.#state.table.postpone(byMs);
    if (byMs > 0) return;
    this.#directory.release(Infinity);
    this.#contacts.resetTimes(nowMs);
  }

  async #probe(entry: MemberEntry): Promise<void> {
    const target = targetOf(entry);
    const startedMs = this.#deps.clock.nowMs();
    const helpers = this.#state.table.pickLive(this.#config.helpers, new Set([target.peerId])).map(targetOf);
    const { probeTimeoutMs } = this.#config;
    const heard = await probeMember(
      { exchange: this.#exchange, log: this.#deps.log },
      target,
      helpers,
      probeTimeoutMs,
      this.#ending.signal,
    );
    if (this.#ending.signal.aborted) return;
    const tookMs = this.#deps.clock.nowMs() - startedMs;
    const outcome: ProbeOutcome | 'stalled' =
      heard === 'failed' && tookMs > 2 * probeTimeoutMs + STALL_MS ? 'stalled' : heard;
    this.#probes.inc({ outcome });
    if (outcome === 'direct') return;
    // Whatever is left of the connection is not trusted: the next probe dials anew.
    this.#deps.host.disconnect(target.peerId, 'no answer to a probe');
    if (outcome !== 'failed' || !this.#state.table.suspect(target.peerId, this.#deps.clock.nowMs())) return;
    this.#deps.log.debug({ peer: target.peerId }, 'member suspected');
    this.#directory.changed();
  }

  /** Out of turn. Bounded: what is beyond has its turn in the round. */
  #probeEarly(entry: MemberEntry): void {
    const { peerId } = targetOf(entry);
    if (this.#early.has(peerId) || this.#early.size >= this.#config.maxEarlyProbes || this.#ending.signal.aborted)
      return;
    this.#early.add(peerId);
    this.#tasks.run(this.#probe(entry).finally(() => this.#early.delete(peerId)));
  }

  #onDisconnect(peerId: PeerId): void {
    const { table } = this.#state;
    const entry = table.get(peerId);
    // In a large swarm connections close all the time, because both sides bound them.
    if (entry?.state === 'alive' && table.liveCount <= this.#config.softMaxConnections) this.#probeEarly(entry);
  }

  async #stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#state.leave();
    await this.#contacts.sayFarewell();
    this.#ending.abort();
    await this.#deps.host.unhandle(MEMBERS_PROTOCOL);
    await this.#tasks.settled();
  }
}
