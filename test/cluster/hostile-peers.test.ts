/** Members that lie, stall or talk nonsense: they cost seconds, never a wrong byte and never the pull. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { generateIdentity } from '../../src/swarm/identity.ts';
import { FRAME } from '../../src/swarm/link/frame.ts';
import { encodeStatement, makeStatement } from '../../src/transfer/statement.ts';
import { encodeJoin, encodePieces, encodeRuns } from '../../src/transfer/wire.ts';
import { drip, HostileNode, sayBusy, sendFlipped, sendNothing, sendTooMuch, type Conduct } from './hostile-node.ts';
import { flipped, MIB, pullRaw, startNet } from './net.ts';
import { randomBlob, type Testnet, type TestNode } from './testnet.ts';

/** A victim, an honest holder of a blob, and a hostile home that names both. The origin is down unless said otherwise. */
async function scene(conduct: Conduct | undefined, options: { mapOf?: (blob: Buffer) => Buffer } = {}) {
  const net = startNet();
  const [victim, honest] = [await net.addNode(), await net.addNode()];
  const hostile = await HostileNode.open(net);
  const blob = net.blobAtHome(hostile.peerId, 4 * MIB + 11);
  const digest = net.origin.add(blob);
  await net.give(honest, blob);
  const mapOf = options.mapOf?.(blob) ?? blob;
  hostile.offers.set(digest, { bytes: blob, mapOf, others: [honest.member], ...(conduct && { conduct }) });
  return { net, victim, honest, hostile, blob, digest };
}

function bans(node: TestNode): Promise<number> {
  return node.metric('dockyard_peer_bans_total');
}

describe('a holder', () => {
  test('that flips a bit in every piece is banned, counted and named, and the pull is right', async () => {
    const { net, victim, honest, hostile, blob, digest } = await scene(sendFlipped);
    net.origin.failure = new Error('down');
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    expect(hostile.askedCount).toBeGreaterThan(0);
    expect(await victim.metric('dockyard_peer_bans_total', { reason: 'wrong-piece' })).toBe(1);
    expect(victim.dataPlane.hub.isBanned(hostile.peerId)).toBe(true);
    expect(victim.dataPlane.hub.isBanned(honest.peerId)).toBe(false);
    const named = net.logged.find((line) => line.msg === 'a peer sent a wrong piece');
    expect(named).toMatchObject({ peer: hostile.peerId, digest });
  });

  test('that sends more than a piece has loses the link, and the pull is right', async () => {
    const { net, victim, hostile, blob, digest } = await scene(sendTooMuch);
    net.origin.failure = new Error('down');
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    // It may be asked other things later, over a new link.
    expect(hostile.askedOver.size).toBeGreaterThan(0);
    await expect.poll(() => [...hostile.askedOver].every((link) => link.isClosed)).toBe(true);
  });

  test('that is asked and sends nothing is replaced within three seconds', async () => {
    const { net, victim, hostile, blob, digest } = await scene(sendNothing);
    net.origin.failure = new Error('down');
    const startedAtMs = performance.now();
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    expect(performance.now() - startedAtMs).toBeLessThan(4000);
    expect(hostile.askedCount).toBeGreaterThan(0);
  });

  test('that alone has a blob and sends nothing leaves it to the origin within seconds', async () => {
    const net = startNet();
    const victim = await net.addNode();
    const hostile = await HostileNode.open(net);
    const blob = net.blobAtHome(hostile.peerId, 2 * MIB);
    const digest = net.origin.add(blob);
    hostile.offers.set(digest, { bytes: blob, conduct: sendNothing });
    const startedAtMs = performance.now();
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    expect(performance.now() - startedAtMs).toBeLessThan(4000);
    expect(await victim.metric('dockyard_holder_stalls_total')).toBe(1);
  });

  test.each([
    ['is always busy', sayBusy],
    ['sends a byte now and then', drip(300)],
  ])('that alone has a blob and %s leaves it to the origin', async (_what, conduct) => {
    const net = startNet();
    const victim = await net.addNode({ config: { stallTimeoutMs: 500 } });
    const hostile = await HostileNode.open(net);
    const blob = net.blobAtHome(hostile.peerId, 2 * MIB);
    const digest = net.origin.add(blob);
    hostile.offers.set(digest, { bytes: blob, conduct });
    const pulled = await pullRaw(victim, digest, { signal: AbortSignal.timeout(20_000) });
    expect(pulled.error).toBeUndefined();
    expect(pulled.bytes.equals(blob)).toBe(true);
  });

  test('that signs a false map does not get an honest one banned', async () => {
    const { victim, honest, blob, digest } = await scene(sendNothing, { mapOf: (bytes) => flipped(bytes, 70_000) });
    const pulled = await pullRaw(victim, digest);
    if (pulled.isComplete) expect(pulled.bytes.equals(blob)).toBe(true);
    expect(victim.dataPlane.hub.isBanned(honest.peerId)).toBe(false);
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
  });

  test('whose word alone made the whole false is banned, and its map is not passed on', async () => {
    const net = startNet();
    const [victim, other] = [await net.addNode(), await net.addNode()];
    const hostile = await HostileNode.open(net);
    const blob = net.blobAtHome(hostile.peerId, MIB);
    const digest = net.origin.add(blob);
    hostile.offers.set(digest, { bytes: flipped(blob, 100) });
    await pullRaw(victim, digest);
    expect(await victim.metric('dockyard_peer_bans_total', { reason: 'false-map' })).toBe(1);
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    await hostile.close();
    net.forget(hostile.peerId);
    expect((await other.pull(digest))?.equals(blob)).toBe(true);
    expect(await other.metric('dockyard_false_piece_maps_total')).toBe(0);
  });
});

