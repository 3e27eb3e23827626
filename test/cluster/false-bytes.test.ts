/** Peers and origins that give wrong bytes: no client ever gets a whole that is not what its digest says. */
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { HostileNode } from './hostile-node.ts';
import { flipped, MIB, pullRaw, startNet } from './net.ts';
import { randomBlob } from './testnet.ts';

describe('an origin that gives wrong bytes', () => {
  test.each([1000, 65_536, 65_537, 3 * MIB])('never completes a body of %i bytes', async (sizeBytes) => {
    const net = startNet();
    const node = await net.addNode();
    const blob = randomBlob(sizeBytes);
    const digest = digestOf(blob);
    net.origin.blobs.set(digest, flipped(blob, 10));
    const pulled = await pullRaw(node, digest);
    expect(pulled.error).toMatchObject({ code: 'ERR_TRANSFER_CORRUPT' });
    expect(pulled.isComplete).toBe(false);
    expect(node.content.blobs.stat(digest)).toBeUndefined();
    // Mended, it can be had.
    net.origin.blobs.set(digest, blob);
    expect((await node.pull(digest))?.equals(blob)).toBe(true);
  });
});

describe('a peer that signs a false piece map', () => {
  test.each([2000, 5 * MIB])('misleads nobody about a blob of %i bytes', async (sizeBytes) => {
    const net = startNet();
    const victim = await net.addNode();
    const liar = await HostileNode.open(net);
    const blob = net.blobAtHome(liar.peerId, sizeBytes);
    const digest = net.origin.add(blob);
    liar.offers.set(digest, { bytes: flipped(blob, sizeBytes - 5) });
    const pulled = await pullRaw(victim, digest);
    // Either the body breaks off, or nothing was given before the truth came out and it is right.
    if (pulled.isComplete) expect(pulled.bytes.equals(blob)).toBe(true);
    else expect(pulled.error).toMatchObject({ code: 'ERR_TRANSFER_BROKEN' });
    expect(await victim.metric('dockyard_false_piece_maps_total')).toBe(1);
    expect((await victim.pull(digest))?.equals(blob)).toBe(true);
    expect(net.origin.sentBytes).toBe(blob.length);
  });
});
