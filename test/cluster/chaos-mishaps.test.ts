/**
 * What befalls the hosts of a swarm without anybody's malice: packets too large for a link, a machine that was suspended, a disk that
 * the kernel makes read-only, too few open files, disk images that were copied, keys that are changed one host after another. Each ends
 * with right bytes or a clear error, and the log says what to do.
 */
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { generateSwarmKey } from '../../src/swarm/swarm-key.ts';
import { requirement } from '../skip-reasons.ts';
import { ChaosLab, MIB, readsAt, readsElsewhere, requireChaosLab } from './chaos-lab.ts';
import { expectAllDelivered, expectDelivered, expectRightOrClear } from './client-outcome.ts';
import { FailingDisk } from './failing-disk.ts';
import { tellFigures, tellMs } from './figures.ts';
import { canDropLargePackets, dropLargePackets, mendLinks } from './link-faults.ts';
import type { WatchedOutcome } from './watched-read.ts';

const hasLab = await requireChaosLab();
const hasLargeDrops = requirement(
  'iptables with the length match',
  await canDropLargePackets(),
  'apt-get install iptables, and run as root',
);
const hasDisk = requirement('a loop device with ext4', await FailingDisk.isAvailable(), 'run as root with e2fsprogs');

/** Longer than anybody waits for a sign of life: all links of the host are closed by then, and its node is thought dead. */
const SUSPENDED_MS = Number(process.env['CHAOS_SUSPENDED_MS'] ?? 20_000);
/** 2.5 s until a node turns to the origin itself, and what the first piece takes from there. */
const MAX_SILENCE_OF_READER_MS = 4_000;
/** Fewer than a node needs when its clients come in a crowd. */
const FEW_FILES = 128;

/** The connection was closed before it had an answer: curl calls that an empty reply, or a failure to receive. */
function isTurnedAway({ exitCode, sizeBytes }: WatchedOutcome): boolean {
  return sizeBytes === 0 && (exitCode === 52 || exitCode === 56);
}

