/** The torrents of a node, and torrent clients that know nothing of us. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { generateSwarmKey } from '../../src/swarm/swarm-key.ts';
import { encodeMetainfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { requirement } from '../skip-reasons.ts';
import { NodeProcess } from '../support/node-process.ts';
import { freePort, isInstalled, run, until } from '../support/programs.ts';
import { TrackerProcess } from '../support/tracker-process.ts';

const hasAria = requirement('aria2c', isInstalled('aria2c'), 'apt-get install aria2');

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dockyard-torrent-node-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Pushes a blob to a seed, in a repository of its own. */
async function pushBlob(facade: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes);
  const url = `http://${facade}/v2/team/files/blobs/uploads/?digest=${digest}`;
  const response = await fetch(url, { method: 'POST', body: new Uint8Array(bytes) });
  expect(response.status).toBe(201);
  return digest;
}

/** Gets the torrent of a blob, and leaves out of it what would lead to the content without a peer. */
async function torrentFileOf(
  facade: string,
  digest: Digest,
  name: string,
): Promise<{ path: string; infoHash: string }> {
  const response = await fetch(`http://${facade}/torrents/${digest}.torrent`);
  expect(response.status).toBe(200);
  const metainfo = parseMetainfo(Buffer.from(await response.arrayBuffer()));
  const path = join(folder, `${name}.torrent`);
  await writeFile(path, encodeMetainfo({ ...metainfo, webSeeds: [] }));
  return { path, infoHash: metainfo.info.infoHash };
}

/** Lets aria2c fetch a torrent, by its tracker alone unless flags say otherwise. */
async function fetchByAria(torrentFile: string, directory: string, flags: readonly string[] = []) {
  const quiet = ['--no-conf', '--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false', '--disable-ipv6'];
  const once = ['--seed-time=0', '--enable-peer-exchange=false', '--bt-stop-timeout=30', `--dir=${directory}`];
  return await run('aria2c', [...quiet, ...once, `--listen-port=${await freePort()}`, ...flags, torrentFile]);
}

describe.skipIf(!hasAria)('the torrents of a seed', { timeout: 60_000 }, () => {
  test('are let into a closed tracker by the swarm key, over HTTP and UDP, and aria2c finds the seed there', async () => {
    const keyFile = join(folder, 'swarm.key');
    await writeFile(keyFile, generateSwarmKey(randomBytes).toFileText(), { mode: 0o600 });
    await using tracker = await TrackerProcess.start(['--swarm-key', keyFile, '--interval', '1s']);
    for (const scheme of ['http', 'udp']) {
      const bytes = randomBytes(600_000);
      const torrent = ['--torrent', `127.0.0.1:${await freePort()}`, '--tracker', tracker.url(scheme)];
      const data = join(folder, `closed-${scheme}`);
      await using seed = await NodeProcess.startSeed(['--data', data, '--swarm-key', keyFile, ...torrent]);
      const digest = await pushBlob(seed.facade, bytes);
      const { path, infoHash } = await torrentFileOf(seed.facade, digest, scheme);
      const scrape = `http://127.0.0.1:${tracker.port}/scrape?info_hash=${infoHash.replaceAll(/../g, '%$&')}`;
      let told = '';
      await until(
        () => `the tracker lists the seed as one who has all: ${told}\n${seed.err}`,
        async () => (told = await (await fetch(scrape)).text()).includes('8:completei1e'),
      );
      // aria2c proves nothing: that a holder of the key announced the torrent lets it in. It asks UDP trackers with the DHT alone.
      const byHttp = join(folder, `${scheme}-http.torrent`);
      const metainfo = parseMetainfo(await readFile(path));
      await writeFile(byHttp, encodeMetainfo({ ...metainfo, trackerTiers: [[tracker.url('http')]] }));
      const target = join(folder, `aria-${scheme}`);
      expect(await fetchByAria(byHttp, target)).toMatchObject({ exitCode: 0 });
      expect((await readFile(join(target, digest.replace(':', '-')))).equals(bytes)).toBe(true);
      expect(await seed.metric('dockyard_torrent_bytes_total', { direction: 'sent' })).toBeGreaterThanOrEqual(600_000);
    }
  });
});
