/** Bits that turn on the disk of a node, after a blob was found right: its own client gets the right ones all the same. */
import { open, stat } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StoreLayout } from '../../src/content/layout.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { MIB, pullRaw, startNet } from './net.ts';
import { randomBlob, type Testnet, type TestNode } from './testnet.ts';

interface Damaged {
  readonly net: Testnet;
  readonly node: TestNode;
  readonly blob: Buffer;
  readonly digest: Digest;
}

/** A node that holds a blob of which a bit has turned. */
async function damagedNode(sizeBytes: number, at: number): Promise<Damaged> {
  const directory = await mkdtemp(join(tmpdir(), 'dockyard-net-'));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
  const net = startNet();
  const node = await net.addNode({ directory });
  const blob = randomBlob(sizeBytes);
  const digest = net.origin.add(blob);
  expect((await node.pull(digest))?.equals(blob)).toBe(true);
  await expect.poll(() => node.content.blobs.stat(digest)?.sizeBytes).toBe(sizeBytes);
  const path = new StoreLayout(directory).blobFile(digest);
  expect((await stat(path)).size).toBe(sizeBytes);
  await using file = await open(path, 'r+');
  await file.write(Buffer.from([(blob[at] ?? 0) ^ 1]), 0, 1, at);
  return { net, node, blob, digest };
}

test.each([
  ['its beginning', 0],
  ['its middle', 5 * MIB],
  ['its last piece', 9 * MIB + 4],
])('a blob with a turned bit in %s is fetched again while it is read', async (_where, at) => {
  const { net, node, blob, digest } = await damagedNode(9 * MIB + 5, at);
  const { bytes, error } = await pullRaw(node, digest);
  expect(error).toBeUndefined();
  expect(bytes.equals(blob)).toBe(true);
  // And is whole on the disk again.
  await expect.poll(() => node.content.blobs.stat(digest)?.sizeBytes).toBe(blob.length);
  net.origin.failure = new Error('down');
  expect((await node.pull(digest))?.equals(blob)).toBe(true);
});

test('a range with a turned bit is fetched again', async () => {
  const { node, blob, digest } = await damagedNode(9 * MIB + 5, 5 * MIB);
  const { bytes, error } = await pullRaw(node, digest, { start: 5 * MIB - 100_000, end: 5 * MIB + 100_000 });
  expect(error).toBeUndefined();
  expect(bytes.equals(blob.subarray(5 * MIB - 100_000, 5 * MIB + 100_000))).toBe(true);
});

test('a small blob with a turned bit comes right to the client, and to a peer that asks for it', async () => {
  const { net, node, blob, digest } = await damagedNode(10_000, 5000);
  node.sizes.set(digest, blob.length);
  const other = await net.addNode();
  other.sizes.set(digest, blob.length);
  expect(await other.pull(digest)).toEqual(blob);
  expect(await node.pull(digest)).toEqual(blob);
  expect(await other.metric('dockyard_peer_bans_total')).toBe(0);
});

test('where nobody else has the blob, its body ends short', async () => {
  const { net, node, blob, digest } = await damagedNode(9 * MIB + 5, 5 * MIB);
  net.origin.failure = new Error('down');
  const { bytes, isComplete } = await pullRaw(node, digest);
  expect(isComplete).toBe(false);
  expect(bytes.equals(blob.subarray(0, bytes.length))).toBe(true);
});
