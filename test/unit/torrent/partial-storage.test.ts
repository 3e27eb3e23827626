import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { MemoryBlobStore } from '../../../src/content/memory-blob-store.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { torrentName } from '../../../src/torrent/image-layout.ts';
import { LayoutStorage } from '../../../src/torrent/layout-storage.ts';
import { makeTorrentInfo, type Metainfo } from '../../../src/torrent/metainfo.ts';
import { PartialStorage } from '../../../src/torrent/partial-storage.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../../src/torrent/torrent-engine.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { infoOf } from './metainfo-fixtures.ts';

const log = pino({ level: 'silent' });
const config = { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 };
const clock = { nowMs: (): number => 0 };

function storeOf(): MemoryBlobStore {
  return new MemoryBlobStore({ clock }, { maxSizeBytes: 100_000_000 });
}

async function metainfoOf(name: string, bytes: Buffer): Promise<Metainfo> {
  return { info: await infoOf(name, bytes), trackerTiers: [], webSeeds: [], comment: undefined };
}

describe('a torrent of a blob', () => {
  test('goes from one store to another, and is held when its digest is right', async () => {
    const bytes = seededBytes(1_500_000, 1);
    const digest = digestOf(bytes);
    const [from, to] = [storeOf(), storeOf()];
    await from.put(digest, bytes);
    const metainfo = await metainfoOf(torrentName(digest), bytes);
    await using seeder = await TorrentEngine.open({ log }, config);
    await using leecher = await TorrentEngine.open({ log }, config);
    const files = [{ path: ['blob'], sizeBytes: bytes.length, bytes: undefined, digest }];
    await seeder.seed(
      metainfo,
      new LayoutStorage({ blobs: from, onGone: () => undefined, recycle: () => undefined }, files),
    );
    const storage = new PartialStorage(metainfo.info, await to.openPartial(digest, bytes.length), to);
    await leecher.download(metainfo, storage, { peers: [`127.0.0.1:${seeder.port}`], keepSeeding: true });
    expect(to.stat(digest)).toMatchObject({ sizeBytes: bytes.length });
    expect(Buffer.from(await storage.read({ start: 7, end: 1000 })).equals(bytes.subarray(7, 1000))).toBe(true);
  });

  test('that has other bytes than its name says is not held', async () => {
    const bytes = seededBytes(300_000, 2);
    const digest = digestOf(Buffer.from('something else'));
    const to = storeOf();
    const { info } = await metainfoOf(torrentName(digest), bytes);
    const storage = new PartialStorage(info, await to.openPartial(digest, bytes.length), to);
    await storage.write(0, bytes.subarray(0, 262_144));
    await storage.write(262_144, bytes.subarray(262_144));
    await expect(storage.complete()).rejects.toMatchObject({ code: 'ERR_TORRENT_MISMATCH' });
    expect(to.stat(digest)).toBeUndefined();
  });

  test('is refused when it is none, or its pieces do not fit', async () => {
    const bytes = seededBytes(300_000, 3);
    const digest = digestOf(bytes);
    const to = storeOf();
    await using partial = await to.openPartial(digest, bytes.length);
    const { info } = await metainfoOf('debian.iso', bytes);
    expect(() => new PartialStorage(info, partial, to)).toThrow(
      expect.objectContaining({ code: 'ERR_TORRENT_UNSUITABLE' }),
    );
    const small = makeTorrentInfo({
      ...info,
      name: torrentName(digest),
      pieceSizeBytes: 16_384,
      pieceHashes: Buffer.alloc(380),
    });
    expect(() => new PartialStorage(small, partial, to)).toThrow(
      expect.objectContaining({ code: 'ERR_TORRENT_UNSUITABLE' }),
    );
  });
});
