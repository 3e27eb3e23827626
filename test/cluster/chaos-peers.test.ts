/**
 * Peers that do not keep to the protocol, and disks that do not keep what was written, between real processes: the client of an
 * honest node gets the right bytes from elsewhere, and the node holds nothing of it afterwards.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { StoreLayout } from '../../src/content/layout.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import { generateSwarmKey } from '../../src/swarm/swarm-key.ts';
import {
  pushBlob,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { StreamingRead } from '../support/streaming-read.ts';
import { MAX_SILENCE_MS } from './client-outcome.ts';
import { tellMs } from './figures.ts';
import { HostilePeers } from './hostile-peers-process.ts';
import { LeakWatch } from './leak-watch.ts';
import { LoopbackNode } from './loopback-node.ts';

const MIB = 1024 * 1024;
const BLOB_BYTES = 8 * MIB;
const REPOSITORY = 'team/app';
const CONDUCTS = ['wrong bytes', 'half of each piece', 'each piece twice', 'bytes without end', 'nothing'] as const;

describe.skipIf(!requireDockerRegistry())('a node among others', () => {
  let folder: string;
  let registry: DockerRegistry;
  let nodes: [LoopbackNode, LoopbackNode];
  let hostile: HostilePeers;
  let watches: LeakWatch[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-chaos-'));
    registry = await startDockerRegistry(folder);
    const key = generateSwarmKey(randomBytes).toFileText();
    await writeFile(join(folder, 'swarm.key'), key, { mode: 0o600 });
    const args = ['--swarm-key', join(folder, 'swarm.key'), '--upstream', `chaos.test=${registry.url}`];
    const bounds = ['--transfer-linger', '200ms', '--transfer-ban-time', '1s', '--transfer-memory-budget', '8MiB'];
    const first = await LoopbackNode.start(folder, 'a', [...args, ...bounds]);
    const address = await first.process.swarm();
    const second = await LoopbackNode.start(folder, 'b', [...args, ...bounds, '--bootstrap', address]);
    nodes = [first, second];
    hostile = await HostilePeers.start({ key, ports: [Number(address.split(':')[1])] });
    for (const node of nodes) await node.process.untilMembers(2 + CONDUCTS.length);
    for (let count = 0; count < 4; count += 1) {
      const { digest } = await push(BLOB_BYTES);
      for (const node of nodes) await pull(node, digest);
    }
    watches = await Promise.all(nodes.map(async (node) => await LeakWatch.begin(node)));
  });

  afterEach(async () => {
    await Promise.all(watches.map(async (watch) => await watch.expectNothingLeft(1 + CONDUCTS.length)));
  });

  afterAll(async () => {
    await hostile?.[Symbol.asyncDispose]();
    for (const { process } of nodes ?? []) await process[Symbol.asyncDispose]();
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Pushes a blob whose home is the member named, or anyone. */
  async function push(sizeBytes: number, homeId?: string): Promise<{ digest: Digest; bytes: Buffer }> {
    const peers = (await nodes[0].process.report('peers')) as { peerId: string }[];
    const members = peers.map(({ peerId }) => ({ peerId, dataAddresses: [], topology: '' }));
    const bytes = randomBytes(sizeBytes);
    if (homeId !== undefined)
      while (rankHomes(digestOf(bytes), members, 1)[0]?.peerId !== homeId) randomBytes(16).copy(bytes);
    return { bytes, digest: await pushBlob(registry.url, REPOSITORY, bytes) };
  }

  /** What a client of a node gets; its longest silence is bounded. */
  async function pull({ process: { facade } }: LoopbackNode, digest: Digest): Promise<string> {
    await using read = new StreamingRead(`http://${facade}/v2/${REPOSITORY}/blobs/${digest}?ns=chaos.test`);
    const startedAtMs = performance.now();
    read.forgetSilence();
    const { exitCode, sha256, longestSilenceMs } = await read.outcome();
    tellMs(`silence ${(longestSilenceMs / 1000).toFixed(2)} s, took`, performance.now() - startedAtMs);
    expect(longestSilenceMs).toBeLessThan(MAX_SILENCE_MS);
    return exitCode === 0 ? sha256 : `${exitCode} ${read.stderr}`;
  }

  test.each(CONDUCTS)('gets the right bytes although the home of a blob sends %s', async (conduct) => {
    const { digest, bytes } = await push(BLOB_BYTES, hostile.peerId(conduct));
    const path = join(folder, 'offered');
    await writeFile(path, bytes);
    await hostile.offer(conduct, digest, path);
    expect(await Promise.all(nodes.map(async (node) => await pull(node, digest)))).toEqual([digest, digest]);
    expect(await hostile.askedCount(conduct)).toBeGreaterThan(0);
  });

  test.each<[string, (path: string) => Promise<void>]>([
    ['bits of it have turned', turnBits],
    ['its end is gone', async (path) => await truncate(path, BLOB_BYTES / 2)],
  ])('gets the right bytes although the only holder has a damaged file: %s', async (_what, damage) => {
    const [holder, other] = nodes;
    const { digest } = await push(BLOB_BYTES);
    expect(await pull(holder, digest)).toBe(digest);
    // What is pulled last takes the place of earlier pieces in memory.
    expect(await pull(holder, (await push(2 * BLOB_BYTES)).digest)).toMatch(/^sha256:/);
    await damage(new StoreLayout(holder.data).blobFile(digest));
    expect(await pull(other, digest)).toBe(digest);
  });
});

/** Changes bytes in the middle of a file. */
async function turnBits(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(randomBytes(64), 0, 64, BLOB_BYTES / 2);
}
