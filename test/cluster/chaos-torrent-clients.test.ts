/** Torrent clients that know nothing of us fetch from our nodes through our tracker, and our engine from them. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { FolderStorage } from '../../src/torrent/folder-storage.ts';
import { encodeMetainfo, type Metainfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../src/torrent/torrent-engine.ts';
import { torrentTrackers } from '../../node/composition/torrent-trackers.ts';
import type { DockyardTracker } from '../../tracker/tracker.ts';
import { seededBytes } from '../contract/blob-store-fixtures.ts';
import { requirement } from '../skip-reasons.ts';
import { packed, testImage } from '../support/aci-builder.ts';
import { makeRandomImage, pushImage, type Image } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { openLoopbackTracker } from '../support/open-tracker.ts';
import { freePort, isInstalled, mustRun, until } from '../support/programs.ts';
import { FOREIGN_CLIENTS, untilFetched, type ForeignClient } from '../support/torrent-clients.ts';
import { infoOf } from '../unit/torrent/metainfo-fixtures.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'seed.test';

const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');
const log = pino({ level: 'silent' });
const trackers = torrentTrackers(undefined, []);
const ENGINE_CONFIG = { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 };

describe.skipIf(!hasSkopeo)('torrents and clients that know nothing of us', () => {
  let folder = '';
  let count = 0;
  let tracker: DockyardTracker;
  let seed: NodeProcess;
  let image: Image;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-torrent-'));
    tracker = await openLoopbackTracker({ intervalMs: 2_000 });
    seed = await startSeed('seed', '--appc-enabled=true', '--appc-unsigned=true');
    image = makeRandomImage(6 * MIB, 300_000);
    await pushImage(`${seed.facade}/team/app:1`, image);
  });

  afterAll(async () => {
    await seed?.[Symbol.asyncDispose]();
    await tracker?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function startSeed(name: string, ...args: string[]): Promise<NodeProcess> {
    return await NodeProcess.startSeed(['--data', join(folder, name), ...(await torrentFlags()), ...args]);
  }

  function announce(): string {
    return `http://127.0.0.1:${tracker.port}/announce`;
  }

  async function torrentFlags(): Promise<string[]> {
    return ['--torrent', `127.0.0.1:${await freePort()}`, '--tracker', announce()];
  }

  async function fetchTorrent(path: string, node = seed): Promise<Metainfo> {
    const answer = await fetch(`http://${node.facade}/torrents/${path}.torrent`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/x-bittorrent');
    const metainfo = parseMetainfo(Buffer.from(await answer.arrayBuffer()));
    if (metainfo.trackerTiers.length > 0) await untilSeeded(metainfo);
    return metainfo;
  }

  /** Some clients ask the tracker once, and then not for minutes. */
  async function untilSeeded({ info }: Metainfo): Promise<void> {
    const hash = info.infoHash.replaceAll(/../g, '%$&');
    const scrape = `http://127.0.0.1:${tracker.port}/scrape?info_hash=${hash}`;
    const isSeeded = async (): Promise<boolean> => /8:completei[1-9]/.test(await (await fetch(scrape)).text());
    await until('the tracker knows a seeder', isSeeded, 20_000, 50);
  }

  /** Writes a torrent file into a folder of its own, where a client may download. */
  async function place(metainfo: Metainfo): Promise<{ torrentFile: string; place: string }> {
    count += 1;
    const place = join(folder, `client-${count}`);
    await mkdir(place);
    const torrentFile = join(folder, `${count}.torrent`);
    await writeFile(torrentFile, encodeMetainfo(metainfo));
    return { torrentFile, place };
  }

  /** Pushes an app container image of an app of that name. */
  async function pushApp(app: string): Promise<Digest> {
    const name = `example.com/team/${app}`;
    const body = packed(testImage(name, { body: seededBytes(2 * MIB, app.length) }), 'gzip', 1);
    const answer = await fetch(`http://${seed.facade}/appc/images/${name}/1.0/linux/amd64.aci`, {
      method: 'PUT',
      body,
    });
    expect(answer.status).toBe(201);
    return digestOf(body);
  }

  async function holdsBlob(client: ForeignClient, digest: Digest): Promise<boolean> {
    return digestOf(await readFile(join(client.folder, digest.replace(':', '-')))) === digest;
  }

  /** Every blob of the layout is right, and skopeo copies it to where its digest can be compared. */
  async function holdsImage(layout: string, { manifest, config, layers } = image): Promise<boolean> {
    for (const part of [manifest, config, ...layers]) {
      const bytes = await readFile(join(layout, 'blobs', 'sha256', part.digest.slice('sha256:'.length)));
      if (digestOf(bytes) !== part.digest) return false;
    }
    return true;
  }

  async function skopeoDigest(layout: string): Promise<string> {
    const raw = await mustRun('skopeo', ['inspect', '--raw', `oci:${layout}`]);
    await mustRun('skopeo', ['copy', '--insecure-policy', `oci:${layout}`, `dir:${layout}-copied`]);
    return digestOf(Buffer.from(raw));
  }

  const peersOnly = (metainfo: Metainfo): Metainfo => ({ ...metainfo, webSeeds: [] });
  const webSeedOnly = (metainfo: Metainfo): Metainfo => ({ ...metainfo, trackerTiers: [] });
  const layerOf = ({ layers }: Image): Digest => layers[0]?.digest ?? image.config.digest;

  for (const { name, start } of FOREIGN_CLIENTS) {
    test(`${name} fetches a blob, an app and an image from our seed, through our tracker`, async () => {
      // An image of its own: rtorrent knows one peer of each address, and must not come upon another client.
      const own = makeRandomImage(6 * MIB, 300_000);
      await pushImage(`${seed.facade}/team/${name}:1`, own);
      const [digest, app] = [layerOf(own), await pushApp(name)];
      const [blob, aci, layout] = [
        await place(peersOnly(await fetchTorrent(`team/${name}/${digest}`))),
        await place(peersOnly(await fetchTorrent(`appc/example.com/team/${name}/${app}`))),
        await place(peersOnly(await fetchTorrent(`team/${name}/1`))),
      ];
      await using blobClient = await start(blob.torrentFile, blob.place);
      await using appClient = await start(aci.torrentFile, aci.place);
      await using layoutClient = await start(layout.torrentFile, layout.place);
      await untilFetched(blobClient, async () => await holdsBlob(blobClient, digest));
      await untilFetched(appClient, async () => await holdsBlob(appClient, app));
      const fetched = join(layout.place, own.manifest.digest.replace(':', '-'));
      await untilFetched(layoutClient, async () => await holdsImage(fetched, own));
      expect(await skopeoDigest(fetched)).toBe(own.manifest.digest);
    });
  }

  for (const { name, start } of FOREIGN_CLIENTS.filter((client) => client.name !== 'rtorrent')) {
    test(`${name} fetches a blob and an image from the web seed, with no peer`, async () => {
      const digest = layerOf(image);
      const [blob, layout] = [
        await place(webSeedOnly(await fetchTorrent(`team/app/${digest}`))),
        await place(webSeedOnly(await fetchTorrent('team/app/1'))),
      ];
      await using blobClient = await start(blob.torrentFile, blob.place);
      await using layoutClient = await start(layout.torrentFile, layout.place);
      await untilFetched(blobClient, async () => await holdsBlob(blobClient, digest));
      const fetched = join(layout.place, image.manifest.digest.replace(':', '-'));
      await untilFetched(layoutClient, async () => await holdsImage(fetched));
      expect(await skopeoDigest(fetched)).toBe(image.manifest.digest);
    });
  }

  for (const { name, start } of FOREIGN_CLIENTS) {
    test(`our engine fetches from ${name}, which takes no plain connections`, async () => {
      const bytes = seededBytes(3_000_000, name.length);
      const info = await infoOf('one', bytes);
      const metainfo = { info, trackerTiers: [[announce()]], webSeeds: [], comment: undefined };
      const { torrentFile, place: clientPlace } = await place(metainfo);
      await writeFile(join(clientPlace, 'one'), bytes);
      await using client = await start(torrentFile, clientPlace, { isEncrypted: true });
      await using engine = await TorrentEngine.open({ log, trackers }, ENGINE_CONFIG);
      const target = join(folder, `from-${name}`);
      await engine.download(metainfo, await FolderStorage.open(info, target), {
        peers: [`127.0.0.1:${client.port}`],
        signal: AbortSignal.timeout(40_000),
      });
      expect((await readFile(target)).equals(bytes)).toBe(true);
    });
  }

  test('a swarm of two of our nodes and two clients completes when the first seeder is stopped at half', async () => {
    const big = makeRandomImage(16 * MIB);
    await using first = await startSeed('first');
    await pushImage(`${first.facade}/team/big:1`, big);
    const upstream = ['--upstream', `${UPSTREAM}=http://${first.facade}`];
    await using second = await NodeProcess.start([
      ...['--data', join(folder, 'second'), ...upstream, '--bootstrap', await first.swarm()],
      ...(await torrentFlags()),
    ]);
    const digest = layerOf(big);
    const metainfo = peersOnly(await fetchTorrent('team/big/1', first));
    // The second node fetches the image for it, and makes the same torrent.
    const again = await fetchTorrent(`${UPSTREAM}/team/big/1`, second);
    expect(again.info).toEqual(metainfo.info);
    const clients = await Promise.all(
      FOREIGN_CLIENTS.slice(0, 2).map(async ({ start }) => {
        const { torrentFile, place: clientPlace } = await place(metainfo);
        return await start(torrentFile, clientPlace, { downloadKib: 4096 });
      }),
    );
    await until('half of it has left the first seeder and the second', async () => {
      const sent = [first, second].map(
        async (node) => await node.metric('dockyard_torrent_bytes_total', { direction: 'sent' }),
      );
      const [fromFirst = 0, fromSecond = 0] = await Promise.all(sent);
      return fromFirst > 0 && fromFirst + fromSecond > 16 * MIB;
    });
    first.child.kill('SIGKILL');
    for (const client of clients) {
      const path = join(client.folder, metainfo.info.name, 'blobs', 'sha256', digest.slice('sha256:'.length));
      await untilFetched(client, async () => digestOf(await readFile(path)) === digest);
      await client[Symbol.asyncDispose]();
    }
  });

  test('what was shared before a restart is shared after it', async () => {
    const data = ['--data', join(folder, 'again'), ...(await torrentFlags())];
    const digest = layerOf(image);
    let metainfo: Metainfo;
    {
      await using before = await NodeProcess.startSeed(data);
      await pushImage(`${before.facade}/team/app:1`, image);
      metainfo = peersOnly(await fetchTorrent(`team/app/${digest}`, before));
    }
    await using after = await NodeProcess.startSeed(data);
    expect(await after.metric('dockyard_torrents')).toBe(1);
    await using engine = await TorrentEngine.open({ log }, ENGINE_CONFIG);
    const target = join(folder, 'again-fetched');
    await engine.download({ ...metainfo, trackerTiers: [] }, await FolderStorage.open(metainfo.info, target), {
      peers: [data[3] ?? ''],
      signal: AbortSignal.timeout(20_000),
    });
    expect(digestOf(await readFile(target))).toBe(digest);
  });
});
