/**
 * Members of a swarm that come and go, in a process of their own: they take part in the membership and answer on the data plane,
 * and hold nothing. A line on the output tells that a round of them has joined; `again` on the input has them leave in good order and
 * the next round join, its end has them leave for good. A signal ends them all without a word.
 */
import { createInterface } from 'node:readline';
import { MEMBERSHIP_DEFAULTS } from '../../src/swarm/membership-config.ts';
import { parseSwarmKey } from '../../src/swarm/swarm-key.ts';
import { openNode, until } from '../integration/swarm-fixtures.ts';
import { HostileNode } from './hostile-node.ts';

interface Orders {
  /** The text of a swarm key. */
  readonly key: string;
  /** Where members listen on loopback. */
  readonly ports: readonly number[];
  /** Visitors of one round. */
  readonly count: number;
}

const JOIN_TIMEOUT_MS = 60_000;
const JOINING_AT_ONCE = 5;

type Visitor = () => Promise<void>;

const orders = JSON.parse(process.argv[2] ?? '{}') as Orders;
const swarmKey = parseSwarmKey(Buffer.from(orders.key), 'argument');
const alone = { enrol: (): void => undefined, onClose: (): void => undefined };

/** Joins; answers how to leave. */
async function visit(): Promise<Visitor> {
  // It offers nothing, and so has no occasion to be hostile.
  const node = await HostileNode.open(alone, { memberKey: swarmKey.deriveKey('link') });
  const swarm = await openNode(orders.ports, {
    swarmKey,
    identity: node.identity,
    dataPort: node.network.port,
    membership: MEMBERSHIP_DEFAULTS,
  });
  await until('a visitor has joined', JOIN_TIMEOUT_MS, () => swarm.members.alive().length > 1);
  return async () => {
    await swarm.close();
    await node.close();
  };
}

/** Some at a time: they share one thread, and if all shook hands at once on a busy machine, none would be done within its time. */
async function visitTogether(): Promise<Visitor[]> {
  const visitors: Visitor[] = [];
  while (visitors.length < orders.count) {
    const count = Math.min(JOINING_AT_ONCE, orders.count - visitors.length);
    visitors.push(...(await Promise.all(Array.from({ length: count }, visit))));
  }
  process.stdout.write(`${JSON.stringify({ joined: visitors.length })}\n`);
  return visitors;
}

async function leaveTogether(visitors: readonly Visitor[]): Promise<void> {
  await Promise.all(visitors.map(async (leave) => await leave()));
}

let visitors = await visitTogether();
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'again') throw new Error(`there is no order '${line}'`);
  await leaveTogether(visitors);
  visitors = await visitTogether();
}
await leaveTogether(visitors);
