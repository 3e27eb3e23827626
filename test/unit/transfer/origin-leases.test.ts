import { expect, test } from 'vitest';
import { pieceGeometry } from '../../../src/content/geometry.ts';
import type { Channel } from '../../../src/transfer/channel.ts';
import { OriginLeases } from '../../../src/transfer/origin-leases.ts';
import type { MissingRun } from '../../../src/transfer/origin-reader.ts';
import { PieceScheduler } from '../../../src/transfer/piece-scheduler.ts';

const PIECE = 64 * 1024;
const COUNT = 1000;
const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

interface Asked extends PromiseWithResolvers<void> {
  readonly channel: Channel;
  readonly run: MissingRun;
}

/** A blob of which this node reads the first pieces at a rate that is worth a second reader. */
function makeLeases({ peers = 2, maxReaders = 2, readsBeside = false } = {}) {
  const scheduler = new PieceScheduler(COUNT, Math.random);
  for (let piece = 0; piece < COUNT; piece += 1) scheduler.desire(piece);
  const channels = Array.from({ length: peers }, () => ({ isJoined: true, remoteComplete: false }) as Channel);
  const asked: Asked[] = [];
  const beside: (PromiseWithResolvers<void> & { readonly run: MissingRun })[] = [];
  const read = new Set<number>();
  const unshown: { channel: Channel; pieces: readonly number[] }[] = [];
  const clock = { nowMs: 0 };
  const leases = new OriginLeases({
    scheduler,
    geometry: pieceGeometry(COUNT * PIECE),
    nowMs: () => clock.nowMs,
    channels: () => channels,
    isRead: (piece) => read.has(piece),
    onUnshown: (channel, pieces) => unshown.push({ channel, pieces }),
    ask: async (channel, run) => {
      const answer = Promise.withResolvers<void>();
      asked.push({ channel, run, ...answer });
      await answer.promise;
    },
    maxReaders,
    ...(readsBeside && {
      readBeside: async (run: MissingRun) => {
        const answer = Promise.withResolvers<void>();
        beside.push({ run, ...answer });
        await answer.promise;
      },
    }),
  });
  const pass = (durationMs: number): void => {
    for (const endMs = clock.nowMs + durationMs; clock.nowMs < endMs; clock.nowMs += 100) {
      leases.onOwnPiece(0, PIECE);
      leases.tick();
    }
  };
  const shows = (pieces: readonly number[]): void => {
    for (const piece of pieces) read.add(piece);
    leases.onHashes(pieces);
  };
  const piecesOf = ({ first, count }: MissingRun): number[] => Array.from({ length: count }, (_, at) => first + at);
  const isFree = (piece: number): boolean => scheduler.firstUnavailableRun(piece, 1)?.first === piece;
  return { leases, channels, asked, beside, unshown, clock, pass, shows, piecesOf, isFree };
}

function firstAsked(asked: readonly Asked[]): Asked {
  const [first] = asked;
  if (first === undefined) throw new Error('nobody was asked');
  return first;
}

test('the far end of what lacks is set aside for another reader, and is nobody else’s to read', () => {
  const { asked, pass, isFree } = makeLeases();
  pass(1000);
  expect(asked).toHaveLength(1);
  const { run } = firstAsked(asked);
  expect(run.first + run.count).toBe(COUNT);
  expect([isFree(run.first - 1), isFree(run.first), isFree(COUNT - 1)]).toEqual([true, false, false]);
});

test('what was read stays set aside until someone shows it, and the reader gets the next run', async () => {
  const { leases, asked, pass, shows, piecesOf, isFree } = makeLeases();
  pass(1000);
  const { run, resolve } = firstAsked(asked);
  shows(piecesOf(run));
  resolve();
  await settled();
  expect(asked[1]?.run).toMatchObject({ first: run.first - (asked[1]?.run.count ?? 0) });
  expect(isFree(run.first)).toBe(false);
  leases.onHave([run.first]);
  // Now it can be asked of the one who showed it; here nobody is known to have it.
  expect(isFree(run.first)).toBe(true);
});

test('what a reader did not read is free at once', async () => {
  const { asked, pass, shows, isFree } = makeLeases();
  pass(1000);
  const { run, resolve } = firstAsked(asked);
  shows([run.first]);
  resolve();
  await settled();
  expect([isFree(run.first), isFree(run.first + 1)]).toEqual([false, true]);
});

test('a reader that falls silent, cannot read, or leaves loses its run, and another is asked', async () => {
  for (const end of ['silent', 'refuses', 'leaves'] as const) {
    const { leases, channels, asked, clock, pass } = makeLeases();
    pass(1000);
    const { run, channel, reject } = firstAsked(asked);
    if (end === 'refuses') reject(new Error('401'));
    if (end === 'leaves') {
      leases.onLeft(channel);
      channels.splice(channels.indexOf(channel), 1);
    }
    await settled();
    if (end === 'silent') clock.nowMs += 2100;
    pass(200);
    expect(asked[1]?.channel).not.toBe(channel);
    expect(asked[1]?.run).toEqual(run);
  }
});

test('what was read but never shown is asked of the reader after a while', async () => {
  const { leases, channels, asked, unshown, clock, pass, shows, piecesOf, isFree } = makeLeases({ peers: 1 });
  pass(1000);
  const { run, resolve, channel } = firstAsked(asked);
  shows(piecesOf(run));
  resolve();
  await settled();
  leases.onLeft(channel);
  channels.length = 0;
  clock.nowMs += 3000;
  leases.tick();
  expect(isFree(run.first)).toBe(true);
  expect(unshown).toEqual([{ channel, pieces: piecesOf(run) }]);
});

test('a blob of which little is left is not shared out', () => {
  const { leases, asked, pass } = makeLeases({ peers: 8, maxReaders: 8 });
  pass(1000);
  let rest = COUNT;
  for (const { run } of asked) rest -= run.count;
  expect(rest).toBeGreaterThan(0);
  expect(leases.isActive).toBe(true);
});

test('a second connection of this node is tried before peers are asked, and they are when it brings as much again', async () => {
  const { leases, asked, beside, pass, piecesOf } = makeLeases({ maxReaders: 4, readsBeside: true });
  pass(800);
  expect([asked.length, beside.length]).toEqual([0, 1]);
  // As much comes over the second connection as over the first.
  for (let left = 8; left > 0; left -= 1) {
    for (const piece of piecesOf(beside.at(-1)?.run ?? { first: 0, count: 0 }).slice(0, 4))
      leases.onOwnPiece(piece, PIECE);
    pass(100);
  }
  expect(leases.areWorthwhile).toBe(true);
  expect(asked.length).toBeGreaterThan(0);
  for (const { resolve } of beside) resolve();
  await settled();
  expect(beside.length).toBeGreaterThan(1);
});

test('where a second connection brings nothing, the next trial is with a peer', () => {
  const { leases, asked, beside, pass, piecesOf, isFree } = makeLeases({ readsBeside: true });
  pass(800);
  const [{ run, resolve }] = beside as [(typeof beside)[number]];
  for (const piece of piecesOf(run)) leases.onOwnPiece(piece, 0);
  resolve();
  pass(1000);
  expect([leases.areWorthwhile, asked.length]).toEqual([false, 0]);
  expect(isFree(run.first)).toBe(true);
  pass(20_000);
  expect(asked.length).toBeGreaterThan(0);
});