describe('a home', () => {
  test.each([2 * MIB, 3 * MIB, 2 ** 39])(
    'that claims a size of %i for a smaller blob misleads nobody for long',
    async (claimed) => {
      const net = startNet();
      const victim = await net.addNode();
      const hostile = await HostileNode.open(net);
      const blob = net.blobAtHome(hostile.peerId, MIB + 5);
      const digest = net.origin.add(blob);
      const bytes = claimed < 2 ** 30 ? randomBlob(claimed) : Buffer.alloc(65_536);
      hostile.offers.set(digest, {
        bytes,
        sizeBytes: claimed,
        conduct: claimed < 2 ** 30 ? undefined : sendNothing,
      } as never);
      const first = await pullRaw(victim, digest, { signal: AbortSignal.timeout(15_000) });
      if (first.error === undefined) expect(first.bytes.equals(blob)).toBe(true);
      else expect(first.isComplete).toBe(false);
      expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    },
  );

  test('that gives wrong bytes for a small blob is banned, and the origin is asked', async () => {
    const net = startNet();
    const victim = await net.addNode();
    const hostile = await HostileNode.open(net);
    const blob = net.blobAtHome(hostile.peerId, 3000);
    const digest = net.origin.add(blob);
    victim.sizes.set(digest, blob.length);
    hostile.offers.set(digest, { bytes: blob, inline: flipped(blob, 3) });
    expect(await victim.pull(digest)).toEqual(blob);
    expect(await bans(victim)).toBe(1);
  });
});

describe('a peer without the key', () => {
  test('takes no part: it is neither asked nor answered', async () => {
    const net = startNet();
    const memberKey = Buffer.alloc(32, 9);
    const victim = await net.addNode({ memberKey });
    const stranger = await HostileNode.open(net);
    const blob = net.blobAtHome(stranger.peerId, MIB);
    const digest = net.origin.add(blob);
    stranger.offers.set(digest, { bytes: flipped(blob, 1) });
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    await expect(stranger.dial(victim.member)).rejects.toMatchObject({ code: 'ERR_LINK_FAILED' });
    expect(stranger.askedCount).toBe(0);
  });
});

