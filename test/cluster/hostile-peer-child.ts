/**
 * Hostile peers in a process of their own, one for each way not to keep to the protocol: members of a real swarm. The first line
 * on the output tells who does what. Each line on the input is an offer, `{conduct, path, digest}`, or `{conduct}` alone; each is
 * answered by how many pieces were asked of that peer so far. Ends with its input.
 */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Digest } from '../../src/oci/digest.ts';
import { parseSwarmKey } from '../../src/swarm/swarm-key.ts';
import { openNode } from '../integration/swarm-fixtures.ts';
import {
  HostileNode,
  sendEndlessly,
  sendFlipped,
  sendHalf,
  sendNothing,
  sendTooMuch,
  type Conduct,
} from './hostile-node.ts';

const CONDUCTS: Readonly<Record<string, Conduct>> = {
  'wrong bytes': sendFlipped,
  'half of each piece': sendHalf,
  'each piece twice': sendTooMuch,
  'bytes without end': sendEndlessly,
  nothing: sendNothing,
};

interface Peer extends AsyncDisposable {
  readonly node: HostileNode;
  readonly conduct: Conduct;
}

async function join(conduct: Conduct, keyText: string, ports: readonly number[]): Promise<Peer> {
  const swarmKey = parseSwarmKey(Buffer.from(keyText), 'argument');
  const alone = { enrol: (): void => undefined, onClose: (): void => undefined };
  const node = await HostileNode.open(alone, { memberKey: swarmKey.deriveKey('link') });
  const swarm = await openNode(ports, { swarmKey, identity: node.identity, dataPort: node.network.port });
  const close = async (): Promise<void> => {
    await swarm.close();
    await node.close();
  };
  return { node, conduct, [Symbol.asyncDispose]: close };
}

const { key, ports } = JSON.parse(process.argv[2] ?? '{}') as { key: string; ports: number[] };
await using stack = new AsyncDisposableStack();
const peers = new Map<string, Peer>();
for (const [name, conduct] of Object.entries(CONDUCTS)) peers.set(name, stack.use(await join(conduct, key, ports)));
tell(Object.fromEntries([...peers].map(([name, { node }]) => [name, node.peerId])));

for await (const line of createInterface({ input: process.stdin })) {
  const { conduct, path, digest } = JSON.parse(line) as { conduct: string; path?: string; digest?: Digest };
  const peer = peers.get(conduct);
  if (peer !== undefined && path !== undefined && digest !== undefined)
    peer.node.offers.set(digest, { bytes: await readFile(path), conduct: peer.conduct });
  tell({ askedCount: peer?.node.askedCount });
}

function tell(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
