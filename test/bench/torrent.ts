/** Torrents: our seeder against WebTorrent alone, each to aria2c; and making the torrent of a held blob against openssl. */
import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { torrentTrackers } from '../../node/composition/torrent-trackers.ts';
import { BufferPool } from '../../src/content/buffer-pool.ts';
import { pieceRange } from '../../src/content/geometry.ts';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { encodeMetainfo, type Metainfo } from '../../src/torrent/metainfo.ts';
import { TORRENT_ENGINE_DEFAULTS, TorrentEngine } from '../../src/torrent/torrent-engine.ts';
import { TorrentLibrary } from '../../src/torrent/torrent-library.ts';
import type { DockyardTracker } from '../../tracker/tracker.ts';
import { openLoopbackTracker } from '../support/open-tracker.ts';
import { endProcess, isInstalled, mustRun, until } from '../support/programs.ts';
import type { Bench, Target } from './bench.ts';
import { writeRandomFile } from './random-blob.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const SEEDING: Target = {
  what: 'torrent of a blob from our seeder to aria2c: rate against WebTorrent alone',
  bound: { direction: 'at least', value: 1, unit: '×' },
};
const MAKING: Target = {
  what: 'making the torrent of a held blob: time against openssl dgst -sha1',
  bound: { direction: 'at most', value: 2, unit: '×' },
};

const WEBTORRENT_CHILD = fileURLToPath(new URL('./webtorrent-child.ts', import.meta.url));
const MEMORY_BYTES = 64 * 1024 * 1024;

const log = pino({ level: 'warn' });
const clock = { nowMs: (): number => Date.now() };

/** A content store with one blob, and the same bytes in a file. */
interface Ground {
  readonly folder: string;
  readonly file: string;
  readonly digest: Digest;
  readonly content: OpenedContent;
  readonly memory: BufferPool;
}

export const torrent: Bench = {
  name: 'torrent',
  summary: 'a torrent made of a held blob, and seeded to aria2c',
  flags: { blob: 'size of the blob (1GiB)', rounds: 'how often each side is measured (3)' },
  targets: [SEEDING, MAKING],
  async run(flags, log) {
    const missing = ['aria2c', 'openssl'].filter((program) => !isInstalled(program));
    if (missing.length > 0) return { figures: [], skipped: [`torrent: ${missing.join(', ')} missing`], details: {} };
    const sizeBytes = flags.sizeBytes('blob', 1024 ** 3);
    const turns = { warmups: 1, rounds: flags.count('rounds', 3) };
    await using stack = new AsyncDisposableStack();
    const ground = await openGround(stack, sizeBytes);
    let round = 0;
    const rounds = await repeat(
      turns,
      async () => {
        round += 1;
        const opensslSeconds = await timed(async () => void (await mustRun('openssl', ['dgst', '-sha1', ground.file])));
        const { makingSeconds, ownSeconds, metainfo } = await measureOwn(ground, round);
        const aloneSeconds = await measureAlone(ground, metainfo);
        const makingRatio = makingSeconds / opensslSeconds;
        return {
          opensslSeconds,
          makingSeconds,
          makingRatio,
          ownSeconds,
          aloneSeconds,
          rateRatio: aloneSeconds / ownSeconds,
        };
      },
      log,
    );
    return {
      figures: [
        { ...SEEDING, spread: spreadOf(rounds.map(({ rateRatio }) => rateRatio)) },
        { ...MAKING, spread: spreadOf(rounds.map(({ makingRatio }) => makingRatio)) },
      ],
      skipped: [],
      details: { sizeBytes, rounds },
    };
  },
};

async function openGround(stack: AsyncDisposableStack, sizeBytes: number): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-bench-torrent-'));
  stack.defer(async () => await rm(folder, { recursive: true, force: true }));
  const plain = join(folder, 'plain');
  const digest = await writeRandomFile(plain, sizeBytes);
  // Under the name that the torrent gives it, for the side that seeds a file.
  const file = join(folder, digest.replace(':', '-'));
  await copyFile(plain, file);
  await rm(plain);
  const memory = new BufferPool(MEMORY_BYTES);
  const content = stack.use(
    await openContent(
      { clock, log, metrics: new Registry(), memory },
      {
        directory: join(folder, 'store'),
        maxSizeBytes: Infinity,
        minFreeDiskBytes: 0,
        maxManifestBytes: 1024 ** 2,
        maxTags: 10,
      },
    ),
  );
  await takeIn(content, digest, file, sizeBytes);
  return { folder, file, digest, content, memory };
}

