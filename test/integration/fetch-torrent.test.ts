/** `dockyard fetch` by torrent, from clients that know nothing of us, without a node. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeBencode } from '../../src/bencode/bencode.ts';
import { parseRange } from '../../src/oci/byte-range.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { FolderStorage } from '../../src/torrent/folder-storage.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import type { DockyardTracker } from '../../tracker/tracker.ts';
import { requirement } from '../skip-reasons.ts';
import { dockyard, startDockyard } from '../support/command-process.ts';
import { makeRandomImage, pushImage, writeLayout } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { openLoopbackTracker } from '../support/open-tracker.ts';
import { freePort, isInstalled, mustRun, until } from '../support/programs.ts';
import { requireSeeders, startSeeder } from '../support/torrent-seeders.ts';

const MIB = 1024 * 1024;

const hasSeeders = requireSeeders();
const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which reads image layouts');

describe.skipIf(!hasSeeders)('dockyard fetch and other torrent clients', () => {
  let folder = '';
  let source = '';
  let output = '';
  let count = 0;
  let tracker: DockyardTracker;
  let announce = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-fetch-torrent-'));
    tracker = await openLoopbackTracker();
    announce = `http://127.0.0.1:${tracker.port}/announce`;
  });

  afterAll(async () => {
    await tracker?.close();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    count += 1;
    source = join(folder, `source-${count}`);
    output = join(folder, `output-${count}`);
    await mkdir(source);
  });

  /** Makes the torrent of something in `source` with the command that people use. */
  async function createTorrent(name: string, more: readonly string[] = ['--tracker', announce]): Promise<string> {
    const path = join(source, `${name}.torrent`);
    const { code, err } = await dockyard([
      'torrent',
      'create',
      join(source, name),
      '--output',
      path,
      '--quiet',
      ...more,
    ]);
    expect([code, err]).toEqual([0, '']);
    return path;
  }

  // Transmission answers twice a second what it was asked for, and is asked for little before it has answered: that takes its time.
  test.each([
    ['aria2c', 5 * MIB + 123],
    ['transmission-cli', 300_123],
  ] as const)('a file comes from %s through a tracker', async (client, sizeBytes) => {
    const bytes = randomBytes(sizeBytes);
    await writeFile(join(source, 'data.bin'), bytes);
    const torrentFile = await createTorrent('data.bin');
    await using seeder = await startSeeder(client, { folder: source, torrentFile });
    // A client may take its time to tell the tracker; its address is known all the same.
    const args = ['fetch', torrentFile, '--output', output, '--peer', seeder.address, '--json'];
    const { code, out, err } = await dockyard(args);
    expect([code, err, seeder.child.exitCode]).toEqual([0, '', null]);
    const [last = ''] = out.trim().split('\n').slice(-1);
    expect(JSON.parse(last)).toMatchObject({ kind: 'done', what: 'torrent', sizeBytes: bytes.length, place: output });
    expect((await readFile(output)).equals(bytes)).toBe(true);
    expect(existsSync(`${output}.part`)).toBe(false);
  });

  test.skipIf(!hasSkopeo)(
    'an image layout is one for skopeo, and after kill -9 its pieces are not fetched again',
    async () => {
      const image = makeRandomImage(6 * MIB, 100_000);
      const name = image.manifest.digest.replace(':', '-');
      const layout = join(source, name);
      await mkdir(layout);
      await writeLayout(layout, image);
      const torrentFile = await createTorrent(name);
      const args = ['fetch', torrentFile, '--output', output];
      {
        await using seeder = await startSeeder('aria2c', { folder: source, torrentFile, maxKibPerSecond: 3000 });
        await using command = startDockyard([...args, '--peer', seeder.address, '--json']);
        const hex = image.layers[0]?.digest.slice('sha256:'.length) ?? '';
        const part = join(`${output}.part`, 'blobs', 'sha256', hex);
        // The file is as long as it will be from the beginning; blocks are what was written.
        const half = async (): Promise<boolean> => existsSync(part) && (await stat(part)).blocks * 512 > 2 * MIB;
        await until(() => `half has come: ${command.out()} ${command.err()}`, half);
      }
      expect(existsSync(output)).toBe(false);
      const missingBytes = await bytesToFetch(torrentFile, output);
      await using seeder = await startSeeder('aria2c', { folder: source, torrentFile });
      const { code, out } = await dockyard([...args, '--peer', seeder.address, '--json']);
      expect(code).toBe(0);
      const [last = ''] = out.trim().split('\n').slice(-1);
      expect(JSON.parse(last)).toMatchObject({ receivedBytes: missingBytes });
      const raw = await mustRun('skopeo', ['inspect', '--raw', `oci:${output}`]);
      expect(digestOf(Buffer.from(raw))).toBe(image.manifest.digest);
      // Once more: all is there.
      expect(await dockyard([...args, '--timeout', '1s'])).toMatchObject({ code: 0 });
    },
  );

  test('with no peer at all a file comes from its web seed', async () => {
    const bytes = randomBytes(3 * MIB);
    await writeFile(join(source, 'data.bin'), bytes);
    await using web = await serveFile(bytes);
    const torrentFile = await createTorrent('data.bin', ['--web-seed', `${web.url}/data.bin`]);
    expect(await dockyard(['fetch', torrentFile, '--output', output])).toMatchObject({ code: 0 });
    expect((await readFile(output)).equals(bytes)).toBe(true);
  });

  test('a torrent by URL and a magnet link lead there too, and what came is shared on until that is ended', async () => {
    const bytes = randomBytes(2 * MIB);
    await writeFile(join(source, 'data.bin'), bytes);
    const torrentFile = await createTorrent('data.bin');
    await using web = await serveFile(await readFile(torrentFile));
    const shown = await dockyard(['torrent', 'show', torrentFile, '--json']);
    const { magnet } = JSON.parse(shown.out) as { magnet: string };
    const first = startDockyard([
      'fetch',
      `${web.url}/data.torrent`,
      '--output',
      output,
      '--seed',
      '--json',
      '--peer',
      '127.0.0.1:1',
    ]);
    await using _first = first;
    {
      await using seeder = await startSeeder('aria2c', { folder: source, torrentFile });
      await until(
        () => `the first has all: ${first.out()} ${first.err()} ${seeder.output()}`,
        () => first.out().includes('"kind":"done"'),
      );
    }
    // The first seeder is gone; a tracker leads from the magnet link to the one that goes on.
    const second = await dockyard(['fetch', magnet, '--output', `${output}-2`]);
    expect([second.code, second.err.includes('dockyard:')]).toEqual([0, false]);
    expect((await readFile(`${output}-2`)).equals(bytes)).toBe(true);
    first.child.kill('SIGINT');
    expect(await first.ended()).toMatchObject({ code: 0, err: '' });
  });

  test.skipIf(!hasSkopeo)('an image and a blob of a seed come by the torrents that it makes of them', async () => {
    const torrents = ['--torrent', `127.0.0.1:${await freePort()}`, '--tracker', announce];
    await using seed = await NodeProcess.startSeed(['--data', join(folder, 'seed'), ...torrents]);
    const image = makeRandomImage(3 * MIB, 100_000);
    await pushImage(`${seed.facade}/team/app:1`, image);
    const { code, err } = await dockyard(['fetch', '--p2p', `${seed.facade}/team/app:1`, '--output', output]);
    expect([code, err.includes('dockyard:')]).toEqual([0, false]);
    const raw = await mustRun('skopeo', ['inspect', '--raw', `oci:${output}`]);
    expect(digestOf(Buffer.from(raw))).toBe(image.manifest.digest);
    const [layer] = image.layers;
    const blob = await dockyard([
      'fetch',
      '--p2p',
      layer?.digest ?? '',
      '--node',
      `http://${seed.facade}`,
      '-o',
      `${output}-blob`,
    ]);
    expect(blob.code).toBe(0);
    expect(await readFile(`${output}-blob`)).toEqual(layer?.bytes);
    const absent = await dockyard(['fetch', '--p2p', `${seed.facade}/team/app:2`, '--output', `${output}-2`]);
    expect([absent.code, absent.err]).toEqual([4, expect.stringContaining('ERR_FETCH_ABSENT')]);
    expect(existsSync(`${output}-2`)).toBe(false);
  });

  test('content that is not what its name says is refused, and goes', async () => {
    const name = `sha256-${'0'.repeat(64)}`;
    await writeFile(join(source, name), randomBytes(MIB));
    const torrentFile = await createTorrent(name);
    await using seeder = await startSeeder('aria2c', { folder: source, torrentFile });
    const { code, err } = await dockyard(['fetch', torrentFile, '--output', output, '--peer', seeder.address]);
    expect([code, err]).toEqual([5, expect.stringContaining('ERR_TORRENT_MISMATCH')]);
    expect((await readdir(folder)).filter((entry) => entry.startsWith(`output-${count}`))).toEqual([]);
  });

  test('what is in the way is refused, and mended with --force', async () => {
    const bytes = randomBytes(2 * MIB);
    await writeFile(join(source, 'data.bin'), bytes);
    await using web = await serveFile(bytes);
    const torrentFile = await createTorrent('data.bin', ['--web-seed', `${web.url}/data.bin`]);
    const damaged = Buffer.from(bytes);
    damaged[100] = (damaged[100] ?? 0) ^ 1;
    await writeFile(output, damaged);
    const refused = await dockyard(['fetch', torrentFile, '--output', output]);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('ERR_OUTPUT_EXISTS')]);
    expect((await readFile(output)).equals(damaged)).toBe(true);
    const before = web.sentBytes();
    expect(await dockyard(['fetch', torrentFile, '--output', output, '--force'])).toMatchObject({ code: 0 });
    expect((await readFile(output)).equals(bytes)).toBe(true);
    expect(web.sentBytes() - before).toBeLessThanOrEqual(MIB);
  });

  test('a blob goes to the store of a node without --output, and nothing else does', async () => {
    const bytes = randomBytes(2 * MIB);
    const name = digestOf(bytes).replace(':', '-');
    await writeFile(join(source, name), bytes);
    await rename(join(source, name), join(source, 'kept'));
    await writeFile(join(source, name), bytes);
    await using web = await serveFile(bytes);
    const more = ['--web-seed', `${web.url}/${name}`];
    const data = join(folder, 'data');
    expect(await dockyard(['fetch', await createTorrent(name, more), '--data', data])).toMatchObject({ code: 0 });
    expect((await dockyard(['verify', '--data', data])).out).toContain('1 blob, 2.00 MiB verified: all good');
    const other = await dockyard(['fetch', await createTorrent('kept', more), '--data', data]);
    expect([other.code, other.err]).toEqual([2, expect.stringContaining('add --output')]);
  });

  test('without a peer it is given up in time, and a torrent of ill intent at once; nothing is left behind', async () => {
    await writeFile(join(source, 'data.bin'), randomBytes(MIB));
    const silent = await dockyard([
      'fetch',
      await createTorrent('data.bin', []),
      '--output',
      output,
      '--timeout',
      '300ms',
    ]);
    expect([silent.code, silent.err]).toEqual([6, expect.stringContaining('ERR_FETCH_STALLED')]);
    const evil = join(source, 'evil.torrent');
    const files = [{ length: 5, path: ['..', '..', 'evil'] }];
    const info = { files, name: 'x', 'piece length': 16_384, pieces: Buffer.alloc(20) };
    await writeFile(evil, encodeBencode({ info }));
    const refused = await dockyard(['fetch', evil, '--output', output]);
    expect([refused.code, refused.err]).toEqual([5, expect.stringContaining('ERR_METAINFO_UNSAFE')]);
    expect((await readdir(folder)).filter((entry) => entry.startsWith(`output-${count}`))).toEqual([]);
    expect((await stat(folder)).isDirectory()).toBe(true);
  });
});

