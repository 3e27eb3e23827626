/** Blobs that travel whole in one answer. */
import { expect, test, vi } from 'vitest';
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
