/** What peers may do to an engine, and what becomes of them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FolderStorage } from '../../../src/torrent/folder-storage.ts';
import { LayoutStorage } from '../../../src/torrent/layout-storage.ts';
import { MAX_MESSAGE_BYTES } from '../../../src/torrent/contained-faults.ts';
import { withPrivacy, type Metainfo } from '../../../src/torrent/metainfo.ts';
import type { TorrentStorage } from '../../../src/torrent/storage.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../../src/torrent/torrent-engine.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { infoOf } from './metainfo-fixtures.ts';
import { RawInformer } from './raw-informer.ts';
import { RawPeer, type Block } from './raw-peer.ts';

const log = pino({ level: 'silent' });
const config = { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 };
const MIB = 1024 * 1024;
const BLOCK_BYTES = 16_384;

const HAVE = 4;
const EXTENDED = 20;

function memoryStorage(bytes: Buffer): TorrentStorage {
  const file = { path: ['x'], sizeBytes: bytes.length, bytes, digest: undefined };
  const blobs = { open: async () => await Promise.resolve(undefined) };
  return new LayoutStorage({ blobs, onGone: () => undefined, recycle: () => undefined }, [file]);
}

async function metainfoOf(bytes: Buffer, isPrivate = false): Promise<Metainfo> {
  const info = await infoOf('one', bytes);
  return { info: isPrivate ? withPrivacy(info, true) : info, trackerTiers: [], webSeeds: [], comment: undefined };
}

/** The last bytes that the system keeps for a connection whose other side does not read. */
const SYSTEM_BYTES = 12 * MIB;

describe('a peer that asks for a gigabyte and reads nothing', { timeout: 30_000 }, () => {
  test.each([
    ['', 0],
    [', where uploads have a limit', 100 * MIB],
  ])('is given a few megabytes and left in time, while others are served%s', async (_, uploadBytesPerSecond) => {
    const bytes = seededBytes(2 * MIB, 11);
    const metainfo = await metainfoOf(bytes);
    const { pieceSizeBytes, infoHash } = metainfo.info;
    await using engine = await TorrentEngine.open({ log }, { ...config, uploadBytesPerSecond, peerPatienceMs: 2_000 });
    await engine.seed(metainfo, memoryStorage(bytes));
    await using idle = await RawPeer.connect(engine.port, infoHash);
    await idle.becomeUnchoked();
    idle.pause();
    const largest = Math.min(pieceSizeBytes, 128 * 1024);
    // Each is another question.
    const many = Array.from({ length: 20_000 }, (_, at): Block => [at % 2, 0, largest - Math.floor(at / 2)]);
    idle.request(many);
    await using honest = await RawPeer.connect(engine.port, infoHash);
    await honest.becomeUnchoked();
    const blocks = Array.from({ length: bytes.length / BLOCK_BYTES }, (_, at): Block => {
      const start = at * BLOCK_BYTES;
      return [Math.floor(start / pieceSizeBytes), start % pieceSizeBytes, BLOCK_BYTES];
    });
    honest.request(blocks);
    const got = Buffer.alloc(bytes.length);
    for (const _ of blocks) {
      const piece = await honest.piece();
      piece.bytes.copy(got, piece.index * pieceSizeBytes + piece.offsetBytes);
    }
    expect(got.equals(bytes)).toBe(true);
    // Both are silent from now on.
    await expect.poll(() => engine.stats().peers, { timeout: 10_000 }).toBe(2);
    await expect.poll(() => engine.stats().peers, { timeout: 20_000 }).toBe(0);
    expect(engine.stats().uploadedBytes).toBeLessThan(2 * bytes.length + 4 * MIB + SYSTEM_BYTES);
  });
});

