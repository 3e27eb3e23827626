/** Holders found through the DHT and through the real tracker process, with nodes and with a foreign client. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { HolderDiscovery, SocketAddress } from '../../src/swarm/member.ts';
import type { Swarm } from '../../src/swarm/swarm.ts';
import { TrackerDiscovery } from '../../src/swarm/tracker-discovery.ts';
import { announceToTracker, parseTrackerUrl } from '../../src/swarm/tracker-client.ts';
import { openNode, silent, until } from './swarm-fixtures.ts';

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface Found {
  readonly peerId?: string;
  readonly address?: SocketAddress;
}

async function findNow(discovery: HolderDiscovery, key: Uint8Array, timeoutMs: number): Promise<Found[]> {
  return await Array.fromAsync(discovery.find(key, { signal: AbortSignal.timeout(timeoutMs) }));
}

/** Finds until someone is found. @throws {Error} when the time is over before */
async function findSoon(discovery: HolderDiscovery, key: Uint8Array, timeoutMs = 5_000): Promise<Found[]> {
  const find = async (): Promise<Found[]> => {
    const found = await findNow(discovery, key, timeoutMs);
    if (found.length === 0) throw new Error(`${discovery.name} finds nobody`);
    return found;
  };
  return await vi.waitFor(find, { timeout: timeoutMs, interval: 50 });
}

async function startTracker(): Promise<{ port: number; child: ChildProcess }> {
  const script = new URL('../../node/main.ts', import.meta.url).pathname;
  const flags = ['tracker', '--listen', '127.0.0.1:0', '--log-level', 'warn'];
  const child = spawn(process.execPath, [script, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  closers.push(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line', {
    signal: AbortSignal.timeout(20_000),
  })) as [string];
  return { port: Number(/:(\d+)\/announce/.exec(line)?.[1]), child };
}

function discoveryOf(peerId: string, port: number, trackers: string[]): TrackerDiscovery {
  const self = { peerId, dataAddresses: [{ host: '127.0.0.1', port }], topology: '' };
  const deps = { members: { self }, clock: { nowMs: () => Date.now() }, log: silent, metrics: new Registry() };
  const discovery = new TrackerDiscovery(deps, { trackers });
  closers.push(async () => discovery.close());
  return discovery;
}

describe('the DHT', () => {
  test(
    'leads to who announced a key, with the address of its data plane, and to nobody for another key',
    { timeout: 30_000 },
    async () => {
      const nodes: Swarm[] = [await openNode([], { dht: true })];
      closers.push(async () => Promise.all(nodes.map((each) => each.close())));
      for (let count = 0; count < 4; count += 1)
        nodes.push(await openNode([nodes[0]?.port ?? 0], { dht: true, dataPort: 100 + count }));
      await until('all know the DHT', 10_000, () =>
        nodes.every((each) => each.members.alive().length === 5 && each.stats().dhtPeers > 0),
      );
      const [holder, seeker] = [nodes[2], nodes[4]];
      const key = randomBytes(32);
      await holder?.discoveries[0]?.announce(key);
      const found = seeker?.discoveries[0] === undefined ? [] : await findSoon(seeker.discoveries[0], key);
      expect(found).toEqual([{ peerId: holder?.members.self.peerId, address: holder?.members.self.dataAddresses[0] }]);
      const none = await Array.fromAsync(
        seeker?.discoveries[0]?.find(randomBytes(32), { signal: AbortSignal.timeout(5_000) }) ?? [],
      );
      expect(none).toEqual([]);
      const aborted = seeker?.discoveries[0]?.find(key, { signal: AbortSignal.abort() });
      await expect(Array.fromAsync(aborted ?? [])).rejects.toMatchObject({ name: 'AbortError' });
    },
  );
});

