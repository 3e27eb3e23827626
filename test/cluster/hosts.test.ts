/** Nodes on hosts of their own, with real links between them: what loopback cannot show. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, type TestContext } from 'vitest';
import { LabNode } from '../support/lab-node.ts';
import { NetworkLab } from '../support/network-lab.ts';
import { requirement } from '../skip-reasons.ts';

const hasLab = requirement(
  'network namespaces',
  await NetworkLab.isAvailable(),
  'run as root on Linux with iproute2 and curl',
);

const RATE = { rateBits: 1_000_000_000 };

type OnTestFinished = TestContext['onTestFinished'];

async function openLab(onTestFinished: OnTestFinished): Promise<{ lab: NetworkLab; folder: string; key: string }> {
  const lab = await NetworkLab.open();
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-hosts-'));
  onTestFinished(async () => {
    await lab.close();
    await rm(folder, { recursive: true, force: true });
  });
  const key = join(folder, 'swarm.key');
  await writeFile(key, `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  return { lab, folder, key };
}

// Each has hosts of its own, and mostly waits.
describe.skipIf(!hasLab).concurrent('hosts behind links of their own', () => {
  test('nodes of one local network find each other by multicast alone', async ({ onTestFinished }) => {
    const { lab, folder, key } = await openLab(onTestFinished);
    const nodes: LabNode[] = [];
    for (const name of ['a', 'b', 'c']) {
      const host = await lab.addHost(name, RATE);
      nodes.push(await LabNode.start(lab, host, join(folder, name), ['--swarm-key', key]));
    }
    for (const node of nodes) await node.untilMembers(3);
    expect(await nodes[2]?.memberCount()).toBe(3);
  });

  test('a host whose link is cut is missed, and is a member again when it is mended', async ({ onTestFinished }) => {
    const { lab, folder, key } = await openLab(onTestFinished);
    const nodes: LabNode[] = [];
    for (const name of ['a', 'b', 'c']) {
      const host = await lab.addHost(name, RATE);
      const bootstrap = nodes[0] === undefined ? [] : ['--bootstrap', `${nodes[0].host.address}:5002`];
      const args = ['--swarm-key', key, '--swarm-mdns=false', ...bootstrap];
      nodes.push(await LabNode.start(lab, host, join(folder, name), args));
    }
    const [a, b, c] = nodes;
    if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes were started');
    for (const node of nodes) await node.untilMembers(3);
    await lab.setLink(c.host, 'down');
    await a.untilMembers(2);
    await b.untilMembers(2);
    await c.untilMembers(1);
    await lab.setLink(c.host, 'up');
    for (const node of nodes) await node.untilMembers(3);
    expect(await c.memberCount()).toBe(3);
  });

  test('a layer crosses from host to host while the origin cannot be reached', async ({ onTestFinished }) => {
    const { lab, folder, key } = await openLab(onTestFinished);
    const blob = randomBytes(8 * 1024 * 1024);
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
    await writeFile(join(folder, 'blob'), blob);
    const originHost = await lab.addHost('origin', RATE);
    lab.start(originHost, process.execPath, ['-e', ORIGIN, join(folder, 'blob')], { stdio: 'ignore' });
    const nodes: LabNode[] = [];
    for (const name of ['a', 'b']) {
      const host = await lab.addHost(name, RATE);
      const args = ['--swarm-key', key, '--upstream', `test.example=http://${originHost.address}:8080`];
      nodes.push(await LabNode.start(lab, host, join(folder, name), args));
    }
    const [a, b] = nodes;
    if (a === undefined || b === undefined) throw new Error('two nodes were started');
    await a.untilMembers(2);
    const pull = async (node: LabNode): Promise<string> => {
      const url = `http://127.0.0.1:5000/v2/team/app/blobs/${digest}`;
      return await lab.exec(node.host, 'sh', ['-c', `curl -sSf --max-time 60 ${url} | sha256sum`]);
    };
    expect(await pull(a)).toContain(digest.slice(7));
    await lab.setLink(originHost, 'down');
    expect(await pull(b)).toContain(digest.slice(7));
    expect(await b.get('http://127.0.0.1:5001/metrics')).toMatch(
      /dockyard_received_bytes_total\{source="origin"\} (0|8388608)\n/,
    );
  });
});

/** A registry of one blob, for a host that has nothing but Node. */
const ORIGIN = `
const { createServer } = require('node:http');
const blob = require('node:fs').readFileSync(process.argv[1]);
createServer((request, response) => {
  if (!request.url.includes('/blobs/')) return response.writeHead(request.url === '/v2/' ? 200 : 404).end();
  const range = /bytes=(\\d+)-(\\d*)/.exec(request.headers.range ?? '');
  const start = range === null ? 0 : Number(range[1]);
  const end = range === null || range[2] === '' ? blob.length : Number(range[2]) + 1;
  const headers = { 'content-length': end - start, 'content-range': 'bytes ' + start + '-' + (end - 1) + '/' + blob.length };
  response.writeHead(range === null ? 200 : 206, headers).end(request.method === 'HEAD' ? undefined : blob.subarray(start, end));
}).listen(8080, '0.0.0.0');
`;
