/**
 * Faults while a crowd pulls: processes that die or stop, links that are cut, slow or lossy, a swarm in two parts.
 * Each case begins with a blob that nobody has, pulled by all nodes at once, and ends with the same questions: has every client the
 * right bytes, how long was it without any, and does any node hold more than before? docs/RELIABILITY.md has what was seen.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { BLOB_BYTES, ChaosLab, RATE_BITS, readsAt, readsElsewhere, requireChaosLab } from './chaos-lab.ts';
import type { ChaosNode } from './chaos-node.ts';
import { expectAllDelivered, expectDelivered, expectRightOrClear, expectTold } from './client-outcome.ts';
import { tellFigures, tellMs } from './figures.ts';
import { canDropPackets, losePackets, mendLinks, partition } from './link-faults.ts';
import { LabTracker } from './lab-tracker.ts';

const hasLab = await requireChaosLab();
const hasLoss = requirement(
  'iptables with the statistic match',
  await canDropPackets(),
  'apt-get install iptables, and run as root',
);

describe.skipIf(!hasLab)('while a crowd pulls', () => {
  let lab: ChaosLab;
  let tracker: LabTracker;

  beforeAll(async () => {
    lab = await ChaosLab.open(4, {
      prepare: async ({ net }) => {
        tracker = await LabTracker.start(net);
        return ['--tracker', tracker.url];
      },
    });
  });

  afterEach(async () => {
    // Where a case failed somebody may be stopped still.
    for (const node of lab.nodes) node.signal('SIGCONT');
    await lab.expectNothingLeft();
  });

  afterAll(async () => {
    await lab?.close();
  });

  test.each([
    ['the home', 0],
    ['a holder', 2],
  ])('%s is killed: the clients of all others get everything', async (_who, index) => {
    const { blob, crowd } = await lab.beginCrowd();
    const victim = lab.node(index);
    victim.signal('SIGKILL');
    await expectAllDelivered(readsElsewhere(crowd, victim), blob);
    const [own] = readsAt(crowd, [victim]);
    expect((await own?.outcome())?.exitCode).toBe(18);
    await lab.restart(victim);
    expectDelivered(await lab.read(lab.node(index), blob).outcome(), blob);
  });

  test.each([
    ['the home', 0],
    ['a holder', 2],
  ])('%s is stopped: the clients of all others get everything, and its own when it goes on', async (_who, index) => {
    const { blob, crowd } = await lab.beginCrowd();
    const victim = lab.node(index);
    victim.signal('SIGSTOP');
    await expectAllDelivered(readsElsewhere(crowd, victim), blob);
    victim.signal('SIGCONT');
    const own = readsAt(crowd, [victim]);
    for (const read of own) read.forgetSilence();
    await expectAllDelivered(own, blob);
    await lab.untilWhole();
  });

  test('the origin is stopped for longer than it may be silent: when it goes on, every client gets everything', async () => {
    const retries = async (): Promise<number> => await lab.sumOfMetric('dockyard_origin_retries_total');
    const before = await retries();
    // Early, and of a large blob: whoever reads the origin is ahead of its clients, and so is what the kernel holds of its answer.
    const blob = await lab.push({ home: lab.node(0), sizeBytes: 2 * BLOB_BYTES });
    const crowd = await lab.readInCrowd(lab.nodes, blob, 1 / 16);
    lab.origin.kill('SIGSTOP');
    await expect.poll(retries, { timeout: 10_000, interval: 100 }).toBeGreaterThan(before);
    lab.origin.kill('SIGCONT');
    for (const { read } of crowd) read.forgetSilence();
    await expectAllDelivered(readsAt(crowd, lab.nodes), blob);
  });

  test.each(['SIGKILL', 'SIGSTOP'] as const)(
    'the tracker gets %s: nobody waits for it, neither a client, nor one who asks for what is nowhere, nor a node that ends',
    async (signal) => {
      tracker.signal(signal);
      const { blob, crowd } = await lab.beginCrowd();
      await expectAllDelivered(readsAt(crowd, lab.nodes), blob);
      const absent = await lab.read(lab.node(1), lab.makeBlob({ home: lab.node(0) })).outcome();
      tellFigures([absent], 'what is nowhere');
      expectTold(absent, 404);
      if (signal === 'SIGKILL') {
        await tracker.restart();
        return;
      }
      const startedAtMs = performance.now();
      expect(await lab.node(2).end()).toBe(0);
      tellMs('ended after', performance.now() - startedAtMs);
      expect(performance.now() - startedAtMs).toBeLessThan(5000);
      tracker.signal('SIGCONT');
      await lab.restart(lab.node(2));
    },
  );

  test('the link of the home is cut: all others get everything, and its own client when it is mended', async () => {
    const { blob, crowd } = await lab.beginCrowd();
    const victim = lab.node(0);
    await lab.net.setLink(victim.host, 'down');
    await expectAllDelivered(readsElsewhere(crowd, victim), blob);
    await lab.net.setLink(victim.host, 'up');
    const [own] = readsAt(crowd, [victim]);
    own?.forgetSilence();
    const outcome = await own?.outcome();
    if (outcome !== undefined) tellFigures([outcome], `exit ${outcome.exitCode}`);
    if (outcome !== undefined) expectRightOrClear(outcome, blob);
    await lab.untilWhole();
    expectDelivered(await lab.read(victim, blob).outcome(), blob);
  });

  test('the link of the home falls to a hundredth: all others get everything', async () => {
    const { blob, crowd } = await lab.beginCrowd();
    const victim = lab.node(0);
    await lab.net.shape(victim.host, { rateBits: RATE_BITS / 100 });
    await expectAllDelivered(readsElsewhere(crowd, victim), blob);
    await lab.net.shape(victim.host, { rateBits: RATE_BITS });
    const own = readsAt(crowd, [victim]);
    for (const read of own) read.forgetSilence();
    await expectAllDelivered(own, blob);
  });

  test.skipIf(!hasLoss)('every host loses two packets in a hundred: every client gets everything', async () => {
    const hosts = [lab.originHost, ...lab.nodes.map(({ host }) => host)];
    await Promise.all(hosts.map(async (host) => await losePackets(lab.net, host, 0.02)));
    const { blob, crowd } = await lab.beginCrowd();
    await expectAllDelivered(readsAt(crowd, lab.nodes), blob);
    await mendLinks(lab.net, hosts);
  });

  test('the swarm falls in two: who reaches the origin gets everything, the others that or a body that ends short', async () => {
    const { blob, crowd } = await lab.beginCrowd();
    const here = [lab.node(0), lab.node(1)];
    const there = [lab.node(2), lab.node(3)];
    const hostsOf = (nodes: readonly ChaosNode[]) => nodes.map(({ host }) => host);
    await partition(lab.net, [[lab.originHost, ...hostsOf(here)], hostsOf(there)]);
    await expectAllDelivered(readsAt(crowd, here), blob);
    for (const node of lab.nodes) await node.lab.untilMembers(2);
    await mendLinks(lab.net, [lab.originHost, ...hostsOf(lab.nodes)]);
    const cutOff = readsAt(crowd, there);
    for (const read of cutOff) read.forgetSilence();
    const outcomes = await Promise.all(cutOff.map(async (read) => await read.outcome()));
    for (const outcome of outcomes) expectRightOrClear(outcome, blob);
    tellFigures(outcomes, outcomes.map(({ exitCode }) => `exit ${exitCode}`).join(' '));
    const healingAtMs = performance.now();
    await lab.untilWhole();
    tellFigures(outcomes, `whole after ${Math.round(performance.now() - healingAtMs)} ms`);
    const next = await lab.push({ home: lab.node(3) });
    const reads = lab.nodes.map((node) => lab.read(node, next));
    await expectAllDelivered(reads, next);
    for (const node of there) expectDelivered(await lab.read(node, blob).outcome(), blob);
    expect(await lab.node(0).lab.memberCount()).toBe(4);
  });

  test('when nobody pulls any more, no node exchanges anything', async () => {
    const exchanges = async (): Promise<number> => await lab.sumOfMetric('dockyard_exchanges');
    // Ten seconds after the last has all of it; a link that a partition broke may be noticed only after fifteen.
    await expect.poll(exchanges, { timeout: 40_000, interval: 500 }).toBe(0);
  });
});
