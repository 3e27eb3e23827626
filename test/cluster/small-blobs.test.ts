/** Blobs that travel whole in one answer. */
import { createServer, type AddressInfo } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import { generateIdentity } from '../../src/swarm/identity.ts';
import { pullRaw, startNet } from './net.ts';

test.each([1, 3])(
  'a small blob that everybody wants at once leaves the origin once, however often its home has to be asked (%i)',
  async (askCount) => {
    const net = startNet();
    const nodes = await net.add(8, { config: { askTimeoutMs: 300 } });
    const [home, ...others] = nodes;
    if (home === undefined) throw new Error('nodes were added');
    const blob = net.blobAtHome(home.peerId, 20_000);
    const digest = net.origin.add(blob);
    for (const node of nodes) node.sizes.set(digest, blob.length);
    const answering = vi.spyOn(home.dataPlane.hub, 'onRequest');
    const asksOf = (peerId: string): number =>
      answering.mock.calls.filter(([link, method]) => method === 'locate' && link.peerId === peerId).length;
    net.origin.beforeChunk = async () =>
      await expect
        .poll(() => Math.min(...others.map(({ peerId }) => asksOf(peerId))), { timeout: 5000 })
        .toBeGreaterThanOrEqual(askCount);
    const pulled = await Promise.all(nodes.map(async (node) => await pullRaw(node, digest)));
    for (const pull of pulled) expect(pull.bytes.equals(blob)).toBe(true);
    expect(net.origin.openCount).toBe(1);
  },
);

test('nodes that disagree on who is home to a small blob do not wait for one another', async () => {
  const askTimeoutMs = 500;
  const net = startNet();
  const [a, b] = await net.add(2, { config: { askTimeoutMs } });
  // A member that takes connections and says nothing: some have noticed that it is gone, some have not.
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as AddressInfo;
  const gone = generateIdentity().peerId;
  net.enrol({ peerId: gone, dataAddresses: [{ host: '127.0.0.1', port }], topology: '' });
  let blob = net.blobAtHome(gone, 20_000);
  while (rankHomes(digestOf(blob), net.members, 2)[1]?.peerId !== b?.peerId) blob = net.blobAtHome(gone, 20_000);
  const digest = net.origin.add(blob);
  for (const node of [a, b]) node?.sizes.set(digest, blob.length);
  const startedAtMs = performance.now();
  expect(await a?.pull(digest)).toEqual(blob);
  // One wait for the home that is gone, and a share of one where the next home asks it too.
  expect(performance.now() - startedAtMs).toBeLessThan(askTimeoutMs * 1.8);
  expect(net.origin.openCount).toBe(1);
});

test('a peer that names a false size for a small blob does not spoil it for others', async () => {
  const net = startNet();
  const [home, hostile] = [await net.addNode(), await net.addNode()];
  const blob = net.blobAtHome(home.peerId, 20_000);
  const digest = net.origin.add(blob);
  home.sizes.set(digest, blob.length);
  hostile.sizes.set(digest, 7);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  net.origin.beforeChunk = async () => await held;
  const spoiling = pullRaw(hostile, digest);
  await expect.poll(() => net.origin.openCount).toBeGreaterThan(0);
  const pulling = home.pull(digest);
  release();
  expect(await pulling).toEqual(blob);
  await spoiling;
});
