import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { BufferPool } from '../../../src/content/buffer-pool.ts';
import { MemoryBlobStore } from '../../../src/content/memory-blob-store.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { generateIdentity, verifyPeerSignature } from '../../../src/swarm/identity.ts';
import { FRAME } from '../../../src/swarm/link/frame.ts';
import type { Link } from '../../../src/swarm/link/link.ts';
import { ExchangeHub } from '../../../src/transfer/exchange-hub.ts';
import { RecentPieces } from '../../../src/transfer/local-pieces.ts';
import { RateLimit } from '../../../src/transfer/rate-limit.ts';
import * as wire from '../../../src/transfer/wire.ts';
import { TEST_TRANSFER_CONFIG } from '../../cluster/testnet.ts';

const BYTES = randomBytes(3 * 65_536);
const DIGEST = digestOf(BYTES);
const MAX_HOLDERS = 4;
/** No more peers of one blob than three times the holders that a journey looks for. */
const MAX_PEERS = 3 * MAX_HOLDERS;
/** Longer than an exchange that only serves stays open. */
const IDLE_MS = 11_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A link that writes down what is sent. */
class LinkDouble {
  readonly sent: { type: number; payload: Buffer }[] = [];
  readonly peerId: string;
  readonly isClosed = false;

  constructor(peerId: string) {
    this.peerId = peerId;
  }

  send(type: number, payload: Buffer): void {
    this.sent.push({ type, payload });
  }

  /** Why this node left, or has not taken, the peer. */
  get leaveReasons(): string[] {
    return this.sent.filter(({ type }) => type === FRAME.leave).map(({ payload }) => wire.decodeLeave(payload).reason);
  }

  get joins(): wire.Join[] {
    return this.sent.filter(({ type }) => type === FRAME.join).map(({ payload }) => wire.decodeJoin(payload).join);
  }
}

/** A hub whose store has the blob, and how many files of it are open. */
async function makeHub() {
  const clock = { nowMs: () => Date.now() };
  const store = new MemoryBlobStore({ clock });
  await store.put(DIGEST, BYTES);
  let openCount = 0;
  const open = store.open.bind(store);
  vi.spyOn(store, 'open').mockImplementation(async (digest) => {
    const held = await open(digest);
    if (held === undefined) return undefined;
    openCount += 1;
    const close = held.close.bind(held);
    held.close = async () => {
      openCount -= 1;
      await close();
    };
    return held;
  });
  const memory = new BufferPool(0);
  const hub = new ExchangeHub(
    {
      memory,
      identity: generateIdentity(),
      verify: verifyPeerSignature,
      store,
      recent: new RecentPieces(memory, 0),
      uploadRate: new RateLimit(0, () => Date.now()),
      clock,
      log: pino({ level: 'silent' }),
      metrics: new Registry(),
    },
    { ...TEST_TRANSFER_CONFIG, maxHolders: MAX_HOLDERS },
  );
  onTestFinished(async () => await hub.close());
  const join = (link: LinkDouble, complete = false): void => {
    const said = { digest: DIGEST, sizeBytes: BYTES.length, complete, bitfield: undefined };
    hub.onChannelFrame(link as unknown as Link, FRAME.join, wire.encodeJoin(1, said));
  };
  const links = (count: number): LinkDouble[] =>
    Array.from({ length: count }, (_, index) => new LinkDouble(`peer-${index}`));
  return { hub, join, links, openFiles: () => openCount };
}

test.each([
  ['one after the other', true],
  ['all at once, while the blob is being opened for the first', false],
])(
  'peers of a blob that come %s are taken up to a bound; the others are told that there are enough',
  async (_how, isInTurn) => {
    const { hub, join, links } = await makeHub();
    const peers = links(MAX_PEERS + 5);
    for (const peer of peers) {
      join(peer);
      if (isInTurn) await vi.advanceTimersByTimeAsync(1);
    }
    await vi.advanceTimersByTimeAsync(1);
    expect(hub.get(DIGEST)?.channels.size).toBe(MAX_PEERS);
    expect(peers.map(({ leaveReasons }) => leaveReasons)).toEqual([
      ...Array.from({ length: MAX_PEERS }, () => []),
      ...Array.from({ length: 5 }, () => ['full']),
    ]);
    // One who takes part already may tell more of itself, and one who goes makes room.
    const [first, last] = [peers[0], peers.at(-1)];
    if (first === undefined || last === undefined) throw new Error('there are peers');
    join(first, true);
    expect(first.leaveReasons).toEqual([]);
    hub.onClose(first as unknown as Link);
    join(last);
    expect(hub.get(DIGEST)?.channels.size).toBe(MAX_PEERS);
    expect(last.joins).toMatchObject([{ complete: true }]);
  },
);

test('the file of a blob is open only for as long as somebody lacks something of it', async () => {
  const { hub, join, links, openFiles } = await makeHub();
  const [lacking = new LinkDouble(''), complete = new LinkDouble('')] = links(2);
  join(lacking);
  join(complete, true);
  await vi.advanceTimersByTimeAsync(10 * IDLE_MS);
  expect([openFiles(), hub.get(DIGEST)?.channels.size]).toEqual([1, 2]);
  join(lacking, true);
  await vi.advanceTimersByTimeAsync(IDLE_MS);
  expect([openFiles(), hub.get(DIGEST)]).toEqual([0, undefined]);
  expect([lacking, complete].map(({ leaveReasons }) => leaveReasons)).toEqual([['done'], ['done']]);
});

test('who has got the last piece of a blob tells all, those too that have everything, so that nobody waits for it', async () => {
  const { hub, join, links } = await makeHub();
  const [lacking = new LinkDouble(''), complete = new LinkDouble('')] = links(2);
  join(lacking);
  join(complete, true);
  await vi.advanceTimersByTimeAsync(1);
  hub.get(DIGEST)?.becomeComplete([]);
  for (const { joins } of [lacking, complete]) expect(joins.at(-1)).toMatchObject({ complete: true });
  expect(complete.joins).toHaveLength(2);
});
