import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryBlobStore } from '../../../src/content/memory-blob-store.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { FolderStorage } from '../../../src/torrent/folder-storage.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../../src/torrent/torrent-engine.ts';
import { TorrentLibrary } from '../../../src/torrent/torrent-library.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';

const log = pino({ level: 'silent' });
const clock = { nowMs: (): number => Date.now() };

describe('the library of torrents', () => {
  let folder = '';
  let engine: TorrentEngine | undefined;
  let opened = 0;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'torrent-library-'));
    opened = 0;
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  async function openLibrary(
    blobs: MemoryBlobStore,
    maxTorrents = 10,
    whenFound?: () => Promise<void>,
  ): Promise<TorrentLibrary> {
    const openEngine = async (): Promise<TorrentEngine> => {
      opened += 1;
      engine = await TorrentEngine.open({ log }, { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 });
      return engine;
    };
    return await TorrentLibrary.open(
      { blobs, openEngine, whenFound, recycle: () => undefined, clock, log, metrics: new Registry() },
      { folder, maxTorrents, trackers: [], isPrivate: false },
    );
  }

  async function storeWith(...contents: Buffer[]): Promise<{ blobs: MemoryBlobStore; digests: Digest[] }> {
    const blobs = new MemoryBlobStore({ clock });
    const digests = contents.map((bytes) => digestOf(bytes));
    for (const [index, bytes] of contents.entries()) await blobs.put(digests[index] ?? digestOf(bytes), bytes);
    return { blobs, digests };
  }

  test('starts no engine before a torrent is asked for, and one for all who ask at once', async () => {
    const { blobs, digests } = await storeWith(seededBytes(600_000, 1), seededBytes(10, 2));
    await using library = await openLibrary(blobs);
    expect(opened).toBe(0);
    const [one, same, other] = await Promise.all(
      [digests[0], digests[0], digests[1]].map(
        async (digest) => await library.ofBlob(digest ?? digestOf(Buffer.alloc(0))),
      ),
    );
    expect(opened).toBe(1);
    expect(one).toEqual(same);
    expect(other?.info.infoHash).not.toBe(one?.info.infoHash);
    expect(engine?.stats().torrents).toBe(2);
  });

  test('has no torrent of what is not held', async () => {
    const { blobs } = await storeWith();
    await using library = await openLibrary(blobs);
    expect(await library.ofBlob(digestOf(Buffer.from('x')))).toBeUndefined();
  });

  test('shares again what it shared before, except what is damaged or gone', async () => {
    const { blobs, digests } = await storeWith(
      seededBytes(300_000, 1),
      seededBytes(300_000, 2),
      seededBytes(300_000, 3),
    );
    {
      await using library = await openLibrary(blobs);
      for (const digest of digests) await library.ofBlob(digest);
    }
    const [kept = digestOf(Buffer.alloc(0)), gone, damaged] = digests;
    if (gone !== undefined) await blobs.remove(gone);
    await writeFile(join(folder, `blob-${damaged?.replace(':', '-')}`), 'damaged');
    await using again = await openLibrary(blobs);
    expect(engine?.stats().torrents).toBe(1);
    expect(await readdir(folder)).toEqual([`blob-${kept.replace(':', '-')}`]);
    expect(again).toBeInstanceOf(TorrentLibrary);
  });

  test('shares no more than it is to, and leaves first what was asked for least recently', async () => {
    const { blobs, digests } = await storeWith(seededBytes(300, 1), seededBytes(300, 2), seededBytes(300, 3));
    await using library = await openLibrary(blobs, 2);
    const [first, second, third] = digests;
    const torrents = [];
    for (const digest of [first, second, first, third]) torrents.push(digest && (await library.ofBlob(digest)));
    expect(engine?.stats().torrents).toBe(2);
    expect(engine?.has(torrents[1]?.info.infoHash ?? '')).toBe(false);
    expect(await readdir(folder)).toHaveLength(2);
  });

  test('shares again what lies in storage that is searched first, and hashes none of it anew', async () => {
    const { blobs, digests } = await storeWith(seededBytes(300_000, 1));
    const [digest = digestOf(Buffer.alloc(0))] = digests;
    {
      await using library = await openLibrary(blobs);
      await library.ofBlob(digest);
    }
    const empty = new MemoryBlobStore({ clock });
    const found = Promise.withResolvers<void>();
    const later = { stat: empty.stat.bind(empty), open: blobs.open.bind(blobs) };
    await using library = await openLibrary(Object.assign(empty, later), 10, async () => await found.promise);
    const record = join(folder, `blob-${digest.replace(':', '-')}`);
    const { ino } = await stat(record);
    empty.stat = blobs.stat.bind(blobs);
    const asked = library.ofBlob(digest);
    found.resolve();
    expect((await asked)?.comment).toBe(digest);
    expect([engine?.stats().torrents, (await stat(record)).ino]).toEqual([1, ino]);
  });

  test('does not wait at the end for storage that is still being searched', async () => {
    const { blobs } = await storeWith();
    const library = await openLibrary(blobs, 10, async () => await new Promise(() => undefined));
    await library.close();
    await expect(library.ofBlob(digestOf(Buffer.from('x')))).resolves.toBeUndefined();
  });

  test('goes on sharing while a bucket does not answer', async () => {
    const { blobs, digests } = await storeWith(seededBytes(300_000, 1));
    const [digest = digestOf(Buffer.alloc(0))] = digests;
    await using library = await openLibrary(blobs);
    const metainfo = await library.ofBlob(digest);
    const open = blobs.open.bind(blobs);
    let refused = 0;
    blobs.open = async (asked) => (refused++ === 0 ? undefined : await open(asked));
    await using leecher = await TorrentEngine.open({ log }, { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 });
    if (metainfo === undefined) throw new Error('the blob has no torrent');
    const target = join(folder, 'fetched');
    const peers = [`127.0.0.1:${engine?.port}`];
    await leecher.download(metainfo, await FolderStorage.open(metainfo.info, target), { peers });
    expect(refused).toBeGreaterThan(1);
    expect((await readFile(target)).equals(seededBytes(300_000, 1))).toBe(true);
  });
});
