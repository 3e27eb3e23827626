/** Faults in the middle of a run: what is done to which node, and when. */
import type { Digest } from '../../src/oci/digest.ts';
import type { CrowdLab } from './crowd-lab.ts';
import { usageOf, type CrowdNode, type NodeUsage } from './crowd-node.ts';
import { until } from '../support/programs.ts';

/**
 * What is done to one node when half of all bytes have come over the links. Not when clients have half: they are given bytes in
 * order, and most of a blob may be held by then.
 */
export type CrowdFault = 'kill-home' | 'stop-holder';

/** Whom it is done to, and what tells that it is time. */
export interface StruckCrowd {
  readonly lab: CrowdLab;
  readonly pullers: readonly CrowdNode[];
  /** Half of what all of them together will get. */
  readonly halfBytes: number;
}

/** What was done. */
export interface Struck {
  readonly victim: CrowdNode;
  readonly fault: CrowdFault;
  readonly atMs: number;
  /** Of the victim, under its name, since it cannot be asked afterwards. */
  readonly lastUsage: Readonly<Record<string, NodeUsage>>;
}

/** Nothing that is measured takes so long; what does hangs. */
const HALF_TIMEOUT_MS = 300_000;
const POLL_MS = 50;

/** Kills or stops a node at half. To be called before the first client begins. @param digest what is pulled: whose home is meant */
export async function strikeAtHalf(crowd: StruckCrowd, fault: CrowdFault, digest: Digest): Promise<Struck> {
  const { lab, pullers, halfBytes } = crowd;
  const hosts = pullers.map(({ host }) => host);
  const before = await lab.net.deliveredBytes(hosts);
  const home = await lab.homeOf(digest);
  await until(
    'half of all has come over the links',
    async () => (await lab.net.deliveredBytes(hosts)) - before >= halfBytes,
    HALF_TIMEOUT_MS,
    POLL_MS,
  );
  const victim = fault === 'kill-home' ? home : await busiestBut(lab, home);
  const lastUsage = await usageOf([victim]);
  const atMs = performance.now();
  victim.child.kill(fault === 'kill-home' ? 'SIGKILL' : 'SIGSTOP');
  return { victim, fault, atMs, lastUsage };
}

/** Of all nodes but the home, the one that gave most to others: whose loss is felt most. */
async function busiestBut(lab: CrowdLab, home: CrowdNode): Promise<CrowdNode> {
  const others = lab.nodes.filter((node) => node !== home);
  const given = await Promise.all(others.map(async (node) => ({ node, ...(await node.bytes()) })));
  const [busiest] = given.toSorted((a, b) => b.toPeers - a.toPeers);
  if (busiest === undefined) throw new TypeError('there is no holder beside the home');
  return busiest.node;
}