describe('a tracker', () => {
  test.each(['http', 'udp'])(
    'over %s leads to who announced, until it is withdrawn; who only looked is not found',
    { timeout: 30_000 },
    async (scheme) => {
      const { port } = await startTracker();
      const trackers = [`${scheme}://127.0.0.1:${port}/announce`];
      const [holder, seeker, third] = [
        discoveryOf('holder', 5_101, trackers),
        discoveryOf('seeker', 5_102, trackers),
        discoveryOf('third', 5_103, trackers),
      ];
      const key = randomBytes(32);
      await holder.announce(key);
      expect(await findSoon(seeker, key)).toEqual([{ address: { host: '127.0.0.1', port: 5_101 } }]);
      expect(await findSoon(third, key)).toEqual([{ address: { host: '127.0.0.1', port: 5_101 } }]);
      await holder.withdraw(key);
      await expect.poll(async () => await findNow(seeker, key, 1_000)).toEqual([]);
    },
  );

  test('that is dead or mute costs little, while another answers', { timeout: 30_000 }, async () => {
    const { port } = await startTracker();
    const mute = createServer((socket) => socket.on('error', () => socket.destroy()).resume());
    await listen(mute);
    const trackers = [
      'http://127.0.0.1:1/announce',
      `http://127.0.0.1:${(mute.address() as AddressInfo).port}/announce`,
      `http://127.0.0.1:${port}`,
    ];
    const [holder, seeker] = [discoveryOf('holder', 5_111, trackers), discoveryOf('seeker', 5_112, trackers)];
    const key = randomBytes(32);
    await holder.announce(key);
    expect(await findSoon(discoveryOf('watcher', 5_113, trackers.slice(2)), key)).toHaveLength(1);
    const startMs = performance.now();
    let firstMs = Infinity;
    for await (const found of seeker.find(key, { signal: AbortSignal.timeout(5_000) })) {
      expect(found.address.port).toBe(5_111);
      firstMs = performance.now() - startMs;
      break;
    }
    expect(firstMs).toBeLessThan(1_000);
  });

  test.each([
    ['breaks off its answers', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nd8:'],
    ['answers rubbish', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfoo'],
    ['answers with an error', 'HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n'],
    ['refuses', 'HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\nd14:failure reason6:no roome'],
    ['does not speak HTTP', 'hello\r\n\r\n'],
    ['redirects without end', 'HTTP/1.1 302 Found\r\nlocation: /announce\r\ncontent-length: 0\r\n\r\n'],
    ['redirects to no web server', 'HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n'],
    [
      'answers with more than anyone reads',
      `HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n${'d'.repeat(100_000)}`,
    ],
  ])('that %s fails with its name and a reason', async (_what, answer) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', () => socket.end(answer));
    });
    await listen(server);
    const url = parseTrackerUrl(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const announce = {
      infoHash: randomBytes(20),
      peerId: randomBytes(20),
      port: 1,
      event: 'started',
      leftBytes: 1,
      wantedPeers: 5,
    } as const;
    await expect(announceToTracker(url, announce, { signal: AbortSignal.timeout(5_000) })).rejects.toMatchObject({
      code: 'ERR_TRACKER_FAILED',
    });
  });

  const aria2 = spawnSync('aria2c', ['--version']).status === 0;
  test.skipIf(!aria2)(
    'serves foreign clients: a node finds aria2c (skipped where aria2c is not installed)',
    { timeout: 30_000 },
    async () => {
      const { port } = await startTracker();
      const folder = await mkdtemp(join(tmpdir(), 'dockyard-aria2-'));
      closers.push(async () => rm(folder, { recursive: true, force: true }));
      const key = randomBytes(32);
      const announce = `http://127.0.0.1:${port}/announce`;
      const magnet = `magnet:?xt=urn:btih:${key.toString('hex', 0, 20)}&tr=${encodeURIComponent(announce)}`;
      await writeFile(join(folder, 'list'), magnet);
      const flags = [
        '--enable-dht=false',
        '--enable-dht6=false',
        '--bt-enable-lpd=false',
        '--disable-ipv6=true',
        '--listen-port=6991-6999',
        '-q',
      ];
      const aria = spawn('aria2c', [...flags, '-d', folder, '-i', join(folder, 'list')], { stdio: 'ignore' });
      const exited = once(aria, 'exit');
      closers.push(async () => {
        aria.kill('SIGKILL');
        await exited;
      });
      const found = await findSoon(discoveryOf('seeker', 5_122, [announce]), key, 15_000);
      expect(found).toHaveLength(1);
      expect(found[0]?.address?.port).toBeGreaterThanOrEqual(6_991);
      expect(found[0]?.address?.port).toBeLessThanOrEqual(6_999);
    },
  );
});

async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(async () => new Promise<void>((resolve) => server.close(() => resolve())));
}
