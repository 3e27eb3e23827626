import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCommandLine } from '../../../../node/cli/run.ts';
import { encodeBencode, type BencodeInput } from '../../../../src/bencode/bencode.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { LAYOUT_FILE_BYTES, layoutBlobPath, layoutIndexBytes } from '../../../../src/oci/image-layout.ts';
import { MEDIA_TYPES } from '../../../../src/oci/media-type.ts';
import { parseMetainfo } from '../../../../src/torrent/parse-metainfo.ts';
import { makeFacts } from '../config/facts.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dockyard-torrent-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const facts = makeFacts({ workingDirectory: directory });
  const code = await runCommandLine(['torrent', ...args], { out, err, isInteractive: false }, facts);
  const text = (stream: PassThrough): string => (stream.read() as Buffer | null)?.toString() ?? '';
  return { code, out: text(out), err: text(err) };
}

const inside = (name: string): string => join(directory, name);

/** A torrent file as a stranger might have made it. */
function writeTorrent(
  name: string,
  info: Record<string, BencodeInput>,
  more: Record<string, BencodeInput> = {},
): string {
  writeFileSync(inside(name), encodeBencode({ ...more, info }));
  return name;
}

const HONEST: Record<string, BencodeInput> = {
  length: 5,
  name: 'file',
  'piece length': 16_384,
  pieces: Buffer.alloc(20),
};

describe('torrent create', () => {
  test('a file makes the same torrent every time, with its trackers and web seeds', async () => {
    writeFileSync(inside('data.bin'), Buffer.alloc(700_000, 'x'));
    const args = ['--tracker', 'http://tracker.lan:6969/announce', '--web-seed', 'http://files.lan/data.bin'];
    const first = await run(['create', 'data.bin', ...args]);
    expect([first.code, first.out.includes('data.bin.torrent')]).toEqual([0, true]);
    const bytes = readFileSync(inside('data.bin.torrent'));
    expect(await run(['create', 'data.bin', ...args, '--output', 'again.torrent'])).toMatchObject({ code: 0 });
    expect(readFileSync(inside('again.torrent')).equals(bytes)).toBe(true);
    expect(parseMetainfo(bytes)).toMatchObject({
      info: { name: 'data.bin', isSingleFile: true, sizeBytes: 700_000, isPrivate: false },
      trackerTiers: [['http://tracker.lan:6969/announce']],
      webSeeds: ['http://files.lan/data.bin'],
    });
    expect(readdirSync(directory).toSorted()).toEqual(['again.torrent', 'data.bin', 'data.bin.torrent']);
  });

  test('a private torrent is another swarm', async () => {
    writeFileSync(inside('data.bin'), 'data');
    await run(['create', 'data.bin']);
    await run(['create', 'data.bin', '--private', '--output', 'private.torrent']);
    const [open, closed] = ['data.bin', 'private'].map(
      (name) => parseMetainfo(readFileSync(inside(`${name}.torrent`))).info,
    );
    expect([open?.isPrivate, closed?.isPrivate]).toEqual([false, true]);
    expect(open?.infoHash).not.toBe(closed?.infoHash);
  });

  test('a folder comes with its files in one order, and not with links out of it', async () => {
    mkdirSync(inside('folder/sub'), { recursive: true });
    for (const name of ['b', 'a', 'sub/c']) writeFileSync(inside(`folder/${name}`), name);
    expect((await run(['create', 'folder'])).code).toBe(0);
    const { info } = parseMetainfo(readFileSync(inside('folder.torrent')));
    expect(info.files.map(({ path }) => path.join('/'))).toEqual(['a', 'b', 'sub/c']);
    symlinkSync('/etc/passwd', inside('folder/link'));
    const { code, err } = await run(['create', 'folder', '--force']);
    expect([code, err]).toEqual([4, expect.stringContaining('is a link')]);
  });

  test('an image layout makes the torrent of the image, also when something else lies in its folder', async () => {
    const config = Buffer.from('{"config":true}');
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
        layers: [],
      }),
    );
    mkdirSync(inside('image/blobs/sha256'), { recursive: true });
    for (const bytes of [config, manifest])
      writeFileSync(join(inside('image'), layoutBlobPath(digestOf(bytes))), bytes);
    const top = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(manifest), sizeBytes: manifest.length };
    writeFileSync(inside('image/index.json'), layoutIndexBytes(top));
    writeFileSync(inside('image/oci-layout'), LAYOUT_FILE_BYTES);
    writeFileSync(inside('image/notes.txt'), 'mine');
    expect((await run(['create', 'image'])).code).toBe(0);
    const name = digestOf(manifest).replace(':', '-');
    const { info } = parseMetainfo(readFileSync(inside(`${name}.torrent`)));
    expect(info.name).toBe(name);
    expect(info.files.map(({ path }) => path[0])).toEqual(['oci-layout', 'index.json', 'blobs', 'blobs']);
    writeFileSync(join(inside('image'), layoutBlobPath(digestOf(config))), '{"config":fals}');
    expect(await run(['create', 'image', '--force'])).toMatchObject({ code: 5 });
  });

  test('what is in the way stays, unless --force is given', async () => {
    writeFileSync(inside('data.bin'), 'data');
    writeFileSync(inside('data.bin.torrent'), 'mine');
    expect(await run(['create', 'data.bin'])).toMatchObject({ code: 2 });
    expect(readFileSync(inside('data.bin.torrent'), 'utf8')).toBe('mine');
    expect((await run(['create', 'data.bin', '--force'])).code).toBe(0);
  });

  test.each([
    ['an empty file has nothing to share', ['empty'], 5, 'ERR_METAINFO_EMPTY'],
    ['a web seed is a URL', ['file', '--web-seed', 'ftp://x'], 2, 'ERR_USAGE'],
    ['a digest alone is nowhere', [`sha256:${'0'.repeat(64)}`], 2, '--from REPOSITORY'],
    ['what is neither a path nor a name', ['./none'], 2, 'ERR_USAGE'],
  ])('%s', async (_what, args, code, text) => {
    writeFileSync(inside('empty'), '');
    writeFileSync(inside('file'), 'x');
    const outcome = await run(['create', ...args]);
    expect(outcome).toMatchObject({ code, err: expect.stringContaining(text) });
    expect(existsSync(inside('empty.torrent'))).toBe(false);
  });
});

