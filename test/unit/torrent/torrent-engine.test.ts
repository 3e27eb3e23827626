import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { torrentTrackers } from '../../../node/composition/torrent-trackers.ts';
import { FolderStorage } from '../../../src/torrent/folder-storage.ts';
import { makeTorrent } from '../../../src/torrent/make-torrent.ts';
import { openLoopbackTracker } from '../../support/open-tracker.ts';
import type { Metainfo } from '../../../src/torrent/metainfo.ts';
import { LayoutStorage } from '../../../src/torrent/layout-storage.ts';
import type { TorrentStorage } from '../../../src/torrent/storage.ts';
import type { DownloadProgress } from '../../../src/torrent/engine-entry.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../../src/torrent/torrent-engine.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { infoOf, memoryFile } from './metainfo-fixtures.ts';

const log = pino({ level: 'silent' });
const trackers = torrentTrackers(undefined, []);
const config = { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 };

/** Content in memory, as a node has small files of a layout. */
function memoryStorage(bytes: Buffer): TorrentStorage {
  const file = { path: ['x'], sizeBytes: bytes.length, bytes, digest: undefined };
  const blobs = { open: async (): Promise<undefined> => await Promise.resolve(undefined) };
  return new LayoutStorage({ blobs, onGone: () => undefined, recycle: () => undefined }, [file]);
}

function metainfoOf(info: Metainfo['info'], trackers: string[] = []): Metainfo {
  return { info, trackerTiers: trackers.map((url) => [url]), webSeeds: [], comment: undefined };
}