describe.skipIf(!hasLab)('a host', () => {
  let lab: ChaosLab;
  let disk: FailingDisk | undefined;

  beforeAll(async () => {
    lab = await ChaosLab.open(4, {
      prepare: async ({ folder }) => {
        if (hasDisk) disk = await FailingDisk.open(join(folder, 'n2'));
        return [];
      },
    });
  });

  afterEach(async () => {
    for (const node of lab.nodes) node.signal('SIGCONT');
    await lab.expectNothingLeft();
  });

  afterAll(async () => {
    await Promise.all((lab?.nodes ?? []).map(async (node) => await node.end('SIGKILL')));
    await disk?.close();
    await lab?.close();
  });

  test.skipIf(!hasLargeDrops)(
    'gets no large packets any more: all others get everything, and its own client afterwards',
    async () => {
      const { blob, crowd } = await lab.beginCrowd();
      const victim = lab.node(0);
      await dropLargePackets(lab.net, victim.host);
      // It lives and answers small questions: what comes of it is waited for as for any home that reads an origin.
      await expectAllDelivered(readsElsewhere(crowd, victim), blob, MAX_SILENCE_OF_READER_MS);
      await mendLinks(lab.net, [victim.host]);
      const [own] = readsAt(crowd, [victim]);
      own?.forgetSilence();
      const outcome = await own?.outcome();
      if (outcome !== undefined) expectRightOrClear(outcome, blob);
      await lab.untilWhole();
      expectDelivered(await lab.read(victim, blob).outcome(), blob);
    },
  );

  test(
    'is suspended in the middle of a pull: its client goes on, or is told',
    { timeout: SUSPENDED_MS + 120_000 },
    async () => {
      const { blob, crowd } = await lab.beginCrowd();
      const victim = lab.node(1);
      victim.signal('SIGSTOP');
      await expectAllDelivered(readsElsewhere(crowd, victim), blob);
      await delay(SUSPENDED_MS);
      victim.signal('SIGCONT');
      const startedAtMs = performance.now();
      const [own] = readsAt(crowd, [victim]);
      own?.forgetSilence();
      const outcome = await own?.outcome();
      if (outcome !== undefined) {
        tellFigures([outcome], `exit ${outcome.exitCode}`);
        expectRightOrClear(outcome, blob);
      }
      expectDelivered(await lab.read(victim, blob).outcome(), blob);
      await lab.untilWhole();
      tellMs('a member again after', performance.now() - startedAtMs);
    },
  );

  test.skipIf(!hasDisk)(
    'has its disk made read-only: its clients get everything all the same, and it says so',
    async () => {
      const { blob, crowd } = await lab.beginCrowd();
      const victim = lab.node(2);
      await disk?.fail();
      await expectAllDelivered(readsAt(crowd, lab.nodes), blob);
      const next = await lab.push();
      await expectAllDelivered([lab.read(victim, next)], next);
      expect(victim.lab.log).toMatch(/EROFS/);
      await victim.end('SIGKILL');
      // Another disk, and nothing on it.
      await disk?.close();
      await lab.restart(victim);
      expectDelivered(await lab.read(lab.node(2), next).outcome(), next);
    },
  );

  test('may open few files only: every client gets everything or is told, and all is well when it may open more', async () => {
    const victim = lab.node(1);
    await victim.limitFiles(FEW_FILES);
    const blob = await lab.push({ sizeBytes: 4 * MIB });
    const crowd = Array.from({ length: FEW_FILES }, () => lab.read(victim, blob));
    const outcomes = await Promise.all(crowd.map(async (read) => await read.outcome()));
    tellFigures(outcomes, `${outcomes.filter(({ exitCode }) => exitCode === 0).length} of ${FEW_FILES} delivered`);
    // The kernel's queue is emptied without an answer when no file is left for a connection: the client sees that it is closed.
    for (const outcome of outcomes) if (!isTurnedAway(outcome)) expectRightOrClear(outcome, blob);
    await victim.limitFiles(1024);
    expectDelivered(await lab.read(victim, blob).outcome(), blob);
    await lab.untilWhole();
  });

  test('comes back with another identity at the same address: it is a member, and the old one is not', async () => {
    const before = lab.node(3);
    await before.end('SIGKILL');
    await rm(join(before.data, 'identity.key'));
    await lab.restart(before);
    expect(lab.node(3).peerId).not.toBe(before.peerId);
    const { blob, crowd } = await lab.beginCrowd();
    await expectAllDelivered(readsAt(crowd, lab.nodes), blob);
  });

  test('was made from the disk image of another: clients of both get everything, and the log says who is twice', async () => {
    const [original, copy] = [lab.node(2), lab.node(3)];
    const own = await readFile(join(copy.data, 'identity.key'));
    await copy.end('SIGKILL');
    await copyFile(join(original.data, 'identity.key'), join(copy.data, 'identity.key'));
    await lab.restartApart(copy);
    const blob = await lab.push();
    await expectAllDelivered(
      lab.nodes.map((node) => lab.read(node, blob)),
      blob,
    );
    await expect
      .poll(() => [original, lab.node(3)].map(({ lab: { log } }) => log).join(''))
      .toMatch(/ERR_SWARM_IDENTITY_TWICE/);
    await lab.node(3).end('SIGKILL');
    await writeFile(join(copy.data, 'identity.key'), own, { mode: 0o600 });
    await lab.restart(lab.node(3));
  });

  test('after host gets another swarm key: both parts deliver meanwhile, and are one in the end', async () => {
    const [second, third] = [lab.node(2), lab.node(3)];
    await writeFile(lab.keyFile, generateSwarmKey(randomBytes).toFileText());
    for (const node of [second, third]) {
      await node.end('SIGKILL');
      await lab.restartApart(node);
    }
    const blob = await lab.push();
    await expectAllDelivered(
      lab.nodes.map((node) => lab.read(node, blob)),
      blob,
    );
    expect(lab.node(3).lab.log).toMatch(/ERR_SWARM_KEY_MISMATCH/);
    for (const node of [lab.node(0), lab.node(1)]) {
      await node.end('SIGKILL');
      await lab.restartApart(node);
    }
    await lab.untilWhole();
  });
});
