import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packAddress } from '../../../tracker/address.ts';
import { PeerTable } from '../../../tracker/peer-table.ts';
import { Registrations } from '../../../tracker/registrations.ts';
import { readStateFile, writeStateFile, type TrackerState } from '../../../tracker/state-file.ts';

const TTL_MS = 300_000;
const START_MS = 1_700_000_000_000;

function makeState(nowMs = START_MS, maxPeers = 1_000): TrackerState {
  const config = { maxTorrents: 100, maxPeers, peerTtlMs: TTL_MS };
  return {
    table: new PeerTable({ nowMs: () => nowMs, random: () => 0.5 }, config),
    registrations: new Registrations(() => nowMs, { ttlMs: TTL_MS, max: 10 }),
  };
}

function announce({ table }: TrackerState, torrent: number, host: string, port: number, isComplete: boolean): void {
  const address = packAddress(host, port) ?? Buffer.alloc(0);
  const infoHash = torrent.toString(16).padStart(40, '0');
  const peerId = Buffer.alloc(20, port);
  table.announce({ infoHash, peerId, address, event: 'completed', isComplete, wantedPeers: 0 });
}

/** Three torrents, and two registrations. */
function filledState(): TrackerState {
  const state = makeState();
  for (let port = 1; port <= 40; port += 1) announce(state, 1, '10.0.0.1', port, port % 3 === 0);
  announce(state, 2, '2001:db8::1', 5, true);
  announce(state, 3, '10.0.0.2', 6, false);
  state.registrations.add('a'.repeat(40));
  state.registrations.vouch('b'.repeat(40));
  return state;
}

describe('the state of a tracker', () => {
  let path: string;

  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'dockyard-state-')), 'tracker.state');
  });

  afterEach(async () => rm(join(path, '..'), { recursive: true }));

  test('comes back from its file', async () => {
    const before = filledState();
    const sizeBytes = await writeStateFile(path, before);
    expect((await readFile(path)).length).toBe(sizeBytes);
    const after = makeState();
    expect(await readStateFile(path, after)).toEqual({ torrents: 3, registrations: 2, lostBytes: 0 });
    expect(after.table.stats()).toEqual(before.table.stats());
    for (const infoHash of ['1', '2', '3'].map((digit) => digit.padStart(40, '0')))
      expect(after.table.scrape(infoHash)).toEqual(before.table.scrape(infoHash));
    expect([after.registrations.by('a'.repeat(40)), after.registrations.by('b'.repeat(40))]).toEqual([
      'operator',
      'member',
    ]);
  });

  test('comes back without peers and registrations whose time is over', async () => {
    await writeStateFile(path, filledState());
    const after = makeState(START_MS + TTL_MS + 1_000);
    await readStateFile(path, after);
    expect(after.table.stats().torrents).toBe(0);
    expect([after.registrations.by('a'.repeat(40)), after.registrations.by('b'.repeat(40))]).toEqual([
      'operator',
      undefined,
    ]);
  });

  test('comes back no further than there is room', async () => {
    await writeStateFile(path, filledState());
    const after = makeState(START_MS, 5);
    await readStateFile(path, after);
    expect(after.table.stats()).toEqual({ torrents: 2, complete: 1, incomplete: 1 });
  });

  test('cut off anywhere, comes back up to there; what is altered is left out', async () => {
    const sizeBytes = await writeStateFile(path, filledState());
    const whole = await readFile(path);
    for (let length = sizeBytes; length > 0; length -= 97) {
      await truncate(path, length);
      const after = makeState();
      const reading = await readStateFile(path, after);
      expect(after.table.stats().torrents).toBe(reading?.torrents);
      expect(reading?.torrents === 3).toBe(length === sizeBytes);
    }
    whole[sizeBytes - 30] = (whole[sizeBytes - 30] ?? 0) ^ 1;
    await writeFile(path, whole);
    const after = makeState();
    expect((await readStateFile(path, after))?.lostBytes).toBeGreaterThan(0);
    expect(after.table.stats().torrents).toBe(2);
  });

  test('of another program is nothing, and so is none', async () => {
    expect(await readStateFile(path, makeState())).toBeUndefined();
    await writeFile(path, 'listen: 0.0.0.0:6969\n');
    expect(await readStateFile(path, makeState())).toEqual({ torrents: 0, registrations: 0, lostBytes: 21 });
  });
});

describe('the table', () => {
  test('forgets peers in time and torrents without peers, and refuses what is beyond its bounds', async () => {
    const time = { nowMs: START_MS };
    const table = new PeerTable(
      { nowMs: () => time.nowMs, random: () => 0.5 },
      { maxTorrents: 2, maxPeers: 3, peerTtlMs: TTL_MS },
    );
    const state = { table, registrations: makeState().registrations };
    announce(state, 1, '10.0.0.1', 1, true);
    announce(state, 2, '10.0.0.1', 1, false);
    expect(() => announce(state, 3, '10.0.0.1', 1, true)).toThrow(/no room for further torrents/);
    announce(state, 2, '10.0.0.1', 2, false);
    expect(() => announce(state, 2, '10.0.0.1', 3, true)).toThrow(/no room for further peers/);
    announce(state, 2, '10.0.0.1', 2, true);
    expect(table.scrape('2'.padStart(40, '0'))).toEqual({ complete: 1, incomplete: 1, downloaded: 3 });
    time.nowMs += TTL_MS;
    announce(state, 2, '10.0.0.1', 1, false);
    time.nowMs += 2_000;
    await table.sweep(async () => Promise.resolve());
    expect(table.stats()).toEqual({ torrents: 1, complete: 0, incomplete: 1 });
    table.forget('2'.padStart(40, '0'));
    expect(table.stats()).toEqual({ torrents: 0, complete: 0, incomplete: 0 });
  });
});