/** What is missing of a download that was ended. */
async function bytesToFetch(torrentFile: string, target: string): Promise<number> {
  const { info } = parseMetainfo(await readFile(torrentFile));
  const { pieceSizeBytes, pieceHashes, sizeBytes } = info;
  const storage = await FolderStorage.open(info, target);
  let missingBytes = 0;
  for (let start = 0, index = 0; start < sizeBytes; start += pieceSizeBytes, index += 1) {
    const piece = await storage.read({ start, end: Math.min(start + pieceSizeBytes, sizeBytes) });
    const isRight = createHash('sha1')
      .update(piece)
      .digest()
      .equals(pieceHashes.subarray(20 * index, 20 * index + 20));
    if (!isRight) missingBytes += piece.length;
  }
  expect(missingBytes).toBeGreaterThan(0);
  expect(missingBytes).toBeLessThan(sizeBytes);
  return missingBytes;
}

interface ServedFile extends AsyncDisposable {
  readonly url: string;
  sentBytes(): number;
}

/** A plain web server that gives one file under every path, and knows ranges. */
async function serveFile(bytes: Buffer): Promise<ServedFile> {
  let sentBytes = 0;
  const server = createServer((request, response) => {
    const asked = parseRange(request.headers.range, bytes.length);
    const range = asked.kind === 'range' ? asked.range : { start: 0, end: bytes.length };
    const headers = {
      'content-length': range.end - range.start,
      'content-range': `bytes ${range.start}-${range.end - 1}/${bytes.length}`,
    };
    sentBytes += range.end - range.start;
    response.writeHead(asked.kind === 'range' ? 206 : 200, headers).end(bytes.subarray(range.start, range.end));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sentBytes: () => sentBytes,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