async function takeIn({ blobs }: OpenedContent, digest: Digest, file: string, sizeBytes: number): Promise<void> {
  await using partial = await blobs.openPartial(digest, sizeBytes);
  await using handle = await open(file);
  for (let index = 0; index < partial.geometry.pieceCount; index += 1) {
    const { start, end } = pieceRange(partial.geometry, index);
    const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
    await partial.writePiece(index, buffer, await partial.hashPiece(buffer));
  }
  if ((await partial.complete()) !== 'complete') throw new Error('the blob did not get into the store');
}

async function measureOwn(
  ground: Ground,
  round: number,
): Promise<{ makingSeconds: number; ownSeconds: number; metainfo: Metainfo }> {
  const { content, memory, folder, digest } = ground;
  await using tracker = await openLoopbackTracker();
  const trackers = torrentTrackers(undefined, []);
  const engine = await TorrentEngine.open(
    { log, trackers },
    { ...TORRENT_ENGINE_DEFAULTS, host: '127.0.0.1', port: 0 },
  );
  await using library = await TorrentLibrary.open(
    {
      blobs: content.blobs,
      openEngine: async () => await Promise.resolve(engine),
      recycle: (chunk) => memory.release(chunk),
      clock,
      log,
      metrics: new Registry(),
    },
    // Another folder every time, so that nothing is known of the torrent.
    {
      folder: join(folder, `records-${round}`),
      maxTorrents: 1,
      isPrivate: false,
      trackers: [announceUrl(tracker)],
    },
  );
  let metainfo: Metainfo | undefined;
  const makingSeconds = await timed(async () => {
    metainfo = await library.ofBlob(digest);
  });
  if (metainfo === undefined) throw new Error('the blob is not held');
  const ownSeconds = await timeAria2(ground, tracker, metainfo);
  return { makingSeconds, ownSeconds, metainfo };
}

async function measureAlone(ground: Ground, { info }: Metainfo): Promise<number> {
  await using tracker = await openLoopbackTracker();
  const metainfo = { info, trackerTiers: [[announceUrl(tracker)]], webSeeds: [], comment: undefined };
  const torrentFile = join(ground.folder, 'alone.torrent');
  await writeFile(torrentFile, encodeMetainfo(metainfo));
  const child: ChildProcess = spawn(process.execPath, [WEBTORRENT_CHILD, torrentFile, ground.folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    return await timeAria2(ground, tracker, metainfo);
  } finally {
    await endProcess(child, 'SIGTERM');
  }
}

/** From the start of aria2c to its end, once the seeder has told the tracker that it is there. */
async function timeAria2({ folder }: Ground, tracker: DockyardTracker, metainfo: Metainfo): Promise<number> {
  await until('the seeder has announced itself', () => tracker.stats().complete === 1);
  const place = join(folder, 'fetched');
  await mkdir(place);
  const torrentFile = join(folder, 'fetched.torrent');
  await writeFile(torrentFile, encodeMetainfo(metainfo));
  const args = ['--no-conf', `--dir=${place}`, '--seed-time=0', '--enable-dht=false', '--enable-dht6=false'];
  const quiet = [
    '--bt-enable-lpd=false',
    '--file-allocation=none',
    '--summary-interval=0',
    '--console-log-level=error',
  ];
  const seconds = await timed(async () => void (await mustRun('aria2c', [...args, ...quiet, torrentFile])));
  await rm(place, { recursive: true });
  return seconds;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
}

/** A fresh one for every seeder: one that is killed does not say goodbye. */
function announceUrl({ port }: DockyardTracker): string {
  return `http://127.0.0.1:${port}/announce`;
}
