/** Two seeds that keep the same images share one swarm: clients go on when one is killed, and it gets what it missed when it comes back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import type { ReplicationReport } from '../../node/admin/reports.ts';
import { seededBytes } from '../contract/blob-store-fixtures.ts';
import { requirement } from '../skip-reasons.ts';
import { requireDockerd, TestDockerd } from '../support/dockerd-process.ts';
import { makeImage, makeIndex, makeLayer, makeRandomImage, pushImage, type Image } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { freePort, isInstalled, mustRun, until } from '../support/programs.ts';
import { blobDigestAt, pushImageTo } from '../support/seed-place.ts';

const MIB = 1024 * 1024;
const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');
const hasDockerd = requireDockerd();
const NAMES = ['a.test', 'b.test'] as const;
type Name = (typeof NAMES)[number];

describe.skipIf(!hasSkopeo)('two seeds and two nodes', () => {
  let folder = '';
  const ports = new Map<Name, number>();
  const seeds = new Map<Name, NodeProcess>();
  const nodes: NodeProcess[] = [];

  const seed = (name: Name): NodeProcess => {
    const found = seeds.get(name);
    if (found === undefined) throw new TypeError(`${name} does not run`);
    return found;
  };
  const other = (name: Name): Name => (name === 'a.test' ? 'b.test' : 'a.test');
  const upstream = (name: Name): string[] => ['--upstream', `${name}=http://127.0.0.1:${ports.get(name)}`];

  async function startSeed(name: Name, ...more: string[]): Promise<void> {
    const flags = ['--data', join(folder, name), '--push-names', '**', '--gc-untagged', '--gc-grace', '0'];
    const running = seeds.get(other(name));
    const swarm = running === undefined ? [] : ['--bootstrap', await running.swarm()];
    const follow = [...upstream(other(name)), '--replication-from', other(name)];
    seeds.set(name, await NodeProcess.startSeed([...flags, ...follow, ...swarm, ...more], ports.get(name)));
  }

  async function kill(name: Name): Promise<void> {
    await seed(name)[Symbol.asyncDispose]();
    seeds.delete(name);
  }

  async function startNode(name: string): Promise<NodeProcess> {
    const to = NAMES.flatMap((each) => [...upstream(each), '--push-to', each]);
    const [running] = seeds.values();
    const swarm = ['--bootstrap', (await running?.swarm()) ?? ''];
    return await NodeProcess.start(['--data', join(folder, name), '--tags-ttl', '0', ...to, ...swarm]);
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-seeds-'));
    for (const name of NAMES) ports.set(name, await freePort());
    await startSeed('a.test');
    await startSeed('b.test');
    nodes.push(...(await Promise.all(['node-1', 'node-2'].map(startNode))));
  });

  afterAll(async () => {
    for (const each of [...nodes, ...seeds.values()]) await each[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const at = (index: number): string => nodes[index]?.facade ?? '';

  /** What a tag stands for, as a client is told; `undefined` when it is not there. */
  async function tagAt(facade: string, name: string, tag: string): Promise<string | undefined> {
    const answer = await fetch(`http://${facade}/v2/${name}/manifests/${tag}`, {
      headers: { accept: [MEDIA_TYPES.ociManifest, MEDIA_TYPES.ociIndex].join() },
    });
    await answer.arrayBuffer();
    return answer.status === 200 ? (answer.headers.get('docker-content-digest') ?? '') : undefined;
  }

  async function untilTag(facade: string, name: string, tag: string, digest: Digest | undefined): Promise<void> {
    await until(`${name}:${tag} is ${digest}`, async () => (await tagAt(facade, name, tag)) === digest);
  }

  async function untilCaughtUp(name: Name): Promise<void> {
    await until(
      () => `${name} has all\n${seeds.get(name)?.err}`,
      async () => ((await seed(name).report('replication')) as ReplicationReport[]).every((each) => each.hasCaughtUp),
    );
  }

  /** All of an image has to come, to the byte. */
  async function pull(facade: string, image: string): Promise<void> {
    const target = await mkdtemp(join(folder, 'pulled-'));
    const options = ['copy', '--all', '--insecure-policy', '--src-tls-verify=false'];
    await mustRun('skopeo', [...options, `docker://${facade}/${image}`, `dir:${target}`]);
  }

  test('what is pushed through a node comes to both seeds, with all of its platforms', async () => {
    const shared = makeLayer(300_000);
    const images = ['amd64', 'arm64'].map((architecture) => makeImage([shared, makeLayer(3 * MIB)], architecture));
    const index = makeIndex(images);
    await pushImage(`${at(0)}/team/multi:1`, images, index);
    for (const name of NAMES) {
      await untilTag(seed(name).facade, 'team/multi', '1', index.digest);
      for (const { config, layers } of images)
        for (const { digest } of [config, ...layers])
          expect(await blobDigestAt(seed(name).facade, 'team/multi', digest)).toBe(digest);
    }
    await pull(at(1), 'team/multi:1');
  });

  test('a tag that is moved, one that is deleted and an image that is deleted are so at both', async () => {
    const [here, there] = [seed('a.test').facade, seed('b.test').facade];
    const gone = await pushImageTo(there, 'team/moved', 'gone', [seededBytes(40_000, 1)]);
    const first = await pushImageTo(there, 'team/moved', 'latest', [seededBytes(50_000, 2)]);
    await untilTag(here, 'team/moved', 'gone', gone.digest);
    const second = await pushImageTo(there, 'team/moved', 'latest', [seededBytes(60_000, 3)]);
    await fetch(`http://${there}/v2/team/moved/manifests/gone`, { method: 'DELETE' });
    await untilTag(here, 'team/moved', 'latest', second.digest);
    await untilTag(here, 'team/moved', 'gone', undefined);
    await fetch(`http://${there}/v2/team/moved/manifests/${second.digest}`, { method: 'DELETE' });
    await untilTag(here, 'team/moved', 'latest', undefined);
    expect(await tagAt(here, 'team/moved', first.digest)).toBe(first.digest);
  });

  let kept: Image;
  const missed = { moved: makeRandomImage(60_000), large: makeRandomImage(12 * MIB, MIB) };

  test('while one seed is dead, its images are pulled and others are pushed through the nodes', async () => {
    kept = makeRandomImage(5 * MIB, 20_000);
    await pushImage(`${at(0)}/team/kept:1`, kept);
    await pushImage(`${at(0)}/team/kept:deleted`, kept);
    await untilTag(seed('b.test').facade, 'team/kept', 'deleted', kept.manifest.digest);
    await untilCaughtUp('b.test');
    await kill('a.test');
    await pull(at(1), 'team/kept:1');
    await pushImage(`${at(0)}/team/kept:latest`, missed.moved);
    await pushImage(`${at(1)}/team/large:1`, missed.large);
    const deleted = await fetch(`http://${at(0)}/v2/team/kept/manifests/deleted`, { method: 'DELETE' });
    expect(deleted.status).toBe(202);
    for (const facade of [at(0), at(1), seed('b.test').facade]) {
      expect(await tagAt(facade, 'team/kept', 'latest')).toBe(missed.moved.manifest.digest);
      expect(await tagAt(facade, 'team/kept', 'deleted')).toBeUndefined();
    }
  });

  test.skipIf(!hasDockerd)(
    'docker pushes through a node whose first seed is dead, and pulls through the other',
    async () => {
      await using dockerd = await TestDockerd.open();
      for (const args of [
        ['pull', `${at(0)}/team/kept:1`],
        ['tag', `${at(0)}/team/kept:1`, `${at(0)}/docker/app:1`],
        ['push', `${at(0)}/docker/app:1`],
        ['rmi', '--force', kept.config.digest],
        ['pull', `${at(1)}/docker/app:1`],
      ]) {
        const { exitCode, output } = await dockerd.docker(...args);
        expect(exitCode, output).toBe(0);
      }
    },
  );

  test('a seed that comes back gets what it missed, also when it is killed on the way', async () => {
    await startSeed('a.test', '--transfer-download-rate', '2MiB');
    const isOnTheWay = async (): Promise<boolean> =>
      (await seed('a.test').metric('dockyard_received_bytes_total')) > MIB;
    await until('it fetches what it missed', isOnTheWay);
    expect(await tagAt(seed('a.test').facade, 'team/large', '1')).toBeUndefined();
    await kill('a.test');
    await startSeed('a.test');
    await untilTag(seed('a.test').facade, 'team/large', '1', missed.large.manifest.digest);
    await untilTag(seed('a.test').facade, 'team/kept', 'latest', missed.moved.manifest.digest);
    await untilTag(seed('a.test').facade, 'team/kept', 'deleted', undefined);
    await untilCaughtUp('a.test');
    await until('a new push reaches the seed that was down', async () => {
      const { digest } = await pushImageTo(at(0), 'team/again', '1', [seededBytes(10_000, 4)]);
      return (await tagAt(seed('a.test').facade, 'team/again', '1')) === digest;
    });
  });

  test('what a collection takes at one seed stays at the other, and what both need stays at both', async () => {
    const untagged = await pushImageTo(seed('a.test').facade, 'team/untagged', '1', [seededBytes(70_000, 5)]);
    await untilTag(seed('b.test').facade, 'team/untagged', '1', untagged.digest);
    // Rules that the other does not have.
    await kill('b.test');
    await startSeed('b.test', '--retention-keep-tags', 'team/kept:*', '--retention-keep-tags', 'team/large:*');
    const collected = await mustCollect(seed('b.test'));
    expect(collected).toContain('"team/untagged"');
    expect(await tagAt(seed('b.test').facade, 'team/untagged', '1')).toBeUndefined();
    await untilCaughtUp('a.test');
    await pull(seed('a.test').facade, 'team/untagged:1');
    await pull(seed('b.test').facade, 'team/large:1');
    await kill('a.test');
    await pull(at(1), 'team/kept:latest');
  });
});

/** Collects garbage, and answers what was removed. */
async function mustCollect(process: NodeProcess): Promise<string> {
  const answer = await fetch(`http://${process.admin}/gc`, { method: 'POST' });
  expect(answer.status).toBe(200);
  return await answer.text();
}
