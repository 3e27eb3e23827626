import { expect, test } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { FRAME } from '../../../src/swarm/link/frame.ts';
import type { Link } from '../../../src/swarm/link/link.ts';
import { Exchange } from '../../../src/transfer/exchange.ts';
import type { LocalPieces } from '../../../src/transfer/local-pieces.ts';
import { UploadQueue } from '../../../src/transfer/upload-queue.ts';
import * as wire from '../../../src/transfer/wire.ts';

const DIGEST = parseDigest(`sha256:${'a'.repeat(64)}`);
const SIZE = 3 * 65_536;

class LinkDouble {
  readonly sent: { type: number; payload: Buffer }[] = [];
  readonly peerId: string;
  constructor(peerId: string) {
    this.peerId = peerId;
  }
  send(type: number, payload: Buffer): void {
    this.sent.push({ type, payload });
  }
}

/** An exchange that holds the blob and has no place for anybody. */
function makeBusyExchange() {
  const clock = { nowMs: 0 };
  const memory = new BufferPool(0);
  const rate = { take: (bytes: number) => bytes, whenAllowed: () => undefined };
  const uploads = new UploadQueue(
    { memory, rate, onSent: () => undefined, onUnreadable: () => undefined },
    { uploadSlots: 0, uploadQueuePieces: 10 },
  );
  let nextId = 0;
  const exchange = new Exchange(DIGEST, {
    peerId: 'self',
    memory,
    uploads,
    nextChannelId: () => (nextId += 1),
    forgetChannel: () => undefined,
    onIdle: () => undefined,
    onFetching: () => undefined,
    verify: () => true,
    nowMs: () => clock.nowMs,
    maxWindowBytes: 1024 * 1024,
  });
  exchange.setSize(SIZE);
  exchange.setLocal({
    isComplete: true,
    bitfield: () => undefined,
    has: () => true,
  } as Partial<LocalPieces> as LocalPieces);
  const join = (peerId: string, complete: boolean): LinkDouble => {
    const link = new LinkDouble(peerId);
    exchange.onJoin(link as unknown as Link, 1, { digest: DIGEST, sizeBytes: SIZE, complete, bitfield: undefined });
    return link;
  };
  const want = (link: LinkDouble): void => {
    const channel = exchange.channels.get(link as unknown as Link);
    if (channel !== undefined) exchange.onFrame(channel, FRAME.want, wire.encodePieces(channel.localId, [0]));
  };
  return { clock, join, want };
}

const othersIn = ({ sent }: LinkDouble): string[][] =>
  sent.filter(({ type }) => type === FRAME.others).map(({ payload }) => wire.decodeOthers(payload));

test('who is too busy says so, and names those who have pieces, now and then', () => {
  const { clock, join, want } = makeBusyExchange();
  const asker = join('asker', false);
  join('full', true);
  join('empty', false);
  want(asker);
  want(asker);
  expect(asker.sent.filter(({ type }) => type === FRAME.refuse)).toHaveLength(2);
  expect(othersIn(asker)).toEqual([['full']]);
  clock.nowMs += 2500;
  want(asker);
  expect(othersIn(asker)).toEqual([['full'], ['full']]);
});

test('who knows nobody else names nobody', () => {
  const { join, want } = makeBusyExchange();
  const asker = join('asker', false);
  join('empty', false);
  want(asker);
  expect(othersIn(asker)).toEqual([]);
});
