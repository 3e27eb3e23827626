/** What the membership counts. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Libp2pHost } from './libp2p-host.ts';
import { MEMBER_STATES } from './members-update.ts';
import type { MemberTable } from './members.ts';

/** Declares the gauges, which read the table and the host, and returns the counter of probes. */
export function declareMembershipMetrics(
  metrics: Registry,
  table: MemberTable,
  host: Pick<Libp2pHost, 'stats'>,
): Counter<'outcome'> {
  const registers = [metrics];
  new Gauge({
    name: 'dockyard_swarm_members',
    help: 'Members of the swarm as this node believes, itself included, by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const counts = table.counts();
      for (const each of MEMBER_STATES) this.set({ state: each }, counts[each]);
    },
  });
  new Gauge({
    name: 'dockyard_swarm_connections',
    help: 'Open libp2p connections to other members.',
    registers,
    collect() {
      this.set(host.stats().connections);
    },
  });
  return new Counter({
    name: 'dockyard_swarm_probes_total',
    help: 'Probes of members: not needed because a data link brought a sign of life, answered directly, through another member, not at all, or void because this process stood still.',
    labelNames: ['outcome'],
    registers,
  });
}
