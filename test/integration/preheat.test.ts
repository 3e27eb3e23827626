/** Nodes fetch what they are told to have ready; real clients then pull it without its registry. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { dockyard, jsonLines } from '../support/command-line.ts';
import { blobsOf, layerBytes, makeRandomImage, pushImage } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, mustRun, until } from '../support/programs.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'seed.test';

const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');

describe.skipIf(!hasSkopeo)('preheating', () => {
  let folder = '';
  let seed: NodeProcess;
  const nodes: NodeProcess[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-preheat-'));
    const copies = ['--copies-minimum', 'keep/**:v*=2', '--copies-every', '1s'];
    seed = await NodeProcess.startSeed(['--data', join(folder, 'seed'), ...copies]);
    const upstream = ['--upstream', `${UPSTREAM}=http://${seed.facade}`, '--bootstrap', await seed.swarm()];
    for (const name of ['one', 'two']) {
      nodes.push(
        await NodeProcess.start(['--data', join(folder, name), '--swarm-topology', `zone/${name}`, ...upstream]),
      );
    }
    for (const node of [seed, ...nodes]) await node.untilMembers(3);
  });

  afterAll(async () => {
    for (const node of [seed, ...nodes]) await node?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const held = async (node: NodeProcess): Promise<string[]> => {
    const text = await (await fetch(`http://${node.admin}/blobs`)).text();
    return jsonLines<{ digest: string; state: string }>(text).flatMap(({ digest, state }) =>
      state === 'complete' ? digest : [],
    );
  };

  test('an image of the seed is at all nodes, and is pulled there without a byte from the seed', async () => {
    const image = makeRandomImage(6 * MIB, 300_000);
    await pushImage(`${seed.facade}/heat/app:1`, image);
    const { code, out, err } = await dockyard(['preheat', 'heat/app:1', '--admin', seed.admin]);
    expect(code, err).toBe(0);
    expect(out).toMatch(/^sha256:\w{12}, 3 blobs, 6.29 MiB, to 3 nodes\n/);
    expect(out).toMatch(/\n3 nodes ready\n$/);
    for (const node of nodes) expect(await held(node)).toEqual(expect.arrayContaining(blobsOf(image)));
    const [node] = nodes;
    if (node === undefined) throw new TypeError('no node');
    const before = await node.metric('dockyard_received_bytes_total');
    expect(before).toBeGreaterThanOrEqual(layerBytes(image));
    const source = `docker://${node.facade}/${UPSTREAM}/heat/app:1`;
    await mustRun('skopeo', [
      'copy',
      '--insecure-policy',
      '--src-tls-verify=false',
      source,
      `dir:${join(folder, 'pulled')}`,
    ]);
    expect(await node.metric('dockyard_received_bytes_total')).toBe(before);
  });

  test('from a node, for nodes of a place alone', async () => {
    const image = makeRandomImage(2 * MIB);
    await pushImage(`${seed.facade}/heat/place:1`, image);
    const [one, two] = nodes;
    if (one === undefined || two === undefined) throw new TypeError('no nodes');
    const args = ['preheat', `${UPSTREAM}/heat/place:1`, '--nodes', 'zone/two', '--json', '--admin', one.admin];
    const { code, out, err } = await dockyard(args);
    expect(code, err + out).toBe(0);
    expect(jsonLines(out).at(-1)).toEqual({ kind: 'total', done: 1, failed: 0 });
    expect(await held(two)).toEqual(expect.arrayContaining(blobsOf(image)));
    expect(await held(one)).not.toContain(image.layers[0]?.digest);
  });

  test('of what is not there, or at nobody, says so', async () => {
    const unknown = await dockyard(['preheat', 'heat/app:none', '--admin', seed.admin]);
    expect(unknown).toMatchObject({ code: 1 });
    expect(unknown.err).toContain('heat/app has no none');
    const nobody = await dockyard(['preheat', 'heat/app:1', '--nodes', '10.9.9.9', '--admin', seed.admin]);
    expect(nobody).toMatchObject({ code: 1 });
    expect(nobody.err).toContain("no live node is called '10.9.9.9'");
  });

  test('a node that dies on the way is told, and the others get it', async () => {
    const image = makeRandomImage(1 * MIB);
    await pushImage(`${seed.facade}/heat/dies:1`, image);
    const third = await NodeProcess.start([
      '--data',
      join(folder, 'third'),
      '--upstream',
      `${UPSTREAM}=http://${seed.facade}`,
      '--bootstrap',
      await seed.swarm(),
    ]);
    try {
      await seed.untilMembers(4);
      third.child.kill('SIGSTOP');
      const { code, out } = await dockyard(['preheat', 'heat/dies:1', '--json', '--admin', seed.admin]);
      expect(code).toBe(1);
      expect(jsonLines(out).at(-1)).toEqual({ kind: 'total', done: 3, failed: 1 });
    } finally {
      await third[Symbol.asyncDispose]();
    }
    await until('the dead node is forgotten', async () => ((await seed.report('peers')) as unknown[]).length === 3);
  });

  test('a copy of what was pushed is made at once, and anew when its node dies', async () => {
    const image = makeRandomImage(1 * MIB);
    const holders = async (): Promise<NodeProcess[]> => {
      const found: NodeProcess[] = [];
      for (const node of nodes.filter(({ child }) => child.exitCode === null && child.signalCode === null)) {
        const digests = await held(node);
        if (blobsOf(image).every((digest) => digests.includes(digest))) found.push(node);
      }
      return found;
    };
    await pushImage(`${seed.facade}/keep/app:other`, makeRandomImage(1000));
    await pushImage(`${seed.facade}/keep/app:v1`, image);
    const [first] = await until('a node has a copy', async () => {
      const found = await holders();
      return found.length > 0 && found;
    });
    if (first === undefined) throw new TypeError('no holder');
    expect(await holders()).toEqual([first]);
    await first[Symbol.asyncDispose]();
    const [second] = await until('another node has a copy', async () => {
      const found = await holders();
      return found.length > 0 && found;
    });
    expect(second).not.toBe(first);
  });
});
