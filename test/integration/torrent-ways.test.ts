/** Torrents of a node that are found or read in less usual ways: a DHT, multicast, a bucket, the registry itself. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeBencode } from '../../src/bencode/bencode.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { FolderStorage } from '../../src/torrent/folder-storage.ts';
import { encodeMetainfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../src/torrent/torrent-engine.ts';
import { requirement } from '../skip-reasons.ts';
import { fetchByAria, saveTorrent } from '../support/aria-fetch.ts';
import { pushBlob, requireDockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { openLoopbackTracker } from '../support/open-tracker.ts';
import { freePort, isInstalled, until } from '../support/programs.ts';
import { hasS3Server, S3_SERVER_REMEDY } from '../support/s3-server.ts';
import { pushBlobTo, SeedPlace } from '../support/seed-place.ts';
import { startAria2, type ForeignClient } from '../support/torrent-clients.ts';
import { infoOf } from '../unit/torrent/metainfo-fixtures.ts';

const hasAria = requirement('aria2c', isInstalled('aria2c'), 'apt-get install aria2');

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dockyard-torrent-ways-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const hasRegistry = requireDockerRegistry();

describe.skipIf(!hasAria || !hasRegistry)('a node of a registry that is open to all', { timeout: 60_000 }, () => {
  test('names the registry in torrents of blobs, so that aria2c has them of it when the node is gone', async () => {
    const storage = join(folder, 'registry');
    await mkdir(storage);
    await using registry = await startDockerRegistry(storage);
    const bytes = randomBytes(700_000);
    const digest = await pushBlob(registry.url, 'team/files', bytes);
    const path = join(folder, 'origin.torrent');
    {
      const flags = ['--upstream', `r.test=${registry.url}`, '--torrent-origin-web-seeds', 'true'];
      const torrent = ['--torrent', `127.0.0.1:${await freePort()}`, '--swarm-enabled=false'];
      await using node = await NodeProcess.start(['--data', join(folder, 'origin'), ...flags, ...torrent]);
      const given = await fetch(`http://${node.facade}/torrents/r.test/team/files/${digest}.torrent`);
      const body = Buffer.from(await given.arrayBuffer());
      expect([given.status, given.ok ? '' : body.toString()]).toEqual([200, '']);
      await writeFile(path, body);
      expect(parseMetainfo(await readFile(path)).webSeeds).toEqual([
        `http://${node.facade}/v2/r.test/team/files/blobs/${digest}`,
        `${registry.url}/v2/team/files/blobs/${digest}`,
      ]);
    }
    const target = join(folder, 'by-origin');
    expect(await fetchByAria(path, target)).toMatchObject({ exitCode: 0 });
    expect((await readFile(join(target, digest.replace(':', '-')))).equals(bytes)).toBe(true);
  });
});

/** Multicast does not go over loopback. */
const HOST = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const hasHost = requirement('an IPv4 address beside loopback', HOST !== undefined, 'connect the machine');

/** Torrent clients wait for clocks of their own, of which several do so at once in the same time. */
const WAITING = { timeout: 60_000, concurrent: true } as const;

describe.skipIf(!hasAria || !hasHost)('a seed that may be found without a tracker', WAITING, () => {
  test('is found by aria2c through a DHT of its own, and by multicast in the local network', async () => {
    const entry = await freePort();
    const nobody = { dht: true, dhtBootstrap: ['127.0.0.1:1'] };
    await using dht = await TorrentEngine.open(
      { log: pino({ level: 'silent' }) },
      { ...TORRENT_ENGINE_DEFAULTS, ...nobody, host: '127.0.0.1', port: entry },
    );
    expect(dht.port).toBe(entry);
    const torrent = ['--torrent', `0.0.0.0:${await freePort()}`, '--torrent-lsd', 'true'];
    const dhtFlags = ['--torrent-dht', 'true', '--torrent-dht-bootstrap', `127.0.0.1:${entry}`];
    const data = join(folder, 'found');
    await using seed = await NodeProcess.startSeed(['--data', data, '--swarm-enabled=false', ...torrent, ...dhtFlags]);
    const dhtPort = await freePort();
    const byDht = ['--enable-dht=true', `--dht-entry-point=127.0.0.1:${entry}`, `--dht-listen-port=${dhtPort}`];
    const fetchBy = async (way: string, flags: readonly string[]): Promise<void> => {
      const bytes = randomBytes(300_000);
      const digest = await pushBlobTo(seed.facade, 'team/files', bytes);
      const { path } = await saveTorrent(seed.facade, `team/files/${digest}`, folder);
      const target = join(folder, `by-${way}`);
      const { exitCode, output } = await fetchByAria(path, target, flags);
      expect([way, exitCode, exitCode === 0 ? '' : output]).toEqual([way, 0, '']);
      expect((await readFile(join(target, digest.replace(':', '-')))).equals(bytes)).toBe(true);
    };
    await Promise.all([
      fetchBy('dht', [...byDht, `--dht-file-path=${join(folder, 'dht.dat')}`]),
      fetchBy('lsd', ['--bt-enable-lpd=true', `--bt-lpd-interface=${HOST}`]),
    ]);
  });
});

