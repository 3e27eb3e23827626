import { describe, expect, test } from 'vitest';
import { planImage, type ManifestSource, type PlannedManifest } from '../../../../node/fetch/image-plan.ts';
import { digestOf, type Digest } from '../../../../src/oci/digest.ts';
import { LAYOUT_FILE_BYTES, layoutBlobPath, layoutIndexBytes } from '../../../../src/oci/image-layout.ts';
import { MEDIA_TYPES } from '../../../../src/oci/media-type.ts';
import { parseRepositoryName, type Tag } from '../../../../src/oci/name.ts';
import { parsePlatform } from '../../../../src/oci/platform.ts';
import { planImageLayout } from '../../../../src/torrent/image-layout.ts';

const repository = { upstream: 'origin.test', name: parseRepositoryName('team/app') };
const tagged = { repository, reference: { kind: 'tag', tag: 'v1' as Tag } } as const;
const nothingHeld = (): Promise<undefined> => Promise.resolve(undefined);

function document(content: object, mediaType: string): PlannedManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }));
  return { bytes, mediaType, digest: digestOf(bytes) };
}

function descriptor({ digest, mediaType, bytes }: PlannedManifest, more: object = {}): object {
  return { mediaType, digest, size: bytes.length, ...more };
}

const blob = (text: string, size = text.length): object => ({
  mediaType: MEDIA_TYPES.ociLayerGzip,
  digest: digestOf(Buffer.from(text)),
  size,
});

function image(...layers: object[]): PlannedManifest {
  return document({ config: { ...blob('config'), mediaType: MEDIA_TYPES.ociConfig }, layers }, MEDIA_TYPES.ociManifest);
}

function index(...manifests: object[]): PlannedManifest {
  return document({ manifests }, MEDIA_TYPES.ociIndex);
}

/** The first one is what the tag names. */
function registry(...manifests: PlannedManifest[]): ManifestSource & { readonly asked: string[] } {
  const asked: string[] = [];
  const fetchManifest: ManifestSource['fetchManifest'] = (_repository, reference) => {
    asked.push(reference.kind === 'tag' ? reference.tag : reference.digest);
    const found = manifests.find(({ digest }) => reference.kind === 'digest' && digest === reference.digest);
    return Promise.resolve(reference.kind === 'tag' ? manifests[0] : found);
  };
  return { asked, fetchManifest };
}

const forPlatform = (text: string): object => {
  const { os, architecture } = parsePlatform(text);
  return { platform: { os, architecture } };
};

describe('an image is planned', () => {
  test('with every manifest and every blob once, through indexes in indexes', async () => {
    const [one, two] = [image(blob('a'), blob('shared')), image(blob('shared'), blob('b'))];
    const inner = index(descriptor(two));
    const top = index(descriptor(one), descriptor(inner), descriptor(one));
    const plan = await planImage({ source: registry(top, one, two, inner), held: nothingHeld }, tagged);
    expect(plan?.manifests.map(({ digest }) => digest)).toEqual([top, one, inner, two].map(({ digest }) => digest));
    expect(plan?.blobs).toHaveLength(4);
  });

  test('for one platform', async () => {
    const [amd64, arm64] = [image(blob('a')), image(blob('b'))];
    const top = index(descriptor(amd64, forPlatform('linux/amd64')), descriptor(arm64, forPlatform('linux/arm64')));
    const source = registry(top, amd64, arm64);
    const question = { ...tagged, platform: parsePlatform('linux/arm64') };
    const plan = await planImage({ source, held: nothingHeld }, question);
    expect(plan?.top.digest).toBe(arm64.digest);
    expect(source.asked).toEqual(['v1', arm64.digest]);
    const other = planImage({ source, held: nothingHeld }, { ...tagged, platform: parsePlatform('linux/s390x') });
    await expect(other).rejects.toMatchObject({ code: 'ERR_FETCH_UNSUPPORTED' });
  });

  test('without asking for manifests that are held, but for a tag, which may have moved', async () => {
    const one = image(blob('a'));
    const top = index(descriptor(one));
    const source = registry(top);
    const held = (digest: Digest): Promise<Buffer | undefined> =>
      Promise.resolve([top, one].find((manifest) => manifest.digest === digest)?.bytes);
    expect(await planImage({ source, held }, tagged)).toMatchObject({ top: { digest: top.digest } });
    expect(source.asked).toEqual(['v1']);
    const byDigest = { repository, reference: { kind: 'digest', digest: top.digest } } as const;
    expect(await planImage({ source, held }, byDigest)).toMatchObject({ top: { mediaType: MEDIA_TYPES.ociIndex } });
    expect(source.asked).toEqual(['v1']);
  });

  test('and what is held is not believed when it is not what its digest says', async () => {
    const one = image(blob('a'));
    const held = (): Promise<Buffer> => Promise.resolve(Buffer.from('{"schemaVersion":2}'));
    const top = index(descriptor(one));
    expect(await planImage({ source: registry(top, one), held }, tagged)).toMatchObject({ blobs: [{}, {}] });
  });

  test.each([
    ['an index names a manifest that is not there', [index(descriptor(image()))], 'ERR_FETCH_ABSENT'],
    [
      'the manifest has another size than the index says',
      [index(descriptor(image(), { size: 3 })), image()],
      'ERR_FETCH_MISMATCH',
    ],
    ['one blob has two sizes', [image(blob('a', 1), blob('a', 2))], 'ERR_FETCH_MISMATCH'],
    [
      'it is both image and index',
      [document({ layers: [], manifests: [] }, MEDIA_TYPES.ociIndex)],
      'ERR_MANIFEST_INVALID',
    ],
    [
      'it is of schema 1',
      [
        {
          ...document({}, ''),
          mediaType: MEDIA_TYPES.dockerSchema1Signed,
          bytes: Buffer.from('{"schemaVersion":1,"fsLayers":[]}'),
        },
      ],
      'ERR_FETCH_UNSUPPORTED',
    ],
  ] as const)('and refused when %s', async (_what, manifests, code) => {
    const planned = planImage({ source: registry(...manifests), held: nothingHeld }, tagged);
    await expect(planned).rejects.toMatchObject({ code });
  });

  test('and an image that is nowhere is undefined', async () => {
    expect(await planImage({ source: registry(), held: nothingHeld }, tagged)).toBeUndefined();
  });

  test('as the very files that its torrent has', async () => {
    const top = image(blob('a'));
    const files = await planImageLayout(top, () => Promise.reject(new Error('there is no child')));
    const layout = new Map(files.map(({ path, bytes }) => [path.join('/'), bytes]));
    expect(layout.get('oci-layout')).toEqual(LAYOUT_FILE_BYTES);
    expect(layout.get('index.json')).toEqual(layoutIndexBytes({ ...top, sizeBytes: top.bytes.length }));
    expect(layout.has(layoutBlobPath(digestOf(Buffer.from('a'))))).toBe(true);
  });
});
