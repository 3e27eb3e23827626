/** Nodes and origins that fail in the middle: what is verified is kept, and the pull goes on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { MIB, pullRaw, startNet } from './net.ts';
import { randomBlob, type Testnet, type TestNode } from './testnet.ts';

/** Holds the origin back at `offset` until the function that is answered is called. */
function gateAt(net: Testnet, offset: number): { reached: Promise<void>; open: () => void } {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  net.origin.beforeChunk = async (at) => {
    if (at < offset) return;
    reached.resolve();
    await opened.promise;
  };
  return { reached: reached.promise, open: () => opened.resolve() };
}

function held(node: TestNode, digest: string): number {
  return [...node.content.blobs.listPartials()].find((partial) => partial.digest === digest)?.heldCount ?? 0;
}

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'dockyard-net-'));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
  return directory;
}

describe('when a home dies in the middle', () => {
  test.each<[string, (home: TestNode) => Promise<void>]>([
    ['in good order', async (home) => await home.close()],
    [
      'without a word',
      async (home) => {
        await home.dataPlane.links.close();
        await home.close();
      },
    ],
  ])('%s, its successor goes on at the offset, and the origin sends little twice', async (_what, die) => {
    const net = startNet();
    const home = await net.addNode();
    const others = await net.add(3);
    const blob = net.blobAtHome(home.peerId, 12 * MIB + 1);
    const digest = net.origin.add(blob);
    const gate = gateAt(net, 6 * MIB);
    const pulling = others.map(async (node) => await node.pull(digest));
    await gate.reached;
    const before = net.origin.sentBytes;
    // Nearly all that was read has left the home: what dies with it is read again, and is not what this is about.
    await expect
      .poll(() => Math.max(...others.map((node) => held(node, digest))), { timeout: 20_000 })
      .toBeGreaterThan(80);
    net.forget(home.peerId);
    // It is gone before the origin goes on: what it read while it died would be counted against its successor.
    await die(home);
    gate.open();
    for (const bytes of await Promise.all(pulling)) expect(bytes?.equals(blob)).toBe(true);
    expect(before).toBeGreaterThan(5 * MIB);
    expect(net.origin.sentBytes / blob.length).toBeLessThan(1.3);
  });
});

describe('an origin', () => {
  test('that breaks off again and again is read on where it stopped', async () => {
    const net = startNet();
    const node = await net.addNode();
    const blob = randomBlob(4 * MIB);
    const digest = net.origin.add(blob);
    net.origin.breakAfterBytes = 700_000;
    expect((await node.pull(digest))?.equals(blob)).toBe(true);
    expect(net.origin.openCount).toBeGreaterThan(5);
    // A piece that was cut is read again.
    expect(net.origin.sentBytes).toBeLessThan(blob.length * 1.2);
  });

  test('that fails with nobody else there gives a clear error, and works later', async () => {
    const net = startNet();
    const node = await net.addNode();
    const blob = randomBlob(MIB);
    const digest = net.origin.add(blob);
    net.origin.failure = new Error('connection refused');
    const failed = await pullRaw(node, digest);
    expect(failed.error).toMatchObject({ code: 'ERR_TRANSFER_UNAVAILABLE', cause: { message: 'connection refused' } });
    net.origin.failure = undefined;
    expect((await node.pull(digest))?.equals(blob)).toBe(true);
  });

  test('that dies half way ends the body short; the rest comes later, and nothing twice', async () => {
    const net = startNet();
    const node = await net.addNode();
    const blob = randomBlob(4 * MIB);
    const digest = net.origin.add(blob);
    net.origin.beforeChunk = async (at) => {
      await Promise.resolve();
      if (at > 2 * MIB) net.origin.failure = new Error('gone');
      if (net.origin.failure !== undefined) throw net.origin.failure;
    };
    const half = await pullRaw(node, digest);
    expect(half.error).toMatchObject({ code: 'ERR_TRANSFER_BROKEN' });
    expect(half.bytes.equals(blob.subarray(0, half.bytes.length))).toBe(true);
    expect(half.bytes.length).toBeGreaterThan(MIB);
    net.origin.failure = undefined;
    net.origin.beforeChunk = async () => await Promise.resolve();
    // As a client resumes: by Range, where it stopped.
    const rest = await pullRaw(node, digest, { start: half.bytes.length, end: blob.length });
    expect(Buffer.concat([half.bytes, rest.bytes]).equals(blob)).toBe(true);
    expect(net.origin.sentBytes).toBeLessThan(blob.length + 300_000);
  });

  test('that is dead leaves partial holders to each other', async () => {
    const net = startNet();
    const blob = randomBlob(4 * MIB);
    const digest = net.origin.add(blob);
    const half = blob.length / 2;
    const nodes: TestNode[] = [];
    for (const range of [
      { start: 0, end: half - 20 * 65_536 },
      { start: half - 8 * 65_536, end: blob.length - 70_000 },
    ]) {
      const node = await net.addNode({ config: { lingerMs: 30_000 } });
      await pullRaw(node, digest, range);
      net.forget(node.peerId);
      nodes.push(node);
    }
    for (const node of nodes) await expect.poll(() => node.transfer.blobs.reports().running.length).toBeLessThan(2);
    const heldBefore = nodes.map((node) => held(node, digest));
    net.origin.failure = new Error('dead');
    for (const node of nodes) net.enrol(node.member);
    const pulls = await Promise.all(
      nodes.map(async (node) => await pullRaw(node, digest, { signal: AbortSignal.timeout(25_000) })),
    );
    // Whatever the ranges left open, what one has the other gets.
    const together = Math.min(
      64,
      heldBefore.reduce((sum, count) => sum + count, 0),
    );
    expect(together).toBeGreaterThan(30);
    for (const [index, pull] of pulls.entries()) {
      expect(pull.bytes.equals(blob.subarray(0, pull.bytes.length))).toBe(true);
      expect(pull.bytes.length).toBeGreaterThanOrEqual(half - 24 * 65_536);
      expect((pull.error as Error | undefined)?.name).not.toBe('TimeoutError');
      if (pull.error === undefined) expect(pull.isComplete).toBe(true);
      else expect(heldBefore[index]).toBeLessThan(64);
    }
  });
});

