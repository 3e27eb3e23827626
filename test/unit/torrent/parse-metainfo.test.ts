import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeBencode } from '../../../src/bencode/bencode.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import { encodeMetainfo } from '../../../src/torrent/metainfo.ts';
import { MAX_METAINFO_BYTES, MAX_TORRENT_FILES, parseMetainfo } from '../../../src/torrent/parse-metainfo.ts';
import { craftMetainfo, infoOf, RIGHT_INFO } from './metainfo-fixtures.ts';

function codeOf(bytes: Uint8Array): string {
  try {
    parseMetainfo(bytes);
  } catch (error) {
    if (isDockyardError(error)) return error.code;
    throw error;
  }
  return 'none';
}

const { length: _length, ...WITHOUT_LENGTH } = RIGHT_INFO;

function craftFiles(files: readonly { path: readonly string[]; length: number; attr?: string }[]): Buffer {
  const sizeBytes = files.reduce((sum, file) => sum + file.length, 0);
  const pieceCount = Math.ceil(sizeBytes / RIGHT_INFO['piece length']);
  const pieces = Number.isSafeInteger(sizeBytes) ? Buffer.alloc(20 * pieceCount) : Buffer.alloc(20);
  return craftMetainfo({ ...WITHOUT_LENGTH, pieces, files });
}