describe('nonsense on a channel ends the link and nothing else:', () => {
  /** A hostile peer with a channel to a node that holds a blob; answers its link and the node's channel number. */
  async function channelTo(net: Testnet, node: TestNode, blob: Buffer) {
    const hostile = await HostileNode.open(net);
    const digest = await net.give(node, blob);
    const link = await hostile.dial(node.member);
    link.send(FRAME.join, encodeJoin(77, { digest, sizeBytes: blob.length, complete: false, bitfield: undefined }));
    await expect.poll(() => hostile.seen.find((frame) => frame.type === FRAME.join)).toBeDefined();
    const joined = hostile.seen.find((frame) => frame.type === FRAME.join);
    return { hostile, link, digest, channel: joined?.payload.readUInt32BE(0) ?? 0 };
  }

  const u32 = 0xffff_ffff;
  test.each<[string, (channel: number, digest: string) => [number, Buffer]]>([
    [
      'runs that name more pieces than there are',
      (channel) => [FRAME.have, encodeRuns(channel, [{ start: 0, count: u32 }])],
    ],
    [
      'the same pieces in many runs',
      (channel) => [
        FRAME.have,
        encodeRuns(
          channel,
          Array.from({ length: 60_000 }, () => ({ start: 0, count: 32 })),
        ),
      ],
    ],
    ['runs beyond the end', (channel) => [FRAME.have, encodeRuns(channel, [{ start: u32, count: 1 }])]],
    [
      'wants without number',
      (channel) => [
        FRAME.want,
        encodePieces(
          channel,
          Array.from({ length: 300_000 }, () => 0),
        ),
      ],
    ],
    ['a want cut short', (channel) => [FRAME.want, encodePieces(channel, [1]).subarray(0, 6)]],
    ['an empty frame', () => [FRAME.cancel, Buffer.alloc(0)]],
    ['a statement that is too short', (channel) => [FRAME.hashes, encodePieces(channel, [1, 2, 3])]],
    [
      'a bitfield that does not fit',
      (_channel, digest) => [
        FRAME.join,
        encodeJoin(78, { digest: digest as never, sizeBytes: 2 * MIB, complete: false, bitfield: Buffer.alloc(MIB) }),
      ],
    ],
    [
      'an impossible size',
      (_channel, digest) => [
        FRAME.join,
        encodeJoin(78, { digest: digest as never, sizeBytes: 2 ** 50, complete: true, bitfield: undefined }),
      ],
    ],
  ])('%s', async (_what, frame) => {
    const net = startNet();
    const node = await net.addNode();
    const { hostile, link, digest, channel } = await channelTo(net, node, randomBlob(2 * MIB));
    const [type, payload] = frame(channel, digest);
    const startedAtMs = performance.now();
    link.send(type as never, payload);
    await expect.poll(() => link.isClosed).toBe(true);
    expect(performance.now() - startedAtMs).toBeLessThan(1000);
    expect(node.dataPlane.links.get(hostile.peerId)).toBeUndefined();
    // Once may be a mistake.
    expect(node.dataPlane.hub.isBanned(hostile.peerId)).toBe(false);
  });

  test('joining again and again', async () => {
    const net = startNet();
    const node = await net.addNode();
    const blob = randomBlob(MIB);
    const { link, digest } = await channelTo(net, node, blob);
    for (let count = 0; count < 40; count += 1) {
      link.send(FRAME.join, encodeJoin(77, { digest, sizeBytes: blob.length, complete: false, bitfield: undefined }));
    }
    await expect.poll(() => link.isClosed).toBe(true);
  });

  test('a peer that repeats it is banned', async () => {
    const net = startNet();
    const node = await net.addNode();
    const hostile = await HostileNode.open(net);
    for (let count = 0; count < 3; count += 1) {
      const link = await hostile.dial(node.member);
      link.send(FRAME.join, Buffer.alloc(3));
      await expect.poll(() => link.isClosed).toBe(true);
    }
    await expect.poll(() => node.dataPlane.hub.isBanned(hostile.peerId)).toBe(true);
    expect(await node.metric('dockyard_peer_bans_total', { reason: 'protocol' })).toBe(1);
  });

  test('a statement that its author did not sign, passed on', async () => {
    const net = startNet();
    const [node, hostile] = [await net.addNode(), await HostileNode.open(net)];
    const blob = net.blobAtHome(hostile.peerId, MIB);
    const digest = net.origin.add(blob);
    hostile.offers.set(digest, { bytes: blob, mapCount: 2, conduct: sendNothing });
    const pulling = node.pull(digest);
    await expect.poll(() => hostile.askedCount).toBeGreaterThan(0);
    const [link] = hostile.network.links();
    const signed = makeStatement(generateIdentity(), { digest, sizeBytes: blob.length }, 2, Buffer.alloc(32));
    const join = hostile.seen.find((frame) => frame.type === FRAME.join);
    const forged = encodeStatement(join?.payload.readUInt32BE(0) ?? 0, { ...signed, first: 3 });
    link?.send(FRAME.hashes, forged);
    await expect.poll(() => link?.isClosed).toBe(true);
    expect((await pulling)?.equals(blob)).toBe(true);
  });
});

test('a peer that joins and goes at once leaves nothing open', async () => {
  const net = startNet();
  // What nobody takes part in is closed after some seconds.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const node = await net.addNode();
  const hostile = await HostileNode.open(net);
  const digest = await net.give(node, randomBlob(MIB));
  for (let count = 0; count < 5; count += 1) {
    const link = await hostile.dial(node.member);
    link.send(FRAME.join, encodeJoin(1, { digest, sizeBytes: MIB, complete: false, bitfield: undefined }));
    await new Promise((resolve) => setImmediate(resolve));
    link.close();
  }
  await expect.poll(() => node.dataPlane.links.links().length).toBe(0);
  expect(await node.metric('dockyard_exchanges')).toBe(1);
  await vi.advanceTimersByTimeAsync(12_000);
  await expect.poll(() => node.metric('dockyard_exchanges')).toBe(0);
});