describe('readers of one blob', () => {
  test('abort alone: the others and the journey go on', async () => {
    const net = startNet();
    const node = await net.addNode();
    const blob = randomBlob(6 * MIB);
    const digest = net.origin.add(blob);
    const gate = gateAt(net, 2 * MIB);
    const abort = new AbortController();
    const impatient = pullRaw(node, digest, { signal: abort.signal });
    const patient = node.pull(digest);
    await gate.reached;
    abort.abort();
    expect((await impatient).error).toMatchObject({ name: 'AbortError' });
    gate.open();
    expect((await patient)?.equals(blob)).toBe(true);
    expect(net.origin.sentBytes).toBe(blob.length);
  });

  test('all gone: the journey stops after its linger and keeps what it has', async () => {
    const net = startNet();
    const node = await net.addNode({ config: { lingerMs: 100 } });
    const blob = randomBlob(6 * MIB);
    const digest = net.origin.add(blob);
    const gate = gateAt(net, 3 * MIB);
    const abort = new AbortController();
    const pulling = pullRaw(node, digest, { signal: abort.signal });
    await gate.reached;
    await expect.poll(() => held(node, digest)).toBeGreaterThan(40);
    abort.abort();
    await pulling;
    await expect.poll(() => node.transfer.blobs.reports().running.length).toBe(0);
    gate.open();
    expect(held(node, digest)).toBeGreaterThan(40);
    net.origin.sentBytes = 0;
    expect((await node.pull(digest))?.equals(blob)).toBe(true);
    expect(net.origin.sentBytes).toBeLessThan(4 * MIB);
  });
});

describe('a range', () => {
  test.each([
    ['the first bytes', 0, 100],
    ['bytes in the middle', 10 * MIB + 7, 10 * MIB + 9000],
    ['the last bytes', 20 * MIB - 50, 20 * MIB],
    ['two pieces', 65_530, 65_540],
  ])('of %s is delivered without fetching the whole', async (_what, start, end) => {
    const net = startNet();
    const node = await net.addNode({ config: { lingerMs: 50 } });
    const blob = randomBlob(20 * MIB);
    const digest = net.origin.add(blob);
    const pulled = await pullRaw(node, digest, { start, end });
    expect(pulled.bytes.equals(blob.subarray(start, end))).toBe(true);
    await expect.poll(() => node.transfer.blobs.reports().running.length).toBe(0);
    expect(net.origin.sentBytes).toBeLessThan(7 * MIB);
  });

  test('of a blob that a peer has comes from the peer, lazily', async () => {
    const net = startNet();
    const [holder, lazy] = [await net.addNode(), await net.addNode({ config: { lingerMs: 50 } })];
    const blob = net.blobAtHome(holder.peerId, 20 * MIB);
    const digest = await net.give(holder, blob);
    net.origin.failure = new Error('down');
    const pulled = await pullRaw(lazy, digest, { start: 12 * MIB, end: 12 * MIB + 300_000 });
    expect(pulled.bytes.equals(blob.subarray(12 * MIB, 12 * MIB + 300_000))).toBe(true);
    expect(await lazy.metric('dockyard_received_bytes_total', { source: 'peer' })).toBeLessThan(6 * MIB);
  });
});

