import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ACI_LIMITS, inspectAci, type AciLimits } from '../../../../src/appc/archive/aci-inspection.ts';
import { MAX_EXTENDED_HEADER_BYTES } from '../../../../src/appc/archive/tar-reader.ts';
import {
  chunksOf,
  imageItems,
  packed,
  tarHeader,
  tarOf,
  testImage,
  testManifest,
  type TarItem,
} from '../../../support/aci-builder.ts';

const NAME = 'example.com/app';

async function inspect(bytes: Uint8Array, limits: Partial<AciLimits> = {}, chunkBytes?: number) {
  return await inspectAci(chunksOf(bytes, chunkBytes), { limits: { ...ACI_LIMITS, ...limits } });
}

/** The code that an archive with these entries beside the needed ones is refused with. */
async function codeOf(...items: TarItem[]): Promise<unknown> {
  return await failure(tarOf([...imageItems(NAME), ...items]));
}

async function failure(bytes: Uint8Array, limits?: Partial<AciLimits>): Promise<unknown> {
  return await inspect(bytes, limits).then(
    () => 'accepted',
    (error: unknown) => (error as { code?: string }).code,
  );
}

describe('a good image', () => {
  test.each(['none', 'gzip', 'bzip2', 'xz'] as const)('has one image ID, also when packed with %s', async (how) => {
    const image = testImage(NAME, { body: Buffer.alloc(200_000, 'abc') });
    const file = packed(image, how);
    const facts = await inspect(file);
    expect(facts.imageId).toBe(`sha512-${createHash('sha512').update(image).digest('hex')}`);
    expect(facts).toMatchObject({ compression: how, sizeBytes: file.length, unpackedBytes: image.length });
    expect(facts.manifest.name).toBe(NAME);
    expect(Object.fromEntries(facts.manifest.labels)).toEqual({ version: '1.0', os: 'linux', arch: 'amd64' });
  });

  test.each([1, 7, 511, 513])('is the same in chunks of %i bytes', async (chunkBytes) => {
    const image = testImage(NAME);
    const facts = await inspect(image, {}, chunkBytes);
    expect(facts.imageId).toBe(`sha512-${createHash('sha512').update(image).digest('hex')}`);
  });

  test('may have ./ before its paths, links inside rootfs, fifos, and long names of both kinds', async () => {
    const long = `rootfs/${'d'.repeat(90)}/${'f'.repeat(90)}`;
    const pax = `path=${long}-pax\n`;
    const record = `${String(pax.length + 4)} ${pax}`;
    const accepted = await failure(
      tarOf([
        { path: './', type: '5' },
        { path: './manifest', body: testManifest(NAME) },
        { path: './rootfs/', type: '5' },
        { path: './rootfs/etc/', type: '5' },
        { path: './rootfs/etc/a', body: 'a' },
        { path: './rootfs/etc/hard', type: '1', link: './rootfs/etc/a' },
        { path: './rootfs/etc/absolute', type: '2', link: '/proc/mounts' },
        { path: './rootfs/etc/up', type: '2', link: '../usr/lib' },
        { path: './rootfs/pipe', type: '6' },
        { path: '././@LongLink', type: 'L', body: `${long}-gnu\0` },
        { path: 'short', body: 'b' },
        { path: 'PaxHeaders/x', type: 'x', body: record },
        { path: 'short', body: 'c' },
      ]),
    );
    expect(accepted).toBe('accepted');
  });

  test('may have its manifest after rootfs, and rootfs after what is in it', async () => {
    const [manifest, rootfs] = imageItems(NAME);
    expect(await failure(tarOf([{ path: 'rootfs/a/b', body: 'b' }, rootfs, manifest]))).toBe('accepted');
  });
});

