import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { MAX_CHUNK_BYTES } from '../../../src/swarm/link/frame.ts';
import type { Link } from '../../../src/swarm/link/link.ts';
import type { Channel } from '../../../src/transfer/channel.ts';
import { UploadQueue } from '../../../src/transfer/upload-queue.ts';

const CHUNK = MAX_CHUNK_BYTES;

/** A link that takes `room` chunks and then no more. */
class LinkDouble {
  room = 0;
  readonly sent: string[] = [];
  /** Where chunks go; this link itself unless a test says otherwise. */
  forChunks: LinkDouble = this;
  get canSendChunk(): boolean {
    return this.room > 0;
  }
  sendChunk(channel: number, piece: number, offset: number, bytes: Uint8Array, onLeft?: () => void): void {
    this.room -= 1;
    this.sent.push(`${channel}/${piece}@${offset / CHUNK}:${bytes.length / CHUNK}`);
    onLeft?.();
  }
}

function channelOn(link: LinkDouble, remoteId: number): Channel {
  return { link: link as unknown as Link, remoteId } as Partial<Channel> as Channel;
}

function makeQueue(config: { uploadSlots?: number; uploadQueuePieces?: number } = {}) {
  const unreadable: number[] = [];
  const rate = { grant: Infinity, waiting: [] as (() => void)[] };
  let sentBytes = 0;
  const queue = new UploadQueue(
    {
      memory: new BufferPool(0),
      rate: {
        take: (bytes) => Math.min(bytes, rate.grant),
        whenAllowed: (callback) => void rate.waiting.push(callback),
      },
      onSent: (_channel, bytes) => (sentBytes += bytes),
      onUnreadable: (_channel, piece) => unreadable.push(piece),
    },
    { uploadSlots: 4, uploadQueuePieces: 100, ...config },
  );
  return { queue, unreadable, rate, sentBytes: () => sentBytes };
}

/** Pieces of so many chunks. */
const piecesOf = (chunks: number) => async () => await Promise.resolve(Buffer.alloc(chunks * CHUNK));
const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

function pump(queue: UploadQueue, link: LinkDouble, room: number): void {
  link.room = room;
  queue.pump(link as unknown as Link);
}

