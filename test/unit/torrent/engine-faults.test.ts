/** What the engine outlives, the death of its thread; and what it tells its peers. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FolderStorage } from '../../../src/torrent/folder-storage.ts';
import { LayoutStorage } from '../../../src/torrent/layout-storage.ts';
import type { Metainfo } from '../../../src/torrent/metainfo.ts';
import type { TorrentStorage } from '../../../src/torrent/storage.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../../src/torrent/torrent-engine.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { infoOf } from './metainfo-fixtures.ts';
import { RawPeer } from './raw-peer.ts';

const log = pino({ level: 'silent' });
const config = { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 };
const MIB = 1024 * 1024;

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'torrent-faults-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

function memoryStorage(bytes: Buffer): TorrentStorage {
  const file = { path: ['x'], sizeBytes: bytes.length, bytes, digest: undefined };
  const blobs = { open: async () => await Promise.resolve(undefined) };
  return new LayoutStorage({ blobs, onGone: () => undefined, recycle: () => undefined }, [file]);
}

async function metainfoOf(bytes: Buffer): Promise<Metainfo> {
  return { info: await infoOf('one', bytes), trackerTiers: [], webSeeds: [], comment: undefined };
}

/** Opens an engine, and tells of its threads. */
async function openWatched(changes: Partial<typeof config> = {}) {
  const threads: Worker[] = [];
  const note = (worker: Worker): void => void threads.push(worker);
  process.on('worker', note);
  const engine = await TorrentEngine.open({ log }, { ...config, ...changes });
  const restarted = async (): Promise<void> => {
    const before = engine.stats().restarts;
    await threads.at(-1)?.terminate();
    await expect.poll(() => engine.stats().restarts, { timeout: 10_000 }).toBe(before + 1);
  };
  const dispose = async (): Promise<void> => {
    process.off('worker', note);
    await engine.close();
  };
  return { engine, restarted, [Symbol.asyncDispose]: dispose };
}

describe('an engine whose thread dies', { timeout: 30_000 }, () => {
  test('starts another, which shares the same torrents at the same port', async () => {
    const bytes = seededBytes(700_000, 1);
    const metainfo = await metainfoOf(bytes);
    await using seeder = await openWatched();
    await seeder.engine.seed(metainfo, memoryStorage(bytes));
    const { port } = seeder.engine;
    await seeder.restarted();
    expect([seeder.engine.port, seeder.engine.has(metainfo.info.infoHash)]).toEqual([port, true]);
    await using leecher = await TorrentEngine.open({ log }, config);
    const target = join(folder, 'one');
    await leecher.download(metainfo, await FolderStorage.open(metainfo.info, target), {
      peers: [`127.0.0.1:${port}`],
    });
    expect((await readFile(target)).equals(bytes)).toBe(true);
  });

  test('goes on with a download, and fetches nothing again that is right', async () => {
    const bytes = seededBytes(3 * MIB, 2);
    const metainfo = await metainfoOf(bytes);
    await using seeder = await TorrentEngine.open({ log }, { ...config, uploadBytesPerSecond: MIB });
    await seeder.seed(metainfo, memoryStorage(bytes));
    await using leecher = await openWatched();
    let writtenBytes = 0;
    const half = Promise.withResolvers<void>();
    const target = join(folder, 'one');
    const storage = await FolderStorage.open(metainfo.info, target);
    const counting = {
      isEmpty: storage.isEmpty,
      read: storage.read.bind(storage),
      write: async (offsetBytes: number, piece: Uint8Array) => {
        await storage.write(offsetBytes, piece);
        writtenBytes += piece.length;
        if (writtenBytes > MIB) half.resolve();
      },
      complete: storage.complete.bind(storage),
      close: storage.close.bind(storage),
    };
    const downloading = leecher.engine.download(metainfo, counting, { peers: [`127.0.0.1:${seeder.port}`] });
    await half.promise;
    await leecher.restarted();
    await downloading;
    expect((await readFile(target)).equals(bytes)).toBe(true);
    expect(writtenBytes).toBe(bytes.length);
  });
});

describe('a peer', { timeout: 30_000 }, () => {
  test('is told of further ones only where that is switched on', async () => {
    const bytes = seededBytes(100_000, 3);
    const metainfo = await metainfoOf(bytes);
    const offers: boolean[] = [];
    for (const pex of [false, true]) {
      await using engine = await TorrentEngine.open({ log }, { ...config, pex });
      await engine.seed(metainfo, memoryStorage(bytes));
      await using peer = await RawPeer.connect(engine.port, metainfo.info.infoHash);
      const extensions = await peer.extensions();
      offers.push(extensions instanceof Map && extensions.has('ut_pex'));
    }
    expect(offers).toEqual([false, true]);
  });
});