describe('torrent show', () => {
  test('names, sizes, trackers and the magnet link are shown', async () => {
    writeFileSync(inside('data.bin'), Buffer.alloc(700_000, 'x'));
    await run(['create', 'data.bin', '--tracker', 'udp://tracker.lan:6969']);
    const { code, out } = await run(['show', 'data.bin.torrent']);
    expect(code).toBe(0);
    expect(out).toMatch(/name +data\.bin\ninfo hash +[0-9a-f]{40}\nsize +684 KiB in 3 pieces of 256 KiB/);
    expect(out).toMatch(/tracker +udp:\/\/tracker\.lan:6969\n/);
    expect(out).toMatch(/magnet +magnet:\?xt=urn:btih:[0-9a-f]{40}&dn=data\.bin&tr=udp/);
    const json = JSON.parse((await run(['show', 'data.bin.torrent', '--json'])).out) as object;
    expect(json).toMatchObject({ name: 'data.bin', pieceCount: 3, files: [{ path: 'data.bin', sizeBytes: 700_000 }] });
  });

  test('what would play tricks on a terminal is shown as its number', async () => {
    const file = writeTorrent(
      'evil.torrent',
      { ...HONEST, name: 'a\u202etxt.exe\u009b31m' },
      { comment: 'hi\u001b[2J\r' },
    );
    const { code, out } = await run(['show', file]);
    expect(code).toBe(0);
    expect(out).toContain('a\\u{202e}txt.exe\\u{9b}31m');
    expect(out).toContain('hi\\u{1b}[2J\\u{d}');
    // oxlint-disable-next-line no-control-regex
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });

  test.each([
    ['a path out of its folder', { ...HONEST, name: '..' }, 'ERR_METAINFO_UNSAFE'],
    ['pieces that do not add up', { ...HONEST, pieces: Buffer.alloc(40) }, 'ERR_METAINFO_INVALID'],
    ['a piece of 2 GiB', { ...HONEST, 'piece length': 2 ** 31 }, 'ERR_METAINFO_TOO_LARGE'],
  ])('%s is refused', async (_what, info, code) => {
    const outcome = await run(['show', writeTorrent('bad.torrent', info)]);
    expect(outcome).toMatchObject({ code: 5, out: '', err: expect.stringContaining(code) });
  });

  test('what is no torrent, and what is not there, is said', async () => {
    writeFileSync(inside('page.torrent'), '<html>');
    expect(await run(['show', 'page.torrent'])).toMatchObject({ code: 5 });
    expect(await run(['show', 'none.torrent'])).toMatchObject({ code: 2, err: expect.stringContaining('ENOENT') });
  });
});