describe('what could do harm is refused', () => {
  const UNSAFE: readonly (readonly [string, readonly TarItem[]])[] = [
    ['a path upwards', [{ path: 'rootfs/../../etc/passwd', body: 'x' }]],
    ['an absolute path', [{ path: '/etc/passwd', body: 'x' }]],
    ['a path beside rootfs', [{ path: 'other', body: 'x' }]],
    ['a path that only begins like rootfs', [{ path: 'rootfs2/x', body: 'x' }]],
    [
      'a file twice',
      [
        { path: 'rootfs/a', body: '1' },
        { path: 'rootfs/./a', body: '2' },
      ],
    ],
    [
      'a folder twice',
      [
        { path: 'rootfs/a', type: '5' },
        { path: 'rootfs/a/', type: '5' },
      ],
    ],
    ['a second rootfs', [{ path: 'rootfs/', type: '5' }]],
    ['a second manifest', [{ path: './manifest', body: testManifest(NAME) }]],
    ['a symbolic link upwards', [{ path: 'rootfs/a', type: '2', link: '../../etc' }]],
    ['a symbolic link that comes back in', [{ path: 'rootfs/a', type: '2', link: '../rootfs/b' }]],
    ['an absolute symbolic link upwards', [{ path: 'rootfs/a', type: '2', link: '/../etc' }]],
    ['a symbolic link to nowhere', [{ path: 'rootfs/a', type: '2', link: '' }]],
    [
      'a file behind a link',
      [
        { path: 'rootfs/a', type: '2', link: '/etc' },
        { path: 'rootfs/a/passwd', body: 'x' },
      ],
    ],
    [
      'a link where a folder is needed',
      [
        { path: 'rootfs/a/passwd', body: 'x' },
        { path: 'rootfs/a', type: '2', link: '/etc' },
      ],
    ],
    [
      'a file in a file',
      [
        { path: 'rootfs/a', body: 'x' },
        { path: 'rootfs/a/b', body: 'x' },
      ],
    ],
    ['a hard link out of the image', [{ path: 'rootfs/a', type: '1', link: '/etc/passwd' }]],
    ['a hard link upwards', [{ path: 'rootfs/a', type: '1', link: 'rootfs/../../etc/passwd' }]],
    ['a hard link to what comes later', [{ path: 'rootfs/a', type: '1', link: 'rootfs/b' }, { path: 'rootfs/b' }]],
    ['a hard link to the manifest', [{ path: 'rootfs/a', type: '1', link: 'manifest' }]],
    [
      'a hard link to a symbolic one',
      [
        { path: 'rootfs/s', type: '2', link: '/x' },
        { path: 'rootfs/a', type: '1', link: 'rootfs/s' },
      ],
    ],
    ['a character device', [{ path: 'rootfs/null', type: '3' }]],
    ['a block device', [{ path: 'rootfs/sda', type: '4' }]],
    ['a file with the name of a folder', [{ path: 'rootfs/a/', body: 'x' }]],
    [
      'a path that is too long',
      [{ path: '././@LongLink', type: 'L', body: `rootfs/${'x/'.repeat(3000)}` }, { path: 'x' }],
    ],
  ];

  test.each(UNSAFE)('%s', async (_, items) => {
    expect(await codeOf(...items)).toBe('ERR_ACI_UNSAFE');
  });

  test('a link in place of rootfs', async () => {
    const [manifest] = imageItems(NAME);
    expect(await failure(tarOf([manifest, { path: 'rootfs', type: '2', link: '/' }]))).toBe('ERR_ACI_UNSAFE');
  });

  test('the message names the entry, escaped', async () => {
    const error = inspect(tarOf([{ path: 'rootfs/../\u001b[2Jevil', body: '' }]));
    await expect(error).rejects.toThrow(String.raw`"rootfs/../\u001b[2Jevil" leads upwards`);
  });
});

