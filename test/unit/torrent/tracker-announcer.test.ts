import { describe, expect, test, vi } from 'vitest';
import { TrackerAnnouncer } from '../../../src/torrent/tracker-announcer.ts';
import type { TorrentAnnounce, TorrentAnnounceAnswer } from '../../../src/torrent/tracker-port.ts';
import type { AnnouncedTorrent } from '../../../src/torrent/tracker-session.ts';

const ONE = '1'.repeat(40);
const URL_A = 'http://a.test/announce';
const URL_B = 'udp://b.test:6969';
const ANSWER: TorrentAnnounceAnswer = { kind: 'answer', intervalMs: 60_000, peers: [] };

type Answering = (announce: TorrentAnnounce, signal: AbortSignal) => Promise<TorrentAnnounceAnswer>;

/** A tracker client that is told what to answer, and time that goes on when it is told to. */
function setUp(answering: Readonly<Record<string, Answering>> = {}) {
  const said: { url: string; event: string; leftBytes: number }[] = [];
  const waits: { ms: number; pass(): void }[] = [];
  const client = {
    announce: async (url: string, announce: TorrentAnnounce, { signal }: { signal: AbortSignal }) => {
      said.push({ url, event: announce.event, leftBytes: announce.leftBytes });
      return await (answering[url]?.(announce, signal) ?? Promise.resolve(ANSWER));
    },
  };
  const wait = async (ms: number, signal: AbortSignal): Promise<void> => {
    const passed = Promise.withResolvers<void>();
    waits.push({ ms, pass: passed.resolve });
    if (signal.aborted) passed.resolve();
    signal.addEventListener('abort', () => passed.resolve(), { once: true });
    await passed.promise;
  };
  const announcer = new TrackerAnnouncer({ client, wait, peerId: Buffer.alloc(20), port: () => 7777 });
  const peers: string[][] = [];
  const warnings: string[] = [];
  const torrent: AnnouncedTorrent = {
    infoHash: ONE,
    trackers: [URL_A],
    counts: () => ({ leftBytes: 7, sentBytes: 0, receivedBytes: 0 }),
    onPeers: (told) => void peers.push([...told]),
    onWarning: (message) => void warnings.push(message),
  };
  const events = (): string[] => said.map(({ url, event }) => `${event} ${url}`);
  const untilWaits = async (count: number) => {
    await vi.waitFor(() => expect(waits).toHaveLength(count));
    return waits.at(-1);
  };
  return { announcer, torrent, said, events, waits, untilWaits, peers, warnings };
}

