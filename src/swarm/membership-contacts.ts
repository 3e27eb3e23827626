/**
 * Contact with members beyond the probes: comparison of tables, news, farewells, and the way back into a swarm that this
 * node has lost: bootstrap addresses and members thought dead are tried again and again.
 */
import type { Logger } from 'pino';
import { TimeLimit } from '../oci/time-limit.ts';
import type { Bootstrap } from './bootstrap.ts';
import type { PeerId } from './member.ts';
import { isLive } from './members-update.ts';
import type { MemberEntry, MemberTable } from './members.ts';
import type { MembershipConfig } from './membership-config.ts';
import { targetOf, type ExchangeTarget, type MembersExchange } from './membership-exchange.ts';
import { formatSocketAddress } from './socket-address.ts';
import type { TaskSet } from './task-set.ts';

/** A comparison that changed more rows than this is followed by another at once: a partition has healed. */
const LARGE_SYNC_CHANGES = 32;

/** Comparisons that run at once: each may bring the whole table. */
const MAX_SYNCS = 8;

export interface MembershipContactsDeps {
  readonly table: MemberTable;
  readonly exchange: MembersExchange;
  readonly bootstrap: Bootstrap;
  readonly connected: () => readonly PeerId[];
  /** Asks the local network who is there, if that is wanted at all; what answers is told to the host's listeners. */
  readonly searchNearby: () => Promise<void>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Where the work in the background is kept. */
  readonly tasks: TaskSet;
  /** Ends all but farewells. */
  readonly ending: AbortSignal;
}

export class MembershipContacts {
  readonly #deps: MembershipContactsDeps;
  readonly #config: MembershipConfig;
  readonly #syncing = new Set<PeerId>();
  #nextSyncMs: number;
  #nextReconnectMs = 0;
  #isolatedRetryMs: number;
  #isDialling = false;

  constructor(deps: MembershipContactsDeps, config: MembershipConfig, nowMs: number) {
    this.#deps = deps;
    this.#config = config;
    this.#nextSyncMs = nowMs + config.syncIntervalMs;
    this.#isolatedRetryMs = config.isolatedRetryMs;
  }

  /** Does what is due. */
  tick(nowMs: number): void {
    if (nowMs >= this.#nextSyncMs) this.#syncWithSomeone(nowMs);
    if (nowMs >= this.#nextReconnectMs) this.#reconnect(nowMs);
  }

  /** The clock was set back: what is due would wait as long. */
  resetTimes(nowMs: number): void {
    this.#nextSyncMs = nowMs;
    this.#nextReconnectMs = nowMs;
  }

  /** Passes news on to some connected members, if there is any. */
  gossip(): void {
    const { table } = this.#deps;
    if (!table.hasRumours()) return;
    const connected = this.#connectedEntries();
    for (let told = 0; told < this.#config.gossipFanout && connected.length > 0; told += 1) {
      const [entry] = connected.splice(Math.floor(this.#deps.random() * connected.length), 1);
      if (entry !== undefined) this.#tellNews(targetOf(entry));
    }
  }

  /** Compares tables with a peer, in the background. */
  sync(target: ExchangeTarget): void {
    if (this.#syncing.has(target.peerId) || this.#syncing.size >= MAX_SYNCS || this.#deps.ending.aborted) return;
    this.#syncing.add(target.peerId);
    const limit = new TimeLimit(this.#config.syncTimeoutMs, this.#deps.ending);
    const compared = this.#deps.exchange.sync(target, { signal: limit.signal }).then(
      (changes) => {
        if (changes > LARGE_SYNC_CHANGES) this.#nextSyncMs = 0;
      },
      (error: unknown) => this.#logFailure(target, error, 'sync'),
    );
    const over = (): void => {
      limit[Symbol.dispose]();
      this.#syncing.delete(target.peerId);
    };
    this.#deps.tasks.run(compared.finally(over));
  }

  /** Tells some members at once what this node says of itself: that it leaves. The connected first. */
  async sayFarewell(): Promise<void> {
    const signal = AbortSignal.timeout(this.#config.farewellTimeoutMs);
    const told = new Set([...this.#connectedEntries(), ...this.#deps.table.pickLive(this.#config.farewells)]);
    const farewells = [...told].slice(0, this.#config.farewells).map(async (entry) => {
      const target = targetOf(entry);
      await this.#deps.exchange
        .probe(target, { signal })
        .catch((error: unknown) => this.#logFailure(target, error, 'farewell'));
    });
    await Promise.all(farewells);
  }

  #connectedEntries(): MemberEntry[] {
    return this.#deps.connected().flatMap((peerId) => {
      const entry = this.#deps.table.get(peerId);
      return entry?.state === 'alive' ? [entry] : [];
    });
  }

  #tellNews(target: ExchangeTarget): void {
    const limit = new TimeLimit(this.#config.probeTimeoutMs, this.#deps.ending);
    const told = this.#deps.exchange.probe(target, { signal: limit.signal });
    const noted = told.catch((error: unknown) => this.#logFailure(target, error, 'news'));
    this.#deps.tasks.run(noted.finally(() => limit[Symbol.dispose]()));
  }

  #syncWithSomeone(nowMs: number): void {
    this.#nextSyncMs = nowMs + this.#config.syncIntervalMs * (0.5 + this.#deps.random());
    const [entry] = this.#deps.table.pickLive(1);
    if (entry !== undefined) this.sync(targetOf(entry));
  }

  #reconnect(nowMs: number): void {
    const { table } = this.#deps;
    const isolated = table.liveCount <= 1;
    if (!isolated) this.#isolatedRetryMs = this.#config.isolatedRetryMs;
    const waitMs = isolated ? this.#isolatedRetryMs : this.#config.reconnectIntervalMs;
    this.#isolatedRetryMs = Math.min(this.#isolatedRetryMs * 2, this.#config.reconnectIntervalMs);
    this.#nextReconnectMs = nowMs + waitMs * (0.75 + this.#deps.random() / 2);
    const live = [...table.entries()].filter(isLive);
    const covered = new Set(live.flatMap((entry) => entry.signed.record.swarmAddresses.map(formatSocketAddress)));
    this.#dialBootstrap(covered);
    if (isolated) this.#syncWithStrangers();
    // All members of a swarm together ask the local network as often as a single node does.
    if (this.#deps.random() * table.liveCount < 1) this.#deps.tasks.run(this.#deps.searchNearby());
    const dead = table.pickDead();
    if (dead !== undefined) this.#tellNews(targetOf(dead));
  }

  /** One round at a time: to dial again what does not answer yet makes a busy node busier. */
  #dialBootstrap(covered: ReadonlySet<string>): void {
    if (this.#isDialling) return;
    this.#isDialling = true;
    const dialled = this.#deps.bootstrap.connect(covered, { signal: this.#deps.ending });
    this.#deps.tasks.run(dialled.finally(() => (this.#isDialling = false)));
  }

  /**
   * Tables are compared with whoever is dialled when the connection opens. Where that failed, the connection may stand all the same, and
   * dialling its address again opens no other: without this a node would stay alone beside an open door.
   */
  #syncWithStrangers(): void {
    const strangers = this.#deps.connected().filter((peerId) => this.#deps.table.get(peerId) === undefined);
    for (const peerId of strangers.slice(0, MAX_SYNCS)) this.sync({ peerId, addresses: [] });
  }

  #logFailure(target: ExchangeTarget, error: unknown, what: string): void {
    if (this.#deps.ending.aborted) return;
    this.#deps.log.debug({ peer: target.peerId, what, err: error }, 'membership exchange failed');
  }
}