describe('what is no image, or a damaged one', () => {
  test.each<[string, Uint8Array]>([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello '.repeat(200))],
    ['a web page', Buffer.from('<!doctype html><p>not found</p>')],
    ['no manifest', tarOf([{ path: 'rootfs', type: '5' }])],
    ['no rootfs', tarOf([{ path: 'manifest', body: testManifest(NAME) }])],
    ['a manifest that is a folder', tarOf([{ path: 'manifest', type: '5' }])],
    ['an archive that is cut off', testImage(NAME).subarray(0, 2500)],
    ['an archive without an end', testImage(NAME).subarray(0, -1024)],
    ['something after the end', Buffer.concat([testImage(NAME), Buffer.from('more')])],
    ['a wrong checksum', Buffer.from(testImage(NAME)).fill('9', 148, 150)],
    ['an unknown type', tarOf([...imageItems(NAME), { path: 'rootfs/x', type: 'S' }])],
    ['a folder with a body', tarOf([...imageItems(NAME), { path: 'rootfs/x', type: '5', body: 'x'.repeat(512) }])],
    ['a negative size', Buffer.from(testImage(NAME)).fill(0xff, 124, 136)],
    [
      'an extended header that is too large',
      Buffer.concat([tarHeader({ path: 'x', type: 'x', statedBytes: MAX_EXTENDED_HEADER_BYTES + 1 }), testImage(NAME)]),
    ],
    ['a malformed extended header', tarOf([{ path: 'x', type: 'x', body: '99 path=y\n' }, ...imageItems(NAME)])],
    ['a doubled extended header', tarOf([{ path: 'x', type: 'x', body: '9 path=y\n9 path=z\n' }, ...imageItems(NAME)])],
    ['one name for all entries', tarOf([{ path: 'x', type: 'g', body: '9 path=y\n' }, ...imageItems(NAME)])],
    ['an extension of nothing', tarOf([...imageItems(NAME), { path: 'x', type: 'x', body: '9 path=y\n' }])],
    ['gzip of nothing', packed(Buffer.alloc(0), 'gzip')],
    ['gzip that is cut off', packed(testImage(NAME), 'gzip').subarray(0, -30)],
    ['bzip2 that is cut off', packed(testImage(NAME), 'bzip2').subarray(0, -30)],
    ['xz that is cut off', packed(testImage(NAME), 'xz').subarray(0, -30)],
    ['xz that needs 256 MiB of memory', packedWithLargeDictionary()],
    ['bzip2 and then something else', Buffer.concat([packed(testImage(NAME), 'bzip2'), Buffer.from('more')])],
  ])('%s', async (_, bytes) => {
    expect(await failure(bytes)).toBe('ERR_ACI_INVALID');
  });

  test.each([
    ['no JSON', '{'],
    ['another kind', JSON.stringify({ acKind: 'PodManifest', acVersion: '0.8.11', name: NAME })],
    ['no name', JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11' })],
    ['a name with capitals', testManifest('Example.com/App')],
    ['a key twice', `{"name":"${NAME}",${testManifest(NAME).slice(1)}`],
    ['a label twice', testManifest(NAME).replace('"os"', '"version"')],
    ['a label named name', testManifest(NAME).replace('"os"', '"name"')],
    ['labels that are no list', testManifest(NAME).replace(/"labels":.*/, '"labels":{}}')],
    [
      'an image ID of a dependency that is none',
      testManifest(NAME).replace(/}$/, ',"dependencies":[{"imageName":"a","imageID":"x"}]}'),
    ],
  ])('a manifest with %s', async (_, text) => {
    const bytes = tarOf([
      { path: 'manifest', body: text },
      { path: 'rootfs', type: '5' },
    ]);
    expect(await failure(bytes)).toBe('ERR_ACI_MANIFEST_INVALID');
  });

  test('what the source throws is thrown on, whatever the compression', async () => {
    for (const how of ['none', 'gzip', 'bzip2', 'xz'] as const) {
      const head = packed(testImage(NAME, { body: Buffer.alloc(9000, 1) }), how).subarray(0, 100);
      const source = async function* () {
        yield await Promise.resolve(Buffer.concat([head, Buffer.alloc(how === 'none' ? 412 : 0)]));
        throw new Error('the line is dead');
      };
      const code = how === 'none' ? 'ERR_ACI_INVALID' : undefined;
      const error: unknown = await inspectAci(source()).catch((thrown: unknown) => thrown);
      if (code === undefined) expect(error).toMatchObject({ message: 'the line is dead' });
      else expect(error).toMatchObject({ code });
    }
  });
});

describe('what is too large', () => {
  test.each(['gzip', 'bzip2', 'xz'] as const)('a bomb of %s is stopped long before it has gone off', async (how) => {
    const bomb = packed(tarOf([...imageItems(NAME), { path: 'rootfs/0', body: Buffer.alloc(96 * 1024 ** 2) }]), how);
    expect(bomb.length).toBeLessThan(200_000);
    expect(await failure(bomb)).toBe('ERR_ACI_TOO_LARGE');
  });

  test.each<[string, Partial<AciLimits>]>([
    ['its file', { maxSizeBytes: 1000 }],
    ['what it unpacks to', { maxUnpackedBytes: 1000 }],
    ['its number of entries', { maxEntries: 3 }],
    ['its paths together', { maxPathBytes: 20 }],
  ])('%s', async (_, limits) => {
    expect(await failure(testImage(NAME), limits)).toBe('ERR_ACI_TOO_LARGE');
  });

  test('its manifest', async () => {
    const bytes = tarOf([
      { path: 'manifest', body: ' '.repeat(5 * 1024 ** 2) },
      { path: 'rootfs', type: '5' },
    ]);
    expect(await failure(bytes)).toBe('ERR_ACI_TOO_LARGE');
  });
});

/** An xz header that asks for a dictionary of 256 MiB; its body does not matter. */
function packedWithLargeDictionary(): Buffer {
  const file = packed(testImage(NAME), 'xz');
  // The block header: size, flags, filter 0x21 with one byte of properties, the dictionary's size, padding, checksum.
  const header = Buffer.from(file.subarray(12, 24));
  expect(header.toString('hex', 2, 4)).toBe('2101');
  header[4] = 32;
  header.writeUInt32LE(crc32(header.subarray(0, 8)), 8);
  return Buffer.concat([file.subarray(0, 12), header, file.subarray(24)]);
}
