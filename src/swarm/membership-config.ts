/** Times and bounds of the membership, named and with their defaults. */
import { HOST_LIMITS } from './host-limits.ts';
import { MEMBER_TABLE_DEFAULTS, type MemberTableConfig } from './members.ts';

export interface MembershipConfig {
  readonly table: MemberTableConfig;
  /** One member is probed every so often. */
  readonly probeIntervalMs: number;
  /** No answer for so long: others are asked to probe. After as long again, the member is suspect. */
  readonly probeTimeoutMs: number;
  /** How many others are asked. */
  readonly helpers: number;
  /** News is passed to connected members every so often, while there is any. */
  readonly gossipIntervalMs: number;
  /** How many connected members news is passed to at a time. */
  readonly gossipFanout: number;
  /** Statements in a probe and in its answer. */
  readonly maxRumoursPerMessage: number;
  /** The table is compared with that of a random member every so often. */
  readonly syncIntervalMs: number;
  /** A comparison of tables may take so long in all. */
  readonly syncTimeoutMs: number;
  /** A dead member and the bootstrap addresses are tried every so often, so that a partition heals. */
  readonly reconnectIntervalMs: number;
  /** While alone, the bootstrap addresses are tried again after so long, doubling up to `reconnectIntervalMs`. */
  readonly isolatedRetryMs: number;
  /** A member reported unreachable is left out of the living for so long at least. */
  readonly reportHoldMs: number;
  /** Probes out of turn that run at once; further ones wait for their turn in the round. */
  readonly maxEarlyProbes: number;
  /** Members told at leaving. */
  readonly farewells: number;
  /** All farewells together may take so long. */
  readonly farewellTimeoutMs: number;
  /** Beyond, the least recently used connections are closed. */
  readonly softMaxConnections: number;
}

export const MEMBERSHIP_DEFAULTS: MembershipConfig = {
  table: MEMBER_TABLE_DEFAULTS,
  probeIntervalMs: 1_000,
  probeTimeoutMs: 1_000,
  helpers: 3,
  gossipIntervalMs: 200,
  gossipFanout: 2,
  maxRumoursPerMessage: 24,
  syncIntervalMs: 15_000,
  syncTimeoutMs: 10_000,
  reconnectIntervalMs: 10_000,
  isolatedRetryMs: 250,
  reportHoldMs: 3_000,
  maxEarlyProbes: 8,
  farewells: 8,
  farewellTimeoutMs: 1_000,
  softMaxConnections: HOST_LIMITS.softMaxConnections,
};
