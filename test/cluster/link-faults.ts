/** What goes wrong with the links of a lab beyond a cut and a low rate: packets that are lost, and hosts that do not reach each other. */
import { run } from '../support/programs.ts';
import type { LabHost, NetworkLab } from '../support/network-lab.ts';

const LARGE = ['-m', 'length', '--length', '1000:65535'];

/**
 * True when packets can be dropped at random here. Not every kernel has netem; this takes the statistic match of iptables, which
 * is in more of them.
 */
export async function canDropPackets(): Promise<boolean> {
  return await canDrop(matchShare(0.5));
}

/** True when packets can be dropped by their length here. */
export async function canDropLargePackets(): Promise<boolean> {
  return await canDrop(LARGE);
}

async function canDrop(match: readonly string[]): Promise<boolean> {
  const namespace = `dkloss${process.pid}`;
  const inside = async (...args: string[]): Promise<boolean> =>
    (await run('ip', ['netns', 'exec', namespace, 'iptables', ...args])).exitCode === 0;
  try {
    if ((await run('ip', ['netns', 'add', namespace])).exitCode !== 0) return false;
    return await inside('-A', 'INPUT', ...match, '-j', 'DROP');
  } finally {
    await run('ip', ['netns', 'del', namespace]);
  }
}

/** Has a host lose this share of what comes in by its link, at random. */
export async function losePackets(lab: NetworkLab, host: LabHost, share: number): Promise<void> {
  await lab.exec(host, 'iptables', ['-w', '-A', 'INPUT', '-i', host.device, ...matchShare(share), '-j', 'DROP']);
}

/**
 * Has a host lose without a word all packets beyond a length, as behind a tunnel whose MTU nobody knows: connections
 * come about, and small messages pass.
 */
export async function dropLargePackets(lab: NetworkLab, host: LabHost): Promise<void> {
  await lab.exec(host, 'iptables', ['-w', '-A', 'INPUT', '-i', host.device, ...LARGE, '-j', 'DROP']);
}

/** Parts hosts: nobody of one group reaches anybody of another. */
export async function partition(lab: NetworkLab, groups: readonly (readonly LabHost[])[]): Promise<void> {
  const drops = groups.flatMap((group) =>
    group.map(async (host) => {
      const others = groups.filter((other) => other !== group).flat();
      const sources = others.map(({ address }) => address).join(',');
      await lab.exec(host, 'iptables', ['-w', '-A', 'INPUT', '-s', sources, '-j', 'DROP']);
    }),
  );
  await Promise.all(drops);
}

/** Takes all of it back. */
export async function mendLinks(lab: NetworkLab, hosts: readonly LabHost[]): Promise<void> {
  await Promise.all(hosts.map(async (host) => await lab.exec(host, 'iptables', ['-w', '-F', 'INPUT'])));
}

function matchShare(share: number): string[] {
  return ['-m', 'statistic', '--mode', 'random', '--probability', `${share}`];
}
