/**
 * The seed dies or stops while a crowd pulls what only it has: what was pushed is of record there and nowhere else, so clients wait for
 * it, and get the rest in the same answer when it is back. What the swarm has is given meanwhile as if nothing had happened.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { BLOB_BYTES, ChaosLab, MIB, readsAt, requireChaosLab, type CrowdMember } from './chaos-lab.ts';
import type { ChaosNode } from './chaos-node.ts';
import { expectAllDelivered, expectDelivered, expectTold, type ChaosBlob } from './client-outcome.ts';
import { tellFigures } from './figures.ts';

const hasLab = await requireChaosLab();

/** From the moment that the seed is started again, or goes on. A node asks an origin that failed again after three seconds. */
const MAX_SILENCE_ON_RETURN_MS = 8_000;

describe.skipIf(!hasLab)('a seed that a crowd pulls from', () => {
  let lab: ChaosLab;

  beforeAll(async () => {
    lab = await ChaosLab.open(4, { hasSeed: true });
  });

  afterEach(async () => {
    // Where a case failed the seed may be stopped still.
    lab.node(0).signal('SIGCONT');
    await lab.expectNothingLeft();
  });

  afterAll(async () => {
    await lab?.close();
  });

  /** All nodes but the seed. */
  function pullers(): readonly ChaosNode[] {
    return lab.nodes.slice(1);
  }

  /** They begin to pull what only the seed has. Pieces come in any order: what a client has got is less than what its node has. */
  async function beginCrowd(): Promise<{ blob: ChaosBlob; crowd: CrowdMember[] }> {
    const blob = await lab.push({ home: lab.node(1), sizeBytes: 2 * BLOB_BYTES });
    return { blob, crowd: await lab.readInCrowd(pullers(), blob, 1 / 256) };
  }

  /** Waits until the nodes have asked the seed in vain; there is something left that only it can give. */
  async function untilMissed(outcome: 'stalled' | 'unreachable', crowd: readonly CrowdMember[]): Promise<void> {
    const inVain = async (): Promise<number> =>
      await lab.sumOfMetric('dockyard_origin_requests_total', { outcome }, pullers());
    const before = await inVain();
    await expect.poll(inVain, { timeout: 20_000, interval: 200 }).toBeGreaterThan(before);
    for (const { read } of crowd) {
      expect(read.sizeBytes).toBeLessThan(2 * BLOB_BYTES);
      read.forgetSilence();
    }
  }

  test('is killed: when it is started again, every client gets the rest, and what was acknowledged is there', async () => {
    const acknowledged = await lab.push({ sizeBytes: 2 * MIB });
    const { blob, crowd } = await beginCrowd();
    const seed = lab.node(0);
    seed.signal('SIGKILL');
    await untilMissed('unreachable', crowd);
    await lab.restart(seed);
    await expectAllDelivered(readsAt(crowd, pullers()), blob, MAX_SILENCE_ON_RETURN_MS);
    expectDelivered(await lab.read(lab.node(3), acknowledged).outcome(), acknowledged);
    const next = await lab.push({ sizeBytes: 2 * MIB });
    expectDelivered(await lab.read(lab.node(2), next).outcome(), next);
  });

  test('is stopped until it was asked again: when it goes on, every client gets the rest', async () => {
    const { blob, crowd } = await beginCrowd();
    lab.node(0).signal('SIGSTOP');
    await untilMissed('stalled', crowd);
    lab.node(0).signal('SIGCONT');
    await expectAllDelivered(readsAt(crowd, pullers()), blob, MAX_SILENCE_ON_RETURN_MS);
    await lab.untilWhole();
  });

  test.each(['SIGKILL', 'SIGSTOP'] as const)(
    'gets %s when one node has the blob: the others get it from there, and who asks for what only the seed had is told',
    async (signal) => {
      const [common, rare] = [await lab.push(), await lab.push({ sizeBytes: 2 * MIB })];
      expectDelivered(await lab.read(lab.node(1), common).outcome(), common);
      const seed = lab.node(0);
      seed.signal(signal);
      await expectAllDelivered(
        [lab.node(2), lab.node(3)].map((node) => lab.read(node, common)),
        common,
      );
      const outcome = await lab.read(lab.node(2), rare).outcome();
      tellFigures([outcome], 'what only the seed had');
      expectTold(outcome, 404, 502, 503);
      if (signal === 'SIGKILL') await lab.restart(seed);
      else seed.signal('SIGCONT');
      await lab.untilWhole();
      await expect
        .poll(async () => (await lab.read(lab.node(2), rare).outcome()).sha256, { timeout: 20_000 })
        .toBe(rare.digest);
    },
  );
});