describe('a node', () => {
  test('that starts again fetches no verified piece twice', async () => {
    // Before the net, so that it is removed after the net was closed.
    const directory = await scratch();
    const net = startNet();
    const first = await net.addNode({ directory });
    const blob = randomBlob(8 * MIB);
    const digest = net.origin.add(blob);
    const gate = gateAt(net, 5 * MIB);
    const pulling = pullRaw(first, digest);
    await gate.reached;
    await expect.poll(() => held(first, digest)).toBeGreaterThan(70);
    const keptCount = held(first, digest);
    const closing = first.close();
    gate.open();
    await closing;
    expect((await pulling).isComplete).toBe(false);
    net.origin.sentBytes = 0;
    net.origin.beforeChunk = async () => await Promise.resolve();
    const second = await net.addNode({ directory });
    expect((await second.pull(digest))?.equals(blob)).toBe(true);
    expect(net.origin.sentBytes).toBeLessThanOrEqual(blob.length - keptCount * 65_536);
  });

  test('gets many blobs at once', async () => {
    const net = startNet();
    const nodes = await net.add(3);
    const blobs = Array.from({ length: 24 }, (_, index) => randomBlob(100_000 + index * 90_001));
    const digests = blobs.map((blob) => net.origin.add(blob));
    const pulls = nodes.flatMap((node) =>
      digests.map(async (digest) => digestOf((await node.pull(digest)) ?? Buffer.alloc(0))),
    );
    expect(await Promise.all(pulls)).toEqual(nodes.flatMap(() => digests));
    const totalBytes = blobs.reduce((sum, blob) => sum + blob.length, 0);
    expect(net.origin.sentBytes / totalBytes).toBeLessThan(1.5);
  });

  test('keeps to its download rate', async () => {
    const net = startNet();
    const holder = await net.addNode();
    const slow = await net.addNode({ config: { downloadRateBytesPerSecond: 2 * MIB } });
    const blob = net.blobAtHome(holder.peerId, 4 * MIB);
    const digest = await net.give(holder, blob);
    const startedAtMs = performance.now();
    expect((await slow.pull(digest))?.equals(blob)).toBe(true);
    const seconds = (performance.now() - startedAtMs) / 1000;
    expect(seconds).toBeGreaterThan(1.6);
    expect(seconds).toBeLessThan(4);
  });

  test('keeps to its upload rate', async () => {
    const net = startNet();
    const holder = await net.addNode({ config: { uploadRateBytesPerSecond: 2 * MIB } });
    const other = await net.addNode();
    const blob = net.blobAtHome(holder.peerId, 4 * MIB);
    const digest = await net.give(holder, blob);
    const startedAtMs = performance.now();
    expect((await other.pull(digest))?.equals(blob)).toBe(true);
    const seconds = (performance.now() - startedAtMs) / 1000;
    expect(seconds).toBeGreaterThan(1.6);
    expect(seconds).toBeLessThan(4);
  });

  test('keeps to its upload rate towards one who keeps nothing, and is waited for while nobody is faster', async () => {
    const net = startNet();
    const holder = await net.addNode({ config: { uploadRateBytesPerSecond: 256 * 1024 } });
    const full = await net.addNode({ maxSizeBytes: 100_000, config: { stallTimeoutMs: 300 } });
    const blob = net.blobAtHome(holder.peerId, 640 * 1024);
    const digest = await net.give(holder, blob);
    net.origin.failure = new Error('down');
    full.sizes.set(digest, blob.length);
    const startedAtMs = performance.now();
    expect((await full.pull(digest))?.equals(blob)).toBe(true);
    // What was asked for in vain is sent too.
    const sentBytes = await holder.metric('dockyard_served_bytes_total', { to: 'peer' });
    expect((performance.now() - startedAtMs) / 1000).toBeGreaterThan((sentBytes / (256 * 1024)) * 0.7);
  });

  test('that is closed in the middle of everything leaves nothing that keeps its process alive', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'close-midway-child.ts')], { stdio: 'pipe' });
    onTestFinished(() => void child.kill('SIGKILL'));
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
    const [code] = (await once(child, 'exit', { signal: AbortSignal.timeout(30_000) })) as [number | null];
    expect(output).toContain('closed');
    expect(code).toBe(0);
  });

  test('survives two hundred peers that come and go', async () => {
    const net = startNet();
    const [node, visitor] = [await net.addNode(), await net.addNode()];
    const blob = net.blobAtHome(node.peerId, 2 * MIB);
    const digest = await net.give(node, blob);
    for (let count = 0; count < 200; count += 1) {
      const abort = new AbortController();
      const pulling = pullRaw(visitor, digest, { end: 1000, signal: abort.signal });
      if (count % 3 === 0) abort.abort();
      await pulling;
      if (count % 10 === 0) for (const link of visitor.dataPlane.links.links()) link.close();
    }
    expect((await visitor.pull(digest))?.equals(blob)).toBe(true);
    expect(node.dataPlane.links.links().length).toBeLessThanOrEqual(2);
    await expect.poll(() => node.dataPlane.hub.uploads.activeCount).toBe(0);
  });
});
