/** Blobs and moments that are rare. */
import { expect, test } from 'vitest';
import { startNet, MIB } from './net.ts';
import { randomBlob, REPOSITORY } from './testnet.ts';

test('an empty blob of unknown size is delivered and kept', async () => {
  const net = startNet();
  const [node, other] = [await net.addNode(), await net.addNode()];
  const digest = net.origin.add(Buffer.alloc(0));
  expect(await node.pull(digest)).toEqual(Buffer.alloc(0));
  await expect.poll(() => node.content.blobs.stat(digest)?.sizeBytes).toBe(0);
  expect(await other.pull(digest)).toEqual(Buffer.alloc(0));
});

test('a blob that is removed while it is still being served can be fetched again from a peer', async () => {
  const net = startNet();
  const [node, other] = [await net.addNode(), await net.addNode()];
  const blob = randomBlob(2 * MIB);
  const digest = net.origin.add(blob);
  await node.pull(digest);
  await other.pull(digest);
  await expect.poll(() => node.content.blobs.stat(digest)).toBeDefined();
  await expect.poll(() => other.content.blobs.stat(digest)).toBeDefined();
  expect(await node.content.blobs.remove(digest)).toBe(true);
  net.origin.failure = new Error('down');
  expect((await node.pull(digest))?.equals(blob)).toBe(true);
});

test('a blob that is opened and not read is closed without harm', async () => {
  const net = startNet();
  const node = await net.addNode({ config: { lingerMs: 50 } });
  const blob = randomBlob(2 * MIB);
  const digest = net.origin.add(blob);
  const context = { repository: REPOSITORY, signal: new AbortController().signal };
  const reading = await node.transfer.blobs.open(digest, context);
  await reading?.close();
  await reading?.close();
  await expect.poll(() => node.transfer.blobs.reports().running.length).toBe(0);
  expect((await node.pull(digest))?.equals(blob)).toBe(true);
});