describe('a torrent file', () => {
  test('is read back as it was written', async () => {
    const metainfo = {
      info: await infoOf('blob', Buffer.alloc(700_000, 'x')),
      trackerTiers: [['http://a.example/announce', 'udp://b.example:6969'], ['http://c.example/announce']],
      webSeeds: ['http://seed.example/blob'],
      comment: 'what it is',
    };
    const bytes = encodeMetainfo(metainfo);
    expect(parseMetainfo(bytes)).toEqual(metainfo);
    const { info } = metainfo;
    expect(info.infoHash).toBe(createHash('sha1').update(info.bytes).digest('hex'));
    expect(bytes.includes(info.bytes)).toBe(true);
  });

  test('of several files has them one behind the other', () => {
    const { info } = parseMetainfo(
      craftFiles([
        { path: ['a'], length: 10 },
        { path: ['b', 'c'], length: 0 },
        { path: ['b', 'd'], length: 20_000 },
      ]),
    );
    expect(info.files.map((file) => [file.path.join('/'), file.offsetBytes])).toEqual([
      ['a', 0],
      ['b/c', 10],
      ['b/d', 10],
    ]);
    expect(info).toMatchObject({ isSingleFile: false, sizeBytes: 20_010 });
  });

  test.each([
    ['no bytes', Buffer.alloc(0)],
    ['no bencoding', Buffer.from('<html></html>')],
    ['a cut end', craftMetainfo(RIGHT_INFO).subarray(0, -5)],
    ['a list', Buffer.from('le')],
    ['no info', encodeBencode({ announce: 'http://x.example' })],
    ['an info that is no dictionary', encodeBencode({ info: 'x' })],
    ['keys that are not sorted', Buffer.from('d4:infod4:name1:x6:lengthi1eee')],
    ['no length', craftMetainfo(WITHOUT_LENGTH)],
    ['a negative length', craftMetainfo({ ...RIGHT_INFO, length: -1 })],
    ['length and files', craftMetainfo({ ...RIGHT_INFO, files: [] })],
    ['no files', craftMetainfo({ ...WITHOUT_LENGTH, files: [] })],
    ['a file without a path', craftMetainfo({ ...WITHOUT_LENGTH, files: [{ length: 1 }] })],
    ['a name that is no text', craftMetainfo({ ...RIGHT_INFO, name: Buffer.from([0xff, 0xfe]) })],
    ['no name', craftMetainfo({ ...RIGHT_INFO, name: undefined })],
    ['a piece length of zero', craftMetainfo({ ...RIGHT_INFO, 'piece length': 0 })],
    ['too few piece hashes', craftMetainfo({ ...RIGHT_INFO, pieces: Buffer.alloc(40) })],
    ['too many piece hashes', craftMetainfo({ ...RIGHT_INFO, pieces: Buffer.alloc(80) })],
    ['half a piece hash', craftMetainfo({ ...RIGHT_INFO, pieces: Buffer.alloc(59) })],
    ['no piece hashes', craftMetainfo({ ...RIGHT_INFO, pieces: undefined })],
    [
      'lengths that add up to more than can be',
      craftFiles(Array.from({ length: 2 }, (_, index) => ({ path: [`${index}`], length: Number.MAX_SAFE_INTEGER }))),
    ],
  ])('with %s is malformed', (_what, bytes) => {
    expect(codeOf(bytes)).toBe('ERR_METAINFO_INVALID');
  });

  test('without any bytes in it is refused', () => {
    expect(codeOf(craftMetainfo({ ...RIGHT_INFO, length: 0, pieces: Buffer.alloc(0) }))).toBe('ERR_METAINFO_EMPTY');
  });

  test.each([
    ['a name that leads out', craftMetainfo({ ...RIGHT_INFO, name: '..' })],
    ['an absolute name', craftMetainfo({ ...RIGHT_INFO, name: '/etc/passwd' })],
    ['a name with folders', craftMetainfo({ ...RIGHT_INFO, name: 'a/../../b' })],
    ['an empty name', craftMetainfo({ ...RIGHT_INFO, name: '' })],
    ['a name with a control character', craftMetainfo({ ...RIGHT_INFO, name: 'a\u001b[2Jb' })],
    ['a name that is too long', craftMetainfo({ ...RIGHT_INFO, name: 'x'.repeat(256) })],
    ['another name for others', craftMetainfo({ ...RIGHT_INFO, 'name.utf-8': '../x' })],
    ['a path that leads out', craftFiles([{ path: ['a', '..', '..', 'b'], length: 1 }])],
    ['an absolute path', craftFiles([{ path: ['', 'etc', 'passwd'], length: 1 }])],
    ['a path of nothing', craftFiles([{ path: [], length: 1 }])],
    ['a separator in a path', craftFiles([{ path: ['a/b'], length: 1 }])],
    ['a backslash in a path', craftFiles([{ path: ['..\\b'], length: 1 }])],
    ['a path without end', craftFiles([{ path: Array.from({ length: 100 }, () => 'a'), length: 1 }])],
    [
      'the same file twice',
      craftFiles([
        { path: ['a'], length: 1 },
        { path: ['a'], length: 2 },
      ]),
    ],
    [
      'a file as a folder',
      craftFiles([
        { path: ['a', 'b'], length: 1 },
        { path: ['a'], length: 2 },
      ]),
    ],
    ['a symbolic link', craftFiles([{ path: ['a'], length: 1, attr: 'l' }])],
    [
      'another path for others',
      craftMetainfo({ ...WITHOUT_LENGTH, files: [{ length: 40_000, path: ['a'], 'path.utf-8': ['..', 'a'] }] }),
    ],
  ])('with %s is unsafe', (_what, bytes) => {
    expect(codeOf(bytes)).toBe('ERR_METAINFO_UNSAFE');
  });

  test.each([
    ['pieces of 2 GiB', () => craftMetainfo({ ...RIGHT_INFO, 'piece length': 2 ** 31, pieces: Buffer.alloc(20) })],
    [
      'a million files',
      () => Buffer.concat([Buffer.from('d4:infod5:filesl'), Buffer.alloc(16_000_000, 'le'), Buffer.from('eee')]),
    ],
    [
      'some files too many',
      () =>
        craftFiles(Array.from({ length: MAX_TORRENT_FILES + 1 }, (_, index) => ({ path: [`${index}`], length: 1 }))),
    ],
    ['more bytes than are read', () => Buffer.alloc(MAX_METAINFO_BYTES + 1)],
  ])('with %s is too large', (_what, make) => {
    expect(codeOf(make())).toBe('ERR_METAINFO_TOO_LARGE');
  });

  test('has trackers and web seeds of known kinds only', () => {
    const bytes = encodeBencode({
      announce: 'http://old.example/announce',
      'announce-list': [['wss://web.example'], ['udp://b.example:6969', 'file:///etc/passwd']],
      info: RIGHT_INFO,
      'url-list': ['ftp://a.example', 'http://seed.example/', 'nonsense', Buffer.alloc(5000, 'x')],
    });
    expect(parseMetainfo(bytes)).toMatchObject({
      trackerTiers: [['udp://b.example:6969']],
      webSeeds: ['http://seed.example/'],
    });
  });

  test('of any bytes is read, or refused with a code', () => {
    const right = craftMetainfo(RIGHT_INFO);
    const changed = fc
      .array(fc.tuple(fc.nat(right.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
      .map((changes) => {
        const bytes = Buffer.from(right);
        for (const [at, byte] of changes) bytes[at] = byte;
        return bytes;
      });
    const cut = fc
      .tuple(fc.nat(right.length), fc.nat(right.length))
      .map(([start, end]) => Buffer.concat([right.subarray(0, start), right.subarray(end)]));
    fc.assert(
      fc.property(fc.oneof(changed, cut, fc.uint8Array({ maxLength: 80 })), (bytes) => {
        expect(codeOf(bytes)).toMatch(/^none$|^ERR_METAINFO_/);
      }),
      { numRuns: 2000 },
    );
  });
});