describe.skipIf(!hasAria)('two that a tracker tells of a seeder of ours alone', WAITING, () => {
  test('find each other by what that tells them of each other', async () => {
    const bytes = randomBytes(6_000_000);
    const name = 'exchanged';
    const info = await infoOf(name, bytes);
    await writeFile(join(folder, name), bytes);
    const slow = { pex: true, uploadBytesPerSecond: 100_000 };
    await using seeder = await TorrentEngine.open(
      { log: pino({ level: 'silent' }) },
      { ...TORRENT_ENGINE_DEFAULTS, ...slow, host: '127.0.0.1', port: 0 },
    );
    await using tracker = await startTrackerOfOne(seeder.port);
    const metainfo = { info, trackerTiers: [[tracker.url]], webSeeds: [], comment: undefined };
    await seeder.seed(metainfo, await FolderStorage.open(info, join(folder, name)));
    const torrentFile = join(folder, 'exchanged.torrent');
    await writeFile(torrentFile, encodeMetainfo(metainfo));
    await using one = await startAria2(torrentFile, join(folder, 'one'), { isExchanging: true });
    await using other = await startAria2(torrentFile, join(folder, 'other'), { isExchanging: true });
    const hasBoth = (client: ForeignClient): boolean => client.output().includes(' CN:2 ');
    await until(
      () => `both have two connections: ${one.output().slice(-500)} ${other.output().slice(-500)}`,
      () => hasBoth(one) && hasBoth(other),
      45_000,
    );
    expect(seeder.stats().torrents).toBe(1);
  });
});

interface TrackerOfOne extends AsyncDisposable {
  readonly url: string;
}

/** Tells everyone of one peer on this machine, and of nobody else. */
async function startTrackerOfOne(port: number): Promise<TrackerOfOne> {
  const peers = Buffer.from([127, 0, 0, 1, port >> 8, port & 0xff]);
  const answer = encodeBencode({ interval: 1800, peers });
  const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/announce`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const hasBucket = requirement('versitygw', hasS3Server, S3_SERVER_REMEDY);

describe.skipIf(!hasAria || !hasBucket)('the torrents of a seed over a bucket', { timeout: 60_000 }, () => {
  test('are read from the bucket by aria2c and by its web seed, also after a restart', async () => {
    await using place = await SeedPlace.open('s3');
    await using tracker = await openLoopbackTracker({ intervalMs: 1_000 });
    const announce = `http://127.0.0.1:${tracker.port}/announce`;
    const torrent = ['--torrent', `127.0.0.1:${await freePort()}`, '--tracker', announce];
    const bytes = randomBytes(3_000_000);
    const digest = digestOf(bytes);
    let path: string;
    {
      await using seed = await place.startSeed({}, 'seed', torrent);
      await pushBlobTo(seed.facade, 'team/files', bytes);
      // Its digest alone leads nobody to what was pushed to a seed.
      for (const what of [`${digest}.torrent`, digest, `team/other/${digest}.torrent`])
        expect((await fetch(`http://${seed.facade}/torrents/${what}`)).status).toBe(404);
      ({ path } = await saveTorrent(seed.facade, `team/files/${digest}`, folder));
      const named = `http://${seed.facade}/torrents/team/files/${digest}.torrent`;
      const byWeb = join(folder, 'web-seed.torrent');
      await writeFile(byWeb, Buffer.from(await (await fetch(named)).arrayBuffer()));
      expect(await fetchByAria(byWeb, join(folder, 'by-web'))).toMatchObject({ exitCode: 0 });
      expect((await readFile(join(folder, 'by-web', digest.replace(':', '-')))).equals(bytes)).toBe(true);
    }
    await using again = await place.startSeed({}, 'seed', torrent);
    await until('it shares again', async () => (await again.metric('dockyard_torrents')) === 1);
    const target = join(folder, 'by-peers');
    expect(await fetchByAria(path, target)).toMatchObject({ exitCode: 0 });
    expect((await readFile(join(target, digest.replace(':', '-')))).equals(bytes)).toBe(true);
    expect(await again.metric('dockyard_torrent_bytes_total', { direction: 'sent' })).toBeGreaterThanOrEqual(3_000_000);
  });
});