describe('the torrent engine', () => {
  let folder = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'torrent-engine-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  test('seeds from a storage to an engine that downloads into a folder', async () => {
    const bytes = seededBytes(3_000_000, 1);
    const metainfo = metainfoOf(await infoOf('one', bytes));
    await using seeder = await TorrentEngine.open({ log }, config);
    await using leecher = await TorrentEngine.open({ log }, config);
    await seeder.seed(metainfo, memoryStorage(bytes));
    const progress: DownloadProgress[] = [];
    const target = join(folder, 'one');
    await leecher.download(metainfo, await FolderStorage.open(metainfo.info, target), {
      peers: [`127.0.0.1:${seeder.port}`],
      onProgress: (now) => progress.push(now),
    });
    expect((await readFile(target)).equals(bytes)).toBe(true);
    expect(leecher.has(metainfo.info.infoHash)).toBe(false);
    expect(seeder.stats()).toMatchObject({ torrents: 1, restarts: 0 });
  });

  test('finds peers through a tracker, and shares on what it fetched', async () => {
    await using tracker = await openLoopbackTracker();
    const [a, b] = [seededBytes(300_000, 2), seededBytes(500_000, 3)];
    const files = [memoryFile(['a'], a), memoryFile(['sub', 'b'], b)];
    const info = await makeTorrent({ name: 'both', files, isSingleFile: false });
    const metainfo = metainfoOf(info, [`http://127.0.0.1:${tracker.port}/announce`]);
    await using first = await TorrentEngine.open({ log, trackers }, config);
    await using second = await TorrentEngine.open({ log, trackers }, config);
    await using third = await TorrentEngine.open({ log, trackers }, config);
    await first.seed(metainfo, memoryStorage(Buffer.concat([a, b])));
    const target = join(folder, 'second');
    await second.download(metainfo, await FolderStorage.open(info, target), { keepSeeding: true });
    await first.close();
    const other = join(folder, 'third');
    await third.download(metainfo, await FolderStorage.open(info, other));
    expect((await readFile(join(other, 'a'))).equals(a)).toBe(true);
    expect((await readFile(join(other, 'sub', 'b'))).equals(b)).toBe(true);
  });

  test('learns from peers what a magnet link is about', async () => {
    const bytes = seededBytes(400_000, 4);
    const metainfo = metainfoOf(await infoOf('one', bytes));
    await using seeder = await TorrentEngine.open({ log }, config);
    await using leecher = await TorrentEngine.open({ log }, config);
    await seeder.seed(metainfo, memoryStorage(bytes));
    const magnet = { infoHash: metainfo.info.infoHash, name: undefined, trackers: [], webSeeds: [] };
    const learned = await leecher.learn(magnet, { peers: [`127.0.0.1:${seeder.port}`] });
    expect(learned.info).toEqual(metainfo.info);
  });

  test('goes on where an earlier download ended', async () => {
    const bytes = seededBytes(2_000_000, 5);
    const metainfo = metainfoOf(await infoOf('one', bytes));
    const target = join(folder, 'one');
    const half = Buffer.concat([bytes.subarray(0, 1_048_576), Buffer.alloc(bytes.length - 1_048_576)]);
    await writeFile(`${target}.part`, half);
    await using seeder = await TorrentEngine.open({ log }, config);
    await using leecher = await TorrentEngine.open({ log }, config);
    await seeder.seed(metainfo, memoryStorage(bytes));
    await leecher.download(metainfo, await FolderStorage.open(metainfo.info, target), {
      peers: [`127.0.0.1:${seeder.port}`],
    });
    expect((await readFile(target)).equals(bytes)).toBe(true);
    expect(leecher.stats().downloadedBytes).toBeLessThan(1_400_000);
  });

  test('downloads nothing that is there already, and touches nothing that is something else', async () => {
    const bytes = seededBytes(300_000, 6);
    const metainfo = metainfoOf(await infoOf('one', bytes));
    await using seeder = await TorrentEngine.open({ log }, config);
    await using leecher = await TorrentEngine.open({ log }, config);
    await seeder.seed(metainfo, memoryStorage(bytes));
    const peers = [`127.0.0.1:${seeder.port}`];
    const right = join(folder, 'right');
    await writeFile(right, bytes);
    await leecher.download(metainfo, await FolderStorage.open(metainfo.info, right), { peers });
    const foreign = join(folder, 'foreign');
    await writeFile(foreign, 'precious');
    const downloading = leecher.download(metainfo, await FolderStorage.open(metainfo.info, foreign), { peers });
    await expect(downloading).rejects.toMatchObject({ code: 'ERR_TORRENT_FAILED' });
    expect(await readFile(foreign, 'utf8')).toBe('precious');
  });

  test('leaves a peer that gives false pieces, and gets the right ones from another', async () => {
    const bytes = seededBytes(1_000_000, 7);
    const metainfo = metainfoOf(await infoOf('one', bytes));
    await using liar = await TorrentEngine.open({ log }, config);
    await using honest = await TorrentEngine.open({ log }, config);
    await using leecher = await TorrentEngine.open({ log }, config);
    await liar.seed(metainfo, memoryStorage(seededBytes(1_000_000, 8)));
    await honest.seed(metainfo, memoryStorage(bytes));
    const abort = new AbortController();
    const left = Promise.withResolvers<void>();
    let hadPeer = false;
    const deceived = leecher.download(metainfo, await FolderStorage.open(metainfo.info, join(folder, 'a')), {
      peers: [`127.0.0.1:${liar.port}`],
      signal: abort.signal,
      onProgress: ({ peers }) => {
        hadPeer ||= liar.stats().uploadedBytes > 0;
        if (hadPeer && peers === 0) left.resolve();
      },
    });
    await left.promise;
    abort.abort();
    await expect(deceived).rejects.toMatchObject({ name: 'AbortError' });
    expect(liar.stats().uploadedBytes).toBeLessThan(2_000_000);
    const target = join(folder, 'b');
    await leecher.download(metainfo, await FolderStorage.open(metainfo.info, target), {
      peers: [`127.0.0.1:${liar.port}`, `127.0.0.1:${honest.port}`],
    });
    expect((await readFile(target)).equals(bytes)).toBe(true);
  });

  test('ends a download when it is aborted, and when it is closed', async () => {
    const metainfo = metainfoOf(await infoOf('one', Buffer.alloc(300_000)));
    const engine = await TorrentEngine.open({ log }, config);
    const abort = new AbortController();
    const aborted = engine.download(metainfo, await FolderStorage.open(metainfo.info, join(folder, 'a')), {
      signal: abort.signal,
    });
    abort.abort();
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    const closed = engine.download(metainfo, await FolderStorage.open(metainfo.info, join(folder, 'b')));
    await Promise.all([expect(closed).rejects.toMatchObject({ code: 'ERR_TORRENT_CLOSED' }), engine.close()]);
    await expect(engine.seed(metainfo, memoryStorage(Buffer.alloc(1)))).rejects.toMatchObject({
      code: 'ERR_TORRENT_CLOSED',
    });
  });

  test('says that its port is taken', async () => {
    await using first = await TorrentEngine.open({ log }, config);
    const second = TorrentEngine.open({ log }, { ...config, port: first.port });
    await expect(second).rejects.toMatchObject({
      code: 'ERR_TORRENT_LISTEN',
      cause: expect.objectContaining({ code: 'EADDRINUSE' }),
    });
  });
});
