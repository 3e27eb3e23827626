/** The torrents of a node: who finds them, who gets them, and what comes to a node by torrent. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { torrentTrackers } from '../../node/composition/torrent-trackers.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { generateSwarmKey } from '../../src/swarm/swarm-key.ts';
import { encodeMetainfo } from '../../src/torrent/metainfo.ts';
import { requirement } from '../skip-reasons.ts';
import { fetchByAria, saveTorrent } from '../support/aria-fetch.ts';
import { MAIN, NODE_FLAGS, NodeProcess } from '../support/node-process.ts';
import { freePort, isInstalled, run, until } from '../support/programs.ts';
import { blobDigestAt, pushBlobTo } from '../support/seed-place.ts';
import { startSeeder } from '../support/torrent-seeders.ts';
import { TrackerProcess } from '../support/tracker-process.ts';
import { infoOf } from '../unit/torrent/metainfo-fixtures.ts';

const hasAria = requirement('aria2c', isInstalled('aria2c'), 'apt-get install aria2');

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dockyard-torrent-node-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe.skipIf(!hasAria)('the torrents of a seed', { timeout: 60_000 }, () => {
  test('are let into a closed tracker by the swarm key, over HTTP and UDP, and aria2c finds the seed there', async () => {
    const key = generateSwarmKey(randomBytes);
    const keyFile = join(folder, 'swarm.key');
    await writeFile(keyFile, key.toFileText(), { mode: 0o600 });
    await using tracker = await TrackerProcess.start(['--swarm-key', keyFile, '--interval', '1s']);
    const torrent = ['--torrent', `127.0.0.1:${await freePort()}`, '--tracker', tracker.url('http')];
    await using seed = await NodeProcess.startSeed([
      '--data',
      join(folder, 'closed'),
      '--swarm-key',
      keyFile,
      ...torrent,
    ]);
    const bytes = randomBytes(600_000);
    const digest = await pushBlobTo(seed.facade, 'team/files', bytes);
    const { path, infoHash } = await saveTorrent(seed.facade, `team/files/${digest}`, folder);
    const scrape = `http://127.0.0.1:${tracker.port}/scrape?info_hash=${infoHash.replaceAll(/../g, '%$&')}`;
    await until('the tracker lists the seed as one who has all', async () =>
      (await (await fetch(scrape)).text()).includes('8:completei1e'),
    );
    // aria2c proves nothing: that a holder of the key announced the torrent lets it in.
    const target = join(folder, 'by-tracker');
    expect(await fetchByAria(path, target)).toMatchObject({ exitCode: 0 });
    expect((await readFile(join(target, digest.replace(':', '-')))).equals(bytes)).toBe(true);
    expect(await seed.metric('dockyard_torrent_bytes_total', { direction: 'sent' })).toBeGreaterThanOrEqual(600_000);

    const udp = tracker.url('udp');
    const options = { signal: AbortSignal.timeout(10_000) };
    const announce = {
      infoHash: randomBytes(20).toString('hex'),
      peerId: randomBytes(20),
      port: 7777,
      event: 'started',
      leftBytes: 0,
      sentBytes: 0,
      receivedBytes: 0,
      wantedPeers: 5,
    } as const;
    // A tracker that only the torrent names is given no proof.
    for (const stranger of [torrentTrackers(undefined, [udp]), torrentTrackers(key, [])])
      expect(await stranger.announce(udp, announce, options)).toMatchObject({ kind: 'refusal' });
    expect(await torrentTrackers(key, [udp]).announce(udp, announce, options)).toMatchObject({ kind: 'answer' });
  });
});

describe.skipIf(!hasAria)('a node that is running', { timeout: 60_000 }, () => {
  test('fetches a blob from aria2c for a command on its host, holds it, and the swarm has it', async () => {
    const bytes = randomBytes(2_000_000);
    const digest = digestOf(bytes);
    const name = digest.replace(':', '-');
    const content = join(folder, 'handed');
    await mkdir(content);
    await writeFile(join(content, name), bytes);
    const torrentFile = join(folder, 'handed.torrent');
    const metainfo = { info: await infoOf(name, bytes), trackerTiers: [], webSeeds: [], comment: undefined };
    await writeFile(torrentFile, encodeMetainfo(metainfo));
    const nowhere = ['--upstream', 'nowhere.test=http://127.0.0.1:1'];
    const data = join(folder, 'taker');
    const torrent = ['--torrent', `127.0.0.1:${await freePort()}`];
    await using taker = await NodeProcess.start(['--data', data, ...nowhere, ...torrent]);
    const bootstrap = ['--bootstrap', await taker.swarm()];
    await using other = await NodeProcess.start(['--data', join(folder, 'other'), ...nowhere, ...bootstrap]);
    await using seeder = await startSeeder('aria2c', { folder: content, torrentFile });
    const fetchIt = ['fetch', torrentFile, '--peer', seeder.address, '--data', data];
    const asked = await run(process.execPath, [...NODE_FLAGS, MAIN, ...fetchIt, '--admin', taker.admin]);
    expect([asked.exitCode, asked.exitCode === 0 ? '' : asked.output]).toEqual([0, '']);
    await seeder[Symbol.asyncDispose]();
    expect(await blobDigestAt(other.facade, 'nowhere.test/files', digest)).toBe(digest);
    expect(await taker.metric('dockyard_served_bytes_total', { to: 'peer' })).toBeGreaterThanOrEqual(bytes.length);
    // It goes on to share the torrent, and gives it to whoever asks: the blob is of no seed's own.
    expect(await taker.metric('dockyard_torrents')).toBe(1);
    const given = await fetch(`http://${taker.facade}/torrents/${digest}.torrent`);
    expect(given.headers.get('dockyard-info-hash')).toBe(metainfo.info.infoHash);
    // A torrent of something else has no place there.
    const strange = join(folder, 'strange.torrent');
    await writeFile(strange, encodeMetainfo({ ...metainfo, info: await infoOf('strange', bytes) }));
    const refused = await fetch(`http://${taker.admin}/torrents`, { method: 'POST', body: await readFile(strange) });
    expect(await refused.text()).toContain('ERR_TORRENT_UNSUITABLE');
  });
});
