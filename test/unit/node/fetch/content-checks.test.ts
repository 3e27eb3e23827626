import { describe, expect, test } from 'vitest';
import { checkDigests, requireNamed, type ReadRange } from '../../../../node/fetch/content-checks.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { LAYOUT_FILE_BYTES, layoutBlobPath, layoutIndexBytes } from '../../../../src/oci/image-layout.ts';
import { MEDIA_TYPES } from '../../../../src/oci/media-type.ts';
import { makeTorrent } from '../../../../src/torrent/make-torrent.ts';
import type { TorrentInfo } from '../../../../src/torrent/metainfo.ts';

interface Content {
  readonly info: TorrentInfo;
  readonly read: ReadRange;
}

/** A torrent of files in memory. */
async function contentOf(
  name: string,
  files: Readonly<Record<string, Buffer>>,
  isSingleFile = false,
): Promise<Content> {
  const sources = Object.entries(files).map(([path, bytes]) => ({
    path: path.split('/'),
    sizeBytes: bytes.length,
    read: async function* () {
      yield await Promise.resolve(bytes);
    },
  }));
  const all = Buffer.concat(Object.values(files));
  const info = await makeTorrent({ name, files: sources, isSingleFile });
  return { info, read: ({ start, end }) => Promise.resolve(all.subarray(start, end)) };
}

const check = async ({ info, read }: Content): Promise<void> => await checkDigests(info, read, {});
const refused = expect.objectContaining({ code: 'ERR_TORRENT_MISMATCH' });

const blob = Buffer.alloc(3_000_000, 'blob');
const manifest = Buffer.from('{"schemaVersion":2}');
const digest = digestOf(manifest);
const name = digest.replace(':', '-');
const layout = {
  'oci-layout': LAYOUT_FILE_BYTES,
  'index.json': layoutIndexBytes({ mediaType: MEDIA_TYPES.ociManifest, digest, sizeBytes: manifest.length }),
  [layoutBlobPath(digest)]: manifest,
  [layoutBlobPath(digestOf(blob))]: blob,
};

describe('what is named by digests is checked as a whole', () => {
  test('a blob', async () => {
    const right = digestOf(blob).replace(':', '-');
    await expect(check(await contentOf(right, { [right]: blob }, true))).resolves.toBeUndefined();
    await expect(check(await contentOf(name, { [name]: blob }, true))).rejects.toEqual(refused);
  });

  test('an image layout, and that its index names the image it is named after', async () => {
    await expect(check(await contentOf(name, layout))).resolves.toBeUndefined();
    const damaged = { ...layout, [layoutBlobPath(digestOf(blob))]: Buffer.alloc(blob.length, 'bad') };
    await expect(check(await contentOf(name, damaged))).rejects.toEqual(refused);
    const other = digestOf(blob).replace(':', '-');
    await expect(check(await contentOf(other, layout))).rejects.toEqual(refused);
    const { [layoutBlobPath(digest)]: _manifest, ...holed } = layout;
    await expect(check(await contentOf(name, holed))).rejects.toEqual(refused);
    await expect(check(await contentOf(name, { 'oci-layout': LAYOUT_FILE_BYTES }))).rejects.toEqual(refused);
  });

  test('and a layout under a name of its own by its blobs', async () => {
    await expect(check(await contentOf('my-image', layout))).resolves.toBeUndefined();
    const damaged = { ...layout, [layoutBlobPath(digest)]: Buffer.from('{"schemaVersion":3}') };
    await expect(check(await contentOf('my-image', damaged))).rejects.toEqual(refused);
  });

  test('but not what only looks so', async () => {
    const files = { [layoutBlobPath(digest)]: blob, 'notes.txt': manifest };
    await expect(check(await contentOf('folder', files))).resolves.toBeUndefined();
  });

  test('what was asked for by its digest must be named after it', async () => {
    const { info } = await contentOf(name, layout);
    expect(() => requireNamed(info, digest)).not.toThrow();
    expect(() => requireNamed(info, digestOf(blob))).toThrow(refused);
  });
});
