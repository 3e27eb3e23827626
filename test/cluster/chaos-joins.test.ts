/**
 * Two hundred members that come and go, a part of them without a word, around two real nodes whose clients go on pulling: every pull is
 * right, and in the end the nodes know each other, and hold nothing of those who went.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { generateSwarmKey } from '../../src/swarm/swarm-key.ts';
import {
  pushBlob,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { until } from '../support/programs.ts';
import { tellMs } from './figures.ts';
import { LeakWatch } from './leak-watch.ts';
import { LoopbackNode } from './loopback-node.ts';
import { requestOnce } from './single-request.ts';

const VISITORS = new URL('visitors-child.ts', import.meta.url).pathname;
const REPOSITORY = 'team/app';
const BLOB_BYTES = 2 * 1024 * 1024;
const ROUND = 25;
/** Rounds that leave in good order; one more leaves without a word. */
const ROUNDS = 7;
/** Members come all at once, and are missed one after another when they are gone without a word. */
const KNOWN_WITHIN_MS = 60_000;

describe.skipIf(!requireDockerRegistry())('two nodes', () => {
  let folder: string;
  let registry: DockerRegistry;
  let key: string;
  const nodes: LoopbackNode[] = [];
  let watches: LeakWatch[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-chaos-'));
    registry = await startDockerRegistry(folder);
    key = generateSwarmKey(randomBytes).toFileText();
    await writeFile(join(folder, 'swarm.key'), key, { mode: 0o600 });
    const args = ['--swarm-key', join(folder, 'swarm.key'), '--upstream', `chaos.test=${registry.url}`];
    const first = await LoopbackNode.start(folder, 'a', [...args, '--transfer-linger', '200ms']);
    // At once: should the second not start, the first is ended too.
    nodes.push(first);
    const bootstrap = ['--bootstrap', await first.process.swarm()];
    const second = await LoopbackNode.start(folder, 'b', [...args, ...bootstrap, '--transfer-linger', '200ms']);
    nodes.push(second);
    for (const { process } of nodes) await process.untilMembers(2);
    for (let count = 0; count < 8; count += 1) await pullEverywhere();
    watches = await Promise.all(nodes.map(async (node) => await LeakWatch.begin(node)));
  });

  afterAll(async () => {
    for (const { process } of nodes) await process[Symbol.asyncDispose]();
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Pulls something new through both nodes at once; answers how long it took. */
  async function pullEverywhere(): Promise<number> {
    const digest = await pushBlob(registry.url, REPOSITORY, randomBytes(BLOB_BYTES));
    const startedAtMs = performance.now();
    const pulls = nodes.map(async ({ process: { facade } }) => {
      const { body } = await requestOnce(`http://${facade}/v2/${REPOSITORY}/blobs/${digest}?ns=chaos.test`);
      return body === undefined ? 'ended short' : digestOf(body);
    });
    expect(await Promise.all(pulls)).toEqual([digest, digest]);
    return performance.now() - startedAtMs;
  }

  async function startVisitors(): Promise<{ child: ChildProcess; joined: AsyncIterator<string> }> {
    const [first] = nodes;
    if (first === undefined) throw new TypeError('no node was started');
    const ports = [Number((await first.process.swarm()).split(':')[1])];
    const orders = JSON.stringify({ key, ports, count: ROUND });
    const child = spawn(process.execPath, [VISITORS, orders], { stdio: ['pipe', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    return { child, joined: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  }

  async function untilMembers(check: (count: number) => boolean, deadlineMs: number): Promise<void> {
    for (const { name, process } of nodes) {
      let count = 0;
      await until(
        () => `the members of ${name} are right, not ${count}`,
        async () => check((count = ((await process.report('peers')) as unknown[]).length)),
        deadlineMs,
      );
    }
  }

  test('outlast two hundred members that come and go', { timeout: 300_000 }, async () => {
    const [rude, polite] = [await startVisitors(), await startVisitors()];
    await rude.joined.next();
    await untilMembers((count) => count > ROUND, KNOWN_WITHIN_MS);
    const killedAtMs = performance.now();
    rude.child.kill('SIGKILL');
    const tookMs: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      expect((await polite.joined.next()).done).toBe(false);
      tookMs.push(await pullEverywhere());
      if (round < ROUNDS - 1) polite.child.stdin?.write('again\n');
    }
    const ended = once(polite.child, 'exit', { signal: AbortSignal.timeout(KNOWN_WITHIN_MS) });
    polite.child.stdin?.end();
    expect(await ended).toEqual([0, null]);
    await untilMembers((count) => count === nodes.length, KNOWN_WITHIN_MS);
    tellMs('slowest pull', Math.max(...tookMs));
    tellMs('the killed ones missed after', performance.now() - killedAtMs);
    await pullEverywhere();
    await Promise.all(watches.map(async (watch) => await watch.expectNothingLeft(1)));
  });
});
