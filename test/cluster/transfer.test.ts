import { expect, onTestFinished, test } from 'vitest';
import { randomBlob, REPOSITORY, Testnet } from './testnet.ts';

async function startNet(): Promise<Testnet> {
  const net = new Testnet();
  onTestFinished(async () => await net.close());
  return await Promise.resolve(net);
}

const MIB = 1024 * 1024;

test('a node alone fetches a blob from the origin and holds it', async () => {
  const net = await startNet();
  const [node] = await net.add(1);
  const blob = randomBlob(5 * MIB + 17);
  const digest = net.origin.add(blob);
  expect((await node?.pull(digest))?.equals(blob)).toBe(true);
  await expect.poll(() => node?.content.blobs.stat(digest)?.sizeBytes).toBe(blob.length);
  net.origin.failure = new Error('down');
  expect((await node?.pull(digest))?.equals(blob)).toBe(true);
  expect(net.origin.sentBytes).toBe(blob.length);
});

test('a blob that nobody has is absent', async () => {
  const net = await startNet();
  const [a] = await net.add(3);
  const other = randomBlob(1000);
  const digest = net.origin.add(other);
  net.origin.blobs.clear();
  expect(await a?.pull(digest)).toBeUndefined();
});

test('a node gets a blob from its peer while the origin is down', async () => {
  const net = await startNet();
  const [a, b] = await net.add(2);
  const blob = randomBlob(9 * MIB + 5);
  const digest = net.origin.add(blob);
  expect((await a?.pull(digest))?.equals(blob)).toBe(true);
  net.origin.failure = new Error('down');
  expect((await b?.pull(digest))?.equals(blob)).toBe(true);
  expect(net.origin.sentBytes).toBe(blob.length);
});

test('eight nodes that want a blob at once take it from the origin about once', async () => {
  const net = await startNet();
  const nodes = await net.add(8);
  const blob = randomBlob(32 * MIB + 3);
  const digest = net.origin.add(blob);
  const pulled = await Promise.all(nodes.map(async (node) => await node.pull(digest)));
  for (const bytes of pulled) expect(bytes?.equals(blob)).toBe(true);
  expect(net.origin.sentBytes / blob.length).toBeLessThan(1.1);
});

test('a small blob with a known size takes the short path, from origin to home to all', async () => {
  const net = await startNet();
  const nodes = await net.add(4);
  const blob = randomBlob(10_000);
  const digest = net.origin.add(blob);
  for (const node of nodes) node.sizes.set(digest, blob.length);
  for (const node of nodes) expect(await node.pull(digest)).toEqual(blob);
  expect(net.origin.openCount).toBe(1);
});

test('a blob for which the store has no room is passed on from a peer, verified, without being kept', async () => {
  const net = await startNet();
  const blob = randomBlob(9 * MIB + 5);
  const digest = net.origin.add(blob);
  const [holder] = await net.add(1);
  expect((await holder?.pull(digest))?.equals(blob)).toBe(true);
  await expect.poll(() => holder?.content.blobs.stat(digest)?.sizeBytes).toBe(blob.length);
  net.origin.failure = new Error('down');
  const [full] = await net.add(1, { maxSizeBytes: 4 * MIB });
  full?.sizes.set(digest, blob.length);
  expect((await full?.pull(digest))?.equals(blob)).toBe(true);
  expect(full?.content.blobs.stat(digest)).toBeUndefined();
});

test('a blob for which the store has no room is passed on from the origin', async () => {
  const net = await startNet();
  const blob = randomBlob(9 * MIB + 5);
  const digest = net.origin.add(blob);
  const [full] = await net.add(1, { maxSizeBytes: 4 * MIB });
  expect((await full?.pull(digest))?.equals(blob)).toBe(true);
});

test('a home does not name a holder that has evicted the blob', async () => {
  const net = await startNet();
  const [home, asker] = await net.add(2);
  const [holder] = await net.add(1, { maxSizeBytes: 3 * MIB });
  if (home === undefined || asker === undefined || holder === undefined) throw new Error('nodes were added');
  const [blob, next] = [net.blobAtHome(home.peerId, 2 * MIB), randomBlob(2 * MIB)];
  const digest = await net.give(holder, blob);
  holder.transfer.announce(digest);
  const question = { digest, upstream: REPOSITORY.upstream, name: REPOSITORY.name, isReading: true };
  const named = async (): Promise<boolean> => {
    const { value } = await asker.transfer.peers.ask(home.member, 'locate', question);
    return JSON.stringify(value).includes(holder.peerId);
  };
  await expect.poll(named).toBe(true);
  await net.give(holder, next);
  expect(holder.content.blobs.stat(digest)).toBeUndefined();
  await expect.poll(named).toBe(false);
});