describe('a peer', { timeout: 30_000 }, () => {
  test('that announces a message of a gigabyte is left at once, also right after its hello', async () => {
    const bytes = seededBytes(100_000, 12);
    const metainfo = await metainfoOf(bytes);
    await using engine = await TorrentEngine.open({ log }, config);
    await engine.seed(metainfo, memoryStorage(bytes));
    await using peer = await RawPeer.connect(engine.port, metainfo.info.infoHash);
    await peer.extensions();
    peer.say(EXTENDED, Buffer.alloc(MAX_MESSAGE_BYTES - 1));
    await peer.becomeUnchoked();
    peer.raw(Buffer.of(0x40, 0, 0, 0));
    await peer.ended();
    await using hasty = await RawPeer.connect(engine.port, metainfo.info.infoHash, { first: Buffer.of(0x40, 0, 0, 0) });
    await hasty.ended();
    expect(engine.stats().restarts).toBe(0);
  });

  test('that says what webtorrent breaks over is left, and nobody else', async () => {
    const bytes = seededBytes(100_000, 16);
    const metainfo = await metainfoOf(bytes);
    await using engine = await TorrentEngine.open({ log }, config);
    await engine.seed(metainfo, memoryStorage(bytes));
    const { infoHash } = metainfo.info;
    // A number of an extension that cannot be made text; pieces beyond all, at either end of what a number can be.
    const messages = [
      [EXTENDED, Buffer.from('\0d1:md3:abcd8:toStringi1eeee')],
      [HAVE, Buffer.of(0x7f, 0xff, 0xff, 0xfe)],
      [HAVE, Buffer.of(0xff, 0xff, 0xff, 0xfe)],
    ] as const;
    for (const [type, payload] of messages) {
      await using peer = await RawPeer.connect(engine.port, infoHash);
      await peer.becomeUnchoked();
      peer.say(type, payload);
      await peer.ended();
      const first = Buffer.concat([Buffer.of(0, 0, 0, payload.length + 1, type), payload]);
      await using _hasty = await RawPeer.connect(engine.port, infoHash, { first });
      await using honest = await RawPeer.connect(engine.port, infoHash);
      await honest.becomeUnchoked();
      honest.request([[0, 5, 10]]);
      expect((await honest.piece()).bytes.equals(bytes.subarray(5, 15))).toBe(true);
    }
    expect(engine.stats().restarts).toBe(0);
  });

  test('that asks for what there is not gets nothing, and keeps nobody from anything', async () => {
    const bytes = seededBytes(100_000, 13);
    const metainfo = await metainfoOf(bytes);
    await using engine = await TorrentEngine.open({ log }, config);
    await engine.seed(metainfo, memoryStorage(bytes));
    await using peer = await RawPeer.connect(engine.port, metainfo.info.infoHash);
    await peer.becomeUnchoked();
    const absent: Block[] = [
      [9_999, 0, 100],
      [0xff_ff_ff_ff, 0, 100],
      [0, 0xff_ff_ff_ff, 100],
      [0, 0, 0],
      [0, bytes.length, 1],
    ];
    // More than are read at once: what fails makes room again.
    peer.request([...Array.from({ length: 300 }, (): Block[] => absent).flat(), [0, 5, 10]]);
    expect(await peer.piece()).toEqual({ index: 0, offsetBytes: 5, bytes: bytes.subarray(5, 15) });
  });

  test('is told of those who can be called, at once and only where that is switched on; never of a private torrent', async () => {
    const bytes = seededBytes(100_000, 14);
    const told: unknown[] = [];
    for (const [pex, isPrivate] of [
      [true, false],
      [false, false],
      [true, true],
    ] as const) {
      const metainfo = await metainfoOf(bytes, isPrivate);
      await using engine = await TorrentEngine.open({ log }, { ...config, pex });
      await engine.seed(metainfo, memoryStorage(bytes));
      await using first = await RawPeer.connect(engine.port, metainfo.info.infoHash, { ownPort: 1001 });
      await using silent = await RawPeer.connect(engine.port, metainfo.info.infoHash);
      await Promise.all([first.extensions(), silent.extensions()]);
      await using third = await RawPeer.connect(engine.port, metainfo.info.infoHash, { ownPort: 1003 });
      const extensions = await third.extensions();
      const offers = extensions instanceof Map && extensions.has('ut_pex');
      if (offers) {
        told.push([await first.toldPorts(), await third.toldPorts(), await silent.toldPorts()]);
        continue;
      }
      // Whatever there were to say would have been said before the answer to a question.
      for (const peer of [first, third]) {
        await peer.becomeUnchoked();
        peer.request([[0, 0, 1]]);
        await peer.piece();
      }
      told.push([first.heard(EXTENDED), third.heard(EXTENDED)]);
    }
    expect(told).toEqual([
      [[1003], [1001], expect.arrayContaining([1001])],
      [1, 1],
      [1, 1],
    ]);
  });
});

