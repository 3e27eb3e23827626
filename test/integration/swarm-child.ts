/** A swarm node in a process of its own: tells on its output how many members it thinks alive. Ends on SIGTERM. */
import { parseSwarmKey } from '../../src/swarm/swarm-key.ts';
import { openNode } from './swarm-fixtures.ts';

const { key, ports } = JSON.parse(process.argv[2] ?? '{}') as { key: string; ports: number[] };
const node = await openNode(ports, { swarmKey: parseSwarmKey(Buffer.from(key), 'argument') });
// Before it tells that it is there: whoever hears that may end it at once.
process.once('SIGTERM', () => {
  clearInterval(teller);
  // Nothing ends the process but that nothing is left to do.
  void node.close();
});
process.stdout.write(`${JSON.stringify({ peerId: node.members.self.peerId, port: node.port })}\n`);
const teller = setInterval(
  () => process.stdout.write(`${JSON.stringify({ alive: node.members.alive().length })}\n`),
  100,
);
