/** A disk that fills while a blob comes: clients go on to get it, from origin and peers, with nothing kept and nothing false. */
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { FaultyDisk } from '../contract/faulty-disk.ts';
import { flipped, MIB, pullRaw, startNet } from './net.ts';
import { randomBlob, REPOSITORY, type Testnet, type TestNode } from './testnet.ts';

/** So many writes go well; then the disk is full. */
function fillingDisk(writes: number, code = 'ENOSPC'): FaultyDisk {
  const disk = new FaultyDisk();
  fill(disk, writes, code);
  return disk;
}

/** Nothing can be changed any more. */
function refuseAll(disk: FaultyDisk, code: string): void {
  disk.fault = (call) => {
    throw Object.assign(new Error(`${code}: ${call}`), { code });
  };
}

function fill(disk: FaultyDisk, writes: number, code = 'ENOSPC'): void {
  let left = writes;
  disk.fault = (call) => {
    if (call !== 'write' && call !== 'sync') return;
    if (call === 'write') left -= 1;
    if (left < 0) throw Object.assign(new Error(`${code}: ${call}`), { code });
  };
}

/** A holder that has a blob which the origin does not give. */
async function givenToPeer(net: Testnet, holder: TestNode, blob: Buffer): Promise<Digest> {
  const digest = net.origin.add(blob);
  expect((await holder.pull(digest))?.equals(blob)).toBe(true);
  await expect.poll(() => holder.content.blobs.stat(digest)?.sizeBytes).toBe(blob.length);
  net.origin.failure = new Error('down');
  return digest;
}

describe('a disk that fills while a blob comes', () => {
  // Two calls for a piece: its bytes and its hash; neighbours go out together.
  test.each([4, 9, 24, 60])('from the origin, after %i writes: the client gets everything', async (writes) => {
    const net = startNet();
    const node = await net.addNode({ disk: fillingDisk(writes) });
    const blob = randomBlob(9 * MIB + 5);
    const digest = net.origin.add(blob);
    const { bytes, error } = await pullRaw(node, digest);
    expect(error).toBeUndefined();
    expect(bytes.equals(blob)).toBe(true);
    expect(node.content.blobs.stat(digest)).toBeUndefined();
  });

  test.each([4, 9, 24, 60])('from a peer, after %i writes: the client gets everything', async (writes) => {
    const net = startNet();
    const blob = randomBlob(9 * MIB + 5);
    const digest = await givenToPeer(net, await net.addNode(), blob);
    const node = await net.addNode({ disk: fillingDisk(writes) });
    const { bytes, error } = await pullRaw(node, digest);
    expect(error).toBeUndefined();
    expect(bytes.equals(blob)).toBe(true);
  });

  test('several clients at different places all get everything', async () => {
    const net = startNet();
    const node = await net.addNode({ disk: fillingDisk(40) });
    const blob = randomBlob(12 * MIB + 5);
    const digest = net.origin.add(blob);
    const signal = new AbortController().signal;
    const slow = async (everyChunks: number): Promise<Buffer> => {
      await using reading = await node.transfer.blobs.open(digest, { repository: REPOSITORY, signal });
      const chunks: Uint8Array[] = [];
      for await (const chunk of reading?.read({ start: 0, end: blob.length }) ?? []) {
        chunks.push(Buffer.from(chunk));
        if (chunks.length % everyChunks === 0) await setImmediate();
      }
      return Buffer.concat(chunks);
    };
    const pulled = await Promise.all([slow(1), slow(2), slow(7), slow(1000)]);
    for (const bytes of pulled) expect(bytes.equals(blob)).toBe(true);
  });

  test.each(['EROFS', 'EIO'])(
    'or that says %s to every change from then on: the client gets everything',
    async (code) => {
      const net = startNet();
      const disk = fillingDisk(9, code);
      const node = await net.addNode({ disk });
      for (const blob of [randomBlob(9 * MIB + 5), randomBlob(9 * MIB + 5), randomBlob(2000)]) {
        const digest = net.origin.add(blob);
        const { bytes, error } = await pullRaw(node, digest);
        expect(error).toBeUndefined();
        expect(bytes.equals(blob)).toBe(true);
        refuseAll(disk, code);
      }
    },
  );

  test('a part of the blob reaches its client too', async () => {
    const net = startNet();
    const node = await net.addNode({ disk: fillingDisk(12) });
    const blob = randomBlob(9 * MIB + 5);
    const digest = net.origin.add(blob);
    const { bytes, error } = await pullRaw(node, digest, { start: MIB + 7, end: 8 * MIB });
    expect(error).toBeUndefined();
    expect(bytes.equals(blob.subarray(MIB + 7, 8 * MIB))).toBe(true);
  });

  test('what an origin gave wrongly before is not completed by what it gives rightly after', async () => {
    const net = startNet();
    const disk = new FaultyDisk();
    const node = await net.addNode({ disk });
    fill(disk, 2);
    const blob = randomBlob(9 * MIB + 5);
    const digest = net.origin.add(blob);
    // Right again as soon as the first connection is over; what this one gives is nowhere on the disk.
    net.origin.blobs.set(digest, flipped(blob, 5));
    net.origin.beforeChunk = async (at) => {
      if (at > MIB) net.origin.blobs.set(digest, blob);
      await Promise.resolve();
    };
    const { bytes } = await pullRaw(node, digest);
    expect(bytes.length === blob.length && !bytes.equals(blob)).toBe(false);
  });
});