describe('a magnet link', { timeout: 30_000 }, () => {
  const withFiles = (count: number): Buffer => {
    const files = Buffer.alloc(24 * count, 'd6:lengthi1e4:pathl1:aee');
    const rest = `e4:name1:x12:piece lengthi1048576e6:pieces20:${'p'.repeat(20)}e`;
    return Buffer.concat([Buffer.from('d5:filesl'), files, Buffer.from(rest)]);
  };

  test.each([
    ['is no bencoding', () => seededBytes(5000, 17), 'ERR_METAINFO_INVALID'],
    ['is nested without end', () => Buffer.alloc(1_000_000, 'l'), 'ERR_METAINFO_INVALID'],
    ['has half a million files', () => withFiles(400_000), 'ERR_METAINFO_TOO_LARGE'],
    ['has the same file twice', () => withFiles(2), 'ERR_METAINFO_UNSAFE'],
    [
      'lacks a name',
      () => Buffer.from(`d6:lengthi1e12:piece lengthi1024e6:pieces20:${'p'.repeat(20)}e`),
      'ERR_METAINFO_INVALID',
    ],
  ])('to what %s ends with what is wrong with it', async (_, makeInfo, code) => {
    await using informer = await RawInformer.start(makeInfo());
    await using engine = await TorrentEngine.open({ log }, { ...config, encryption: 'off' });
    const magnet = { infoHash: informer.infoHash, name: undefined, trackers: [], webSeeds: [] };
    await expect(engine.learn(magnet, { peers: [informer.address] })).rejects.toMatchObject({ code });
    expect(engine.stats().restarts).toBe(0);
  });
});

describe('two that know a third alone', { timeout: 30_000 }, () => {
  let folder = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'torrent-peers-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  test('find each other where that is switched on', async () => {
    const metainfo = await metainfoOf(seededBytes(4 * MIB, 15));
    await using seeder = await TorrentEngine.open({ log }, { ...config, pex: true, uploadBytesPerSecond: 200_000 });
    await seeder.seed(metainfo, memoryStorage(seededBytes(4 * MIB, 15)));
    const ended = new AbortController();
    await using stack = new AsyncDisposableStack();
    const leechers = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const leecher = stack.use(await TorrentEngine.open({ log }, { ...config, pex: true }));
        const storage = await FolderStorage.open(metainfo.info, join(folder, name));
        const both = Promise.withResolvers<void>();
        const onProgress = (now: { readonly peers: number }): void => {
          if (now.peers >= 2) both.resolve();
        };
        const downloading = leecher.download(metainfo, storage, {
          peers: [`127.0.0.1:${seeder.port}`],
          onProgress,
          signal: ended.signal,
        });
        downloading.catch(() => undefined);
        return { downloading, found: Promise.race([both.promise, downloading]) };
      }),
    );
    await Promise.all(leechers.map(async ({ found }) => await found));
    ended.abort();
    for (const { downloading } of leechers)
      await expect(downloading, 'it was under way').rejects.toMatchObject({ name: 'AbortError' });
  });
});