describe('the announcer of torrents', () => {
  test('tells every tracker of a torrent that it begins, again at its interval, that it is complete, and that it ends', async () => {
    const { announcer, torrent, events, untilWaits } = setUp();
    announcer.add({ ...torrent, trackers: [URL_A, URL_B, URL_A] });
    await untilWaits(2);
    expect(events().toSorted()).toEqual([`started ${URL_A}`, `started ${URL_B}`]);
    announcer.complete(ONE);
    await untilWaits(4);
    expect(events().slice(2).toSorted()).toEqual([`completed ${URL_A}`, `completed ${URL_B}`]);
    (await untilWaits(4))?.pass();
    expect((await untilWaits(5))?.ms).toBe(60_000);
    expect(events()[4]).toMatch(/^update/);
    await announcer.close();
    expect(events().slice(5).toSorted()).toEqual([`stopped ${URL_A}`, `stopped ${URL_B}`]);
  });

  test('passes on peers, and keeps the interval of a tracker within bounds', async () => {
    const intervals = [1, 1e12];
    const answer: Answering = async () => ({
      kind: 'answer',
      intervalMs: intervals.shift() ?? 1,
      peers: ['1.2.3.4:5'],
    });
    const { announcer, torrent, untilWaits, peers } = setUp({ [URL_A]: answer });
    announcer.add(torrent);
    const first = await untilWaits(1);
    expect(first?.ms).toBe(5_000);
    first?.pass();
    expect((await untilWaits(2))?.ms).toBe(3_600_000);
    expect(peers).toEqual([['1.2.3.4:5'], ['1.2.3.4:5']]);
    await announcer.close();
  });

  test('asks a tracker that fails again after longer and longer pauses, and says nothing to it at the end', async () => {
    const fail: Answering = async () => await Promise.reject(new Error('it broke off'));
    const { announcer, torrent, untilWaits, warnings, events } = setUp({ [URL_A]: fail });
    announcer.add(torrent);
    const pauses: number[] = [];
    for (let count = 1; count <= 12; count += 1) {
      const wait = await untilWaits(count);
      pauses.push(wait?.ms ?? 0);
      wait?.pass();
    }
    expect(pauses.slice(0, 3)).toEqual([1_000, 2_000, 4_000]);
    expect(pauses.at(-1)).toBe(300_000);
    expect(new Set(warnings)).toEqual(new Set(['it broke off']));
    await announcer.close();
    expect(new Set(events())).toEqual(new Set([`started ${URL_A}`]));
  });

  test('heeds a refusal, and begins anew with a tracker that forgot the torrent', async () => {
    const answers: TorrentAnnounceAnswer[] = [
      ANSWER,
      { kind: 'refusal', reason: 'not registered', retryAfterMs: 120_000 },
      ANSWER,
    ];
    const { announcer, torrent, untilWaits, events, warnings } = setUp({
      [URL_A]: async () => await Promise.resolve(answers.shift() ?? ANSWER),
    });
    announcer.add(torrent);
    (await untilWaits(1))?.pass();
    const refused = await untilWaits(2);
    expect([refused?.ms, warnings]).toEqual([120_000, [`the tracker ${URL_A} refused: not registered`]]);
    refused?.pass();
    await untilWaits(3);
    expect(events()).toEqual([`started ${URL_A}`, `update ${URL_A}`, `started ${URL_A}`]);
    await announcer.close();
  });

  test('a tracker that hangs keeps neither others waiting nor the end', async () => {
    const hang: Answering = async (_announce, signal) =>
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      });
    const { announcer, torrent, events, untilWaits } = setUp({ [URL_A]: hang });
    for (let digit = 0; digit < 8; digit += 1)
      announcer.add({ ...torrent, infoHash: String(digit).repeat(40), trackers: [URL_A, URL_B] });
    await untilWaits(8);
    expect(events().filter((event) => event === `started ${URL_B}`)).toHaveLength(8);
    // No more than four at once.
    expect(events().filter((event) => event === `started ${URL_A}`)).toHaveLength(4);
    vi.useFakeTimers();
    try {
      const closed = announcer.close();
      await vi.advanceTimersByTimeAsync(2_000);
      await closed;
    } finally {
      vi.useRealTimers();
    }
    expect(events().filter((event) => event === `stopped ${URL_B}`)).toHaveLength(8);
  });

  test('a torrent that is removed and added again begins when its end was told', async () => {
    const farewell = Promise.withResolvers<TorrentAnnounceAnswer>();
    const { announcer, torrent, events, untilWaits } = setUp({
      [URL_A]: async ({ event }) => await (event === 'stopped' ? farewell.promise : Promise.resolve(ANSWER)),
    });
    expect(announcer.add(torrent)).toBe(true);
    expect(announcer.add(torrent)).toBe(false);
    await untilWaits(1);
    announcer.remove(ONE);
    announcer.add(torrent);
    await vi.waitFor(() => expect(events()).toHaveLength(2));
    expect(events()).toEqual([`started ${URL_A}`, `stopped ${URL_A}`]);
    farewell.resolve(ANSWER);
    await vi.waitFor(() => expect(events()).toHaveLength(3));
    expect(events()[2]).toBe(`started ${URL_A}`);
    await announcer.close();
  });
});
