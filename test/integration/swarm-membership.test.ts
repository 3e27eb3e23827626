/** Real libp2p nodes on loopback: joining, keys, departures, restarts, partitions. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { generateIdentity, type Identity } from '../../src/swarm/identity.ts';
import { Libp2pHost } from '../../src/swarm/libp2p-host.ts';
import type { Swarm } from '../../src/swarm/swarm.ts';
import { captureLog, makeKey, openNode, QUICK, silent, spawnNode, until, type ChildNode } from './swarm-fixtures.ts';

const opened: Swarm[] = [];
const children: ChildNode[] = [];

async function node(...options: Parameters<typeof openNode>): ReturnType<typeof openNode> {
  const swarm = await openNode(...options);
  opened.push(swarm);
  return swarm;
}

async function childNode(...options: Parameters<typeof spawnNode>): Promise<ChildNode> {
  const child = await spawnNode(...options);
  children.push(child);
  return child;
}

const seen = (swarm: Swarm): number => swarm.members.alive().length;

afterEach(async () => {
  for (const { child } of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await Promise.all(opened.splice(0).map((swarm) => swarm.close()));
});

describe('a swarm', () => {
  test(
    'of eight that join through one address is seen whole by each, and a departure is told at once',
    { timeout: 30_000 },
    async () => {
      const swarmKey = makeKey();
      const first = await node([], { swarmKey });
      const rest = await Promise.all(
        Array.from({ length: 7 }, () => node([first.port], { swarmKey, topology: 'zone-a' })),
      );
      const all = [first, ...rest];
      await until('all see eight', 15_000, () => all.every((swarm) => seen(swarm) === 8));
      expect(first.members.get(rest[0]?.members.self.peerId ?? '')).toEqual(rest[0]?.members.self);
      expect(rest[0]?.members.self).toMatchObject({
        topology: 'zone-a',
        dataAddresses: [{ host: '127.0.0.1', port: 1 }],
      });

      const leaver = rest.pop();
      await leaver?.close();
      const others = [first, ...rest];
      await until('all see seven', 2_000, () => others.every((swarm) => seen(swarm) === 7));
      expect(
        first.members.entries().find((entry) => entry.signed.member.peerId === leaver?.members.self.peerId)?.state,
      ).toBe('left');
      expect(await first.metrics.metrics()).toMatch(/dockyard_swarm_members\{state="left"\} 1/);
    },
  );

  test('does not probe a member that a data link has just heard', { timeout: 30_000 }, async () => {
    const clock = { nowMs: () => performance.now() };
    const first = await node([], { clock, heardAtMs: () => clock.nowMs() });
    const second = await node([first.port], { clock });
    await until('both see each other', 15_000, () => seen(first) === 2 && seen(second) === 2);
    const counted = async (swarm: typeof first): Promise<string> => await swarm.metrics.metrics();
    const heard = /dockyard_swarm_probes_total\{outcome="heard"\} [2-9]/;
    await expect.poll(async () => await counted(first), { timeout: 8_000 }).toMatch(heard);
    expect(await counted(first)).not.toMatch(/outcome="(direct|indirect|failed)"\}/);
    await expect.poll(async () => await counted(second), { timeout: 8_000 }).toMatch(/outcome="direct"\} [1-9]/);
  });

  test('does not let in who has another key, or none, and says so', { timeout: 30_000 }, async () => {
    const first = await node([], { swarmKey: makeKey() });
    const { log, lines } = captureLog();
    const stranger = await node([first.port], { swarmKey: makeKey(), log });
    const keyless = await node([first.port], { log });
    const told = () => lines.filter((line) => (line['err'] as { code?: string })?.code === 'ERR_SWARM_KEY_MISMATCH');
    await until('both are told', 20_000, () => told().length >= 2);
    expect(told().map((line) => line['msg'])).toEqual(['bootstrap address failed', 'bootstrap address failed']);
    expect([first, stranger, keyless].map(seen)).toEqual([1, 1, 1]);
    expect(first.stats().connections).toBe(0);
  });

  test('member whose first address takes connections and is mute is reached at its next', async () => {
    const mute = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const listen = { host: '127.0.0.1', port: 0 };
    const open = async (identity: Identity) =>
      await Libp2pHost.open({ identity, log: silent }, { listen, mdns: false, dht: false, allowOpenNetwork: false });
    const [caller, called] = [generateIdentity(), generateIdentity()];
    await using from = await open(caller);
    await using to = await open(called);
    await to.handle('/test/1', () => undefined);
    const addresses = [(mute.address() as AddressInfo).port, to.listenPort].map((port) => ({ ...listen, port }));
    const signal = AbortSignal.timeout(15_000);
    const stream = await from.openStream({ peerId: called.peerId, addresses }, '/test/1', { signal });
    expect(stream.protocol).toBe('/test/1');
    mute.close();
  });

  test('is not listened for beyond loopback without a key, unless it is open on purpose', async () => {
    await expect(node([], { listen: { host: '0.0.0.0', port: 0 } })).rejects.toMatchObject({ code: 'ERR_SWARM_OPEN' });
    const open = await node([], { listen: { host: '0.0.0.0', port: 0 }, allowOpenNetwork: true });
    expect(open.members.self.dataAddresses.length).toBeGreaterThan(0);
  });

  test('address that is taken is an error by code', async () => {
    const first = await node([]);
    await expect(node([], { listen: { host: '127.0.0.1', port: first.port } })).rejects.toMatchObject({
      code: 'ERR_SWARM_LISTEN',
    });
  });

  test(
    'believes a node that came back at once with new addresses, even if its clock was set back',
    { timeout: 30_000 },
    async () => {
      const swarmKey = makeKey();
      const [first, second] = [await node([], { swarmKey }), generateIdentity()];
      const before = await node([first.port], { swarmKey, identity: second, dataPort: 11 });
      await until('both see two', 15_000, () => seen(first) === 2 && seen(before) === 2);
      await before.close();
      const clock = { nowMs: () => Date.now() - 3_600_000 };
      const after = await node([first.port], { swarmKey, identity: second, dataPort: 22, clock });
      await until(
        'the new address is known',
        5_000,
        () => first.members.get(second.peerId)?.dataAddresses[0]?.port === 22,
      );
      expect(seen(after)).toBe(2);
    },
  );

  test(
    'leaves out a member that was reported unreachable, and takes it back when it answers',
    { timeout: 30_000 },
    async () => {
      const [first, swarmKey] = [await node([]), undefined];
      const second = await node([first.port], { swarmKey });
      await until('both see two', 15_000, () => seen(first) === 2 && seen(second) === 2);
      let changes = 0;
      const end = first.members.onChange(() => (changes += 1));
      first.members.reportUnreachable(second.members.self.peerId);
      expect(seen(first)).toBe(1);
      expect(changes).toBe(1);
      await until('it is back', QUICK.reportHoldMs + 3_000, () => seen(first) === 2);
      end();
    },
  );

  test('tells where the data plane listens once that is known', { timeout: 30_000 }, async () => {
    const first = await node([]);
    const second = await node([first.port], { dataPort: undefined });
    await until('both see two', 15_000, () => seen(first) === 2);
    expect(first.members.get(second.members.self.peerId)?.dataAddresses).toEqual([]);
    second.announceDataPort(4_242);
    await until(
      'the port is told',
      3_000,
      () => first.members.get(second.members.self.peerId)?.dataAddresses[0]?.port === 4_242,
    );
  });

  test('that fell apart grows together again', { timeout: 60_000 }, async () => {
    const swarmKey = makeKey();
    const first = await node([], { swarmKey });
    const away = await childNode(swarmKey, [first.port]);
    const second = await node([first.port], { swarmKey });
    await until('all see three', 8_000, () => seen(first) === 3 && seen(second) === 3 && away.alive() === 3);
    // Stopped for longer than it takes to be dead: for the others it is as far away as behind a cut link.
    away.child.kill('SIGSTOP');
    await until('the others think it dead', 12_000, () => seen(first) === 2 && seen(second) === 2);
    away.child.kill('SIGCONT');
    await until('all see three again', 10_000, () => seen(first) === 3 && seen(second) === 3 && away.alive() === 3);
    expect(first.members.get(away.peerId)?.peerId).toBe(away.peerId);
  });

  test('knows within 8 seconds that a process was killed', { timeout: 60_000 }, async () => {
    const swarmKey = makeKey();
    const first = await node([], { swarmKey });
    const victims = await Promise.all([childNode(swarmKey, [first.port]), childNode(swarmKey, [first.port])]);
    await until('all see three', 8_000, () => seen(first) === 3 && victims.every((victim) => victim.alive() === 3));
    victims[0].child.kill('SIGKILL');
    await until('both think it dead', 8_000, () => seen(first) === 2 && victims[1].alive() === 2);
    expect(first.members.get(victims[0].peerId)).toBeUndefined();
  });

  test('process ends by itself when its node is closed', { timeout: 30_000 }, async () => {
    const first = await node([], { log: silent, swarmKey: makeKey() });
    expect(seen(first)).toBe(1);
    const child = await childNode(makeKey(), []);
    child.child.kill('SIGTERM');
    await until('the process is gone', 15_000, () => child.child.exitCode !== null);
    expect(child.child.exitCode).toBe(0);
  });
});
