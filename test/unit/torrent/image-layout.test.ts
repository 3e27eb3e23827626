import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import {
  digestOfTorrentName,
  planImageLayout,
  torrentName,
  type ImageManifest,
} from '../../../src/torrent/image-layout.ts';

function manifestOf(mediaType: string, document: object): ImageManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
  return { digest: digestOf(bytes), mediaType, bytes };
}

function descriptor(text: string, mediaType: string = MEDIA_TYPES.ociLayerGzip): object {
  return { mediaType, digest: digestOf(Buffer.from(text)), size: text.length };
}

function image(config: string, ...layers: string[]): ImageManifest {
  const parts = { config: descriptor(config, MEDIA_TYPES.ociConfig), layers: layers.map((layer) => descriptor(layer)) };
  return manifestOf(MEDIA_TYPES.ociManifest, parts);
}

function indexOf(...children: ImageManifest[]): ImageManifest {
  const manifests = children.map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.length }));
  return manifestOf(MEDIA_TYPES.ociIndex, { manifests });
}

function loadFrom(...manifests: ImageManifest[]) {
  return async (digest: string): Promise<ImageManifest> => {
    const found = manifests.find((manifest) => manifest.digest === digest);
    if (found === undefined) throw new Error('not there');
    return await Promise.resolve(found);
  };
}

const blobOf = (text: string): string => `blobs/sha256/${digestOf(Buffer.from(text)).slice(7)}`;
const pathOf = ({ digest }: ImageManifest): string => `blobs/sha256/${digest.slice(7)}`;

describe('the layout of an image', () => {
  test('has its manifest, its config and each layer once, and an index without a tag', async () => {
    const root = image('config', 'one', 'two', 'one');
    const files = await planImageLayout(root, loadFrom());
    expect(files.map((file) => file.path.join('/'))).toEqual([
      'oci-layout',
      'index.json',
      pathOf(root),
      blobOf('config'),
      blobOf('one'),
      blobOf('two'),
    ]);
    expect(JSON.parse(files[1]?.bytes?.toString() ?? '')).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ mediaType: root.mediaType, digest: root.digest, size: root.bytes.length }],
    });
  });

  test('of an index has every platform, and what they share once', async () => {
    const [one, two] = [image('c1', 'base', 'x'), image('c2', 'base', 'y')];
    const root = indexOf(one, two);
    const files = await planImageLayout(root, loadFrom(one, two));
    expect(files.map((file) => file.path.join('/')).slice(2)).toEqual([
      ...[root, one, two].map(pathOf),
      ...['c1', 'base', 'x', 'c2', 'y'].map(blobOf),
    ]);
  });

  test('is not made of what is no image of today', async () => {
    const fsLayers = [{ blobSum: digestOf(Buffer.from('x')) }];
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 1, fsLayers }));
    const old = { digest: digestOf(bytes), mediaType: MEDIA_TYPES.dockerSchema1, bytes };
    await expect(planImageLayout(old, loadFrom())).rejects.toMatchObject({ code: 'ERR_TORRENT_UNSUITABLE' });
  });

  test('ends at indexes in indexes', async () => {
    const chain = [indexOf(image('c'))];
    for (let depth = 0; depth < 6; depth += 1) chain.push(indexOf(chain.at(-1) ?? image('c')));
    const root = chain.at(-1) ?? image('c');
    await expect(planImageLayout(root, loadFrom(...chain))).rejects.toMatchObject({ code: 'ERR_TORRENT_UNSUITABLE' });
  });

  test('has a name that says its digest', () => {
    const { digest } = image('c');
    expect(digestOfTorrentName(torrentName(digest))).toBe(digest);
    expect(digestOfTorrentName('debian.iso')).toBeUndefined();
  });
});