describe('an upload queue', () => {
  test('sends the pieces of one channel one after the other, each in order', async () => {
    const { queue, sentBytes } = makeQueue();
    const link = new LinkDouble();
    expect(queue.add(channelOn(link, 1), [7, 8], piecesOf(2))).toEqual([]);
    await settled();
    pump(queue, link, 100);
    await settled();
    expect(link.sent).toEqual(['1/7@0:1', '1/7@1:1', '1/8@0:1', '1/8@1:1']);
    expect([sentBytes(), queue.activeCount]).toEqual([4 * CHUNK, 0]);
  });

  test('changes over to another link between pieces, never within one', async () => {
    const { queue } = makeQueue();
    const [link, other] = [new LinkDouble(), new LinkDouble()];
    queue.add(channelOn(link, 1), [7, 8], piecesOf(2));
    await settled();
    pump(queue, link, 1);
    link.forChunks = other;
    other.room = 100;
    pump(queue, link, 100);
    expect(link.sent).toEqual(['1/7@0:1', '1/7@1:1']);
    expect(other.sent).toEqual(['1/8@0:1', '1/8@1:1']);
  });

  test('lets the channels of a link take turns, so that a small blob is not behind a large one', async () => {
    const { queue } = makeQueue();
    const link = new LinkDouble();
    const [large, small] = [channelOn(link, 1), channelOn(link, 2)];
    queue.add(large, [0, 1], piecesOf(3));
    queue.add(small, [0], piecesOf(1));
    await settled();
    pump(queue, link, 100);
    await settled();
    expect(link.sent.indexOf('2/0@0:1')).toBeLessThan(4);
    expect(link.sent.length).toBe(7);
  });

  test('reads only a few pieces ahead of a peer that does not take them', async () => {
    const { queue } = makeQueue();
    const link = new LinkDouble();
    let readCount = 0;
    queue.add(
      channelOn(link, 1),
      Array.from({ length: 50 }, (_, piece) => piece),
      async () => {
        readCount += 1;
        return await Promise.resolve(Buffer.alloc(CHUNK));
      },
    );
    await settled();
    expect(readCount).toBe(4);
    pump(queue, link, 2);
    await settled();
    expect(readCount).toBe(6);
  });

  test('refuses what is more than it keeps, and peers for whom there is no slot', () => {
    const { queue } = makeQueue({ uploadSlots: 1, uploadQueuePieces: 3 });
    const [link, other] = [new LinkDouble(), new LinkDouble()];
    expect(queue.add(channelOn(link, 1), [0, 1, 2, 3, 4], piecesOf(1))).toEqual([3, 4]);
    expect(queue.add(channelOn(other, 1), [0], piecesOf(1))).toEqual([0]);
    queue.removeLink(link as unknown as Link);
    expect(queue.add(channelOn(other, 1), [0], piecesOf(1))).toEqual([]);
  });

  test('drops what is taken back wherever it is: waiting, being read, or half sent', async () => {
    const { queue } = makeQueue();
    const link = new LinkDouble();
    const channel = channelOn(link, 1);
    const reads = new Map<number, PromiseWithResolvers<Buffer>>();
    queue.add(channel, [0, 1, 2, 3, 4, 5, 6], async (piece) => {
      const reading = Promise.withResolvers<Buffer>();
      reads.set(piece, reading);
      return await reading.promise;
    });
    link.room = 1;
    reads.get(0)?.resolve(Buffer.alloc(2 * CHUNK));
    await settled();
    expect(link.sent).toEqual(['1/0@0:1']);
    queue.cancel(channel, new Set([0, 1, 5]));
    for (const piece of [1, 2, 3]) reads.get(piece)?.resolve(Buffer.alloc(CHUNK));
    pump(queue, link, 100);
    await settled();
    for (const piece of [4, 6]) reads.get(piece)?.resolve(Buffer.alloc(CHUNK));
    await settled();
    expect(link.sent).toEqual(['1/0@0:1', '1/2@0:1', '1/3@0:1', '1/4@0:1', '1/6@0:1']);
    expect(queue.activeCount).toBe(0);
  });

  test('sends nothing more of a channel that is gone, and goes on with the others', async () => {
    const { queue } = makeQueue();
    const link = new LinkDouble();
    const [gone, stays] = [channelOn(link, 1), channelOn(link, 2)];
    queue.add(gone, [0, 1, 2, 3, 4], piecesOf(1));
    queue.add(stays, [9], piecesOf(1));
    queue.removeChannel(gone);
    await settled();
    pump(queue, link, 100);
    await settled();
    expect(link.sent).toEqual(['2/9@0:1']);
    expect(queue.activeCount).toBe(0);
  });

  test('tells of pieces that cannot be read, and frees the slot', async () => {
    const { queue, unreadable } = makeQueue();
    const link = new LinkDouble();
    queue.add(channelOn(link, 1), [1], async () => await Promise.resolve(undefined));
    queue.add(channelOn(link, 1), [2], async () => await Promise.reject(new Error('disk')));
    await settled();
    expect(unreadable).toEqual([1, 2]);
    expect(queue.activeCount).toBe(0);
  });

  test('waits for the rate, and goes on when it allows', async () => {
    const { queue, rate } = makeQueue();
    const link = new LinkDouble();
    rate.grant = 0;
    queue.add(channelOn(link, 1), [0], piecesOf(1));
    link.room = 10;
    await settled();
    expect(link.sent).toEqual([]);
    expect(rate.waiting.length).toBe(1);
    rate.grant = CHUNK / 2;
    rate.waiting.shift()?.();
    await settled();
    expect(link.sent).toEqual(['1/0@0:0.5', '1/0@0.5:0.5']);
  });
});
