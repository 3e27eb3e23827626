/**
 * Random nodes pull random blobs, give up, die and come back while the origin fails now and then. Whatever happens, a pull
 * ends within its deadline; what it gives is right to the byte; and in the end everybody gets everything.
 */
import { expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { pullRaw, startNet, type RawPull } from './net.ts';
import { randomBlob, type TestNode } from './testnet.ts';

const DEADLINE_MS = 30_000;
/** An outage of the origin lasts no longer: a body that has begun waits a minute for a source, which is longer than the deadline. */
const OUTAGE_MS = 2000;
const STEPS = 120;
/** Pulls go on side by side, up to so many; a step waits until there are fewer than a random number of them. */
const MAX_UNDER_WAY = 12;

/** A generator of numbers in [0, 1) from a seed. @see mulberry32 by Tommy Ettinger, public domain */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SEEDS = process.env['SOAK_SEED'] === undefined ? [1, 2] : [Number(process.env['SOAK_SEED'])];

test.each(SEEDS)('every pull ends in time and is right (seed %i)', async (seed) => {
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const net = startNet();
  const config = { lingerMs: 200, stallTimeoutMs: 1000, askTimeoutMs: 500 };
  const sizes = [0, 1, 5000, 65_536, 300_000, 1_100_000, 3_000_000];
  const blobs = sizes.map((sizeBytes) => randomBlob(sizeBytes));
  const digests = blobs.map((blob) => net.origin.add(blob));
  let alive: TestNode[] = await net.add(5, { config });
  const pulls: Promise<{ pull: RawPull; index: number; tookMs: number; isAborted: boolean }>[] = [];

  const underWay = new Set<Promise<unknown>>();
  const pullSome = (): void => {
    const node = pick(alive);
    const index = Math.floor(random() * blobs.length);
    const digest = digests[index];
    if (node === undefined || digest === undefined) return;
    if (random() < 0.3) node.sizes.set(digest, blobs[index]?.length ?? 0);
    const abortAfterMs = random() < 0.3 ? Math.floor(random() * 300) : DEADLINE_MS;
    const signal = AbortSignal.timeout(abortAfterMs);
    const startedAtMs = performance.now();
    const isAborted = abortAfterMs < DEADLINE_MS;
    const pulling = pullRaw(node, digest, { signal }).then((pull) => ({
      pull,
      index,
      tookMs: performance.now() - startedAtMs,
      isAborted,
    }));
    pulls.push(pulling);
    underWay.add(pulling);
    void pulling.finally(() => underWay.delete(pulling));
  };
  const replaceOne = async (): Promise<void> => {
    const node = pick(alive);
    if (node === undefined) return;
    alive = alive.filter((other) => other !== node);
    // Others learn of it only later, if they do at all.
    if (random() < 0.5) await node.close();
    else await node.dataPlane.links.close();
    net.forget(node.peerId);
    alive.push(await net.addNode({ config }));
  };

  const someEnd = async (): Promise<void> => {
    const outage = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => outage.resolve(undefined), OUTAGE_MS);
    const isOver =
      (await Promise.race([outage.promise, ...[...underWay].map((pulling) => pulling.then(() => true))])) !== true;
    clearTimeout(timer);
    if (isOver) net.origin.failure = undefined;
  };

  for (let step = 0; step < STEPS; step += 1) {
    const dice = random();
    if (dice < 0.75) pullSome();
    else if (dice < 0.82) await replaceOne();
    else if (dice < 0.88) net.origin.failure = net.origin.failure === undefined ? new Error('down') : undefined;
    else if (dice < 0.92) net.origin.breakAfterBytes = random() < 0.5 ? 500_000 : Infinity;
    else for (const link of pick(alive)?.dataPlane.links.links() ?? []) if (random() < 0.5) link.close();
    const allowed = Math.floor(random() * MAX_UNDER_WAY);
    while (underWay.size > allowed) await someEnd();
  }
  for (const { pull, index, tookMs, isAborted } of await Promise.all(pulls)) {
    const blob = blobs[index] ?? Buffer.alloc(0);
    expect(pull.bytes.equals(blob.subarray(0, pull.bytes.length))).toBe(true);
    if (pull.isComplete && pull.error === undefined) expect(pull.bytes.length).toBe(blob.length);
    if (!isAborted) expect(tookMs).toBeLessThan(DEADLINE_MS - 1000);
  }
  net.origin.failure = undefined;
  net.origin.breakAfterBytes = Infinity;
  for (const node of alive) await expectAll(node, digests);
  for (const node of alive) await expectIdle(node);
});

async function expectAll(node: TestNode, digests: readonly Digest[]): Promise<void> {
  for (const digest of digests) expect(digestOf((await node.pull(digest)) ?? Buffer.from('absent'))).toBe(digest);
}

async function expectIdle(node: TestNode): Promise<void> {
  await expect.poll(() => node.transfer.blobs.reports().running.length, { timeout: 5000 }).toBe(0);
  await expect.poll(() => node.dataPlane.hub.uploads.activeCount).toBe(0);
}
