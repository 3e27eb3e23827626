import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import { isManifestMediaType, MAX_MANIFEST_SIZE_BYTES, parseManifest } from '../../../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';

const DIGEST = digestOf(Buffer.from('content'));
const LAYER = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: DIGEST, size: 7 };
const CONFIG = { mediaType: MEDIA_TYPES.ociConfig, digest: DIGEST, size: 2 };
const IMAGE = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: CONFIG, layers: [LAYER] };
const INDEX = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociIndex,
  manifests: [{ ...LAYER, mediaType: MEDIA_TYPES.ociManifest }],
};

function parse(document: unknown, mediaType: string = MEDIA_TYPES.ociManifest) {
  return parseManifest(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)), mediaType);
}

const INVALID = expect.objectContaining({ code: 'ERR_MANIFEST_INVALID' }) as Error;

describe('manifests', () => {
  test('an image manifest names its config, layers, subject, type and annotations', () => {
    const manifest = parse({ ...IMAGE, subject: LAYER, artifactType: 'a/b', annotations: { key: 'value' } });
    expect(manifest).toMatchObject({
      kind: 'image',
      mediaType: MEDIA_TYPES.ociManifest,
      artifactType: 'a/b',
      annotations: { key: 'value' },
    });
    expect(manifest.config).toMatchObject({ digest: DIGEST, sizeBytes: 2 });
    expect(manifest.layers).toEqual([
      { mediaType: LAYER.mediaType, digest: DIGEST, sizeBytes: 7, annotations: {}, urls: [] },
    ]);
    expect(manifest.subject?.digest).toBe(DIGEST);
    expect(manifest.manifests).toEqual([]);
  });

  test('an index names its children and their platforms', () => {
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8', 'os.version': '1' };
    const manifest = parse({ ...INDEX, manifests: [{ ...INDEX.manifests[0], platform }] }, MEDIA_TYPES.ociIndex);
    expect(manifest).toMatchObject({ kind: 'index', layers: [] });
    expect(manifest.manifests[0]?.platform).toEqual({
      os: 'linux',
      architecture: 'arm64',
      variant: 'v8',
      osVersion: '1',
    });
    expect(manifest.config).toBeUndefined();
  });

  test("docker's forms are read like OCI's", () => {
    expect(parse({ ...IMAGE, mediaType: MEDIA_TYPES.dockerManifest }, MEDIA_TYPES.dockerManifest).kind).toBe('image');
    expect(parse({ ...INDEX, mediaType: MEDIA_TYPES.dockerManifestList }, MEDIA_TYPES.dockerManifestList).kind).toBe(
      'index',
    );
  });

  test('a schema 1 manifest gives its layers lowest first', () => {
    const [top, base] = [digestOf(Buffer.from('top')), digestOf(Buffer.from('base'))];
    const document = { schemaVersion: 1, name: 'a', fsLayers: [{ blobSum: top }, { blobSum: base }] };
    expect(parse(document, MEDIA_TYPES.dockerSchema1Signed)).toMatchObject({
      kind: 'schema1',
      unsizedLayers: [base, top],
    });
  });

  test('parameters of the Content-Type and an absent mediaType do not matter', () => {
    const { mediaType: _mediaType, ...bare } = IMAGE;
    expect(parse(bare, `${MEDIA_TYPES.ociManifest}; charset=utf-8`).mediaType).toBe(MEDIA_TYPES.ociManifest);
  });

  test('no layers, and null for a list, are an image without layers', () => {
    expect(parse({ ...IMAGE, layers: null }).layers).toEqual([]);
    expect(parse({ ...IMAGE, layers: [] }).layers).toEqual([]);
  });

  test('unknown fields are let be', () => {
    expect(parse({ ...IMAGE, something: { else: [1, 2] } }).kind).toBe('image');
  });

  test.each<[string, unknown, string?]>([
    ['layers and manifests', { ...IMAGE, manifests: INDEX.manifests }],
    ['manifests and layers', { ...INDEX, layers: [LAYER] }, MEDIA_TYPES.ociIndex],
    ['manifests and a config', { ...INDEX, config: CONFIG }, MEDIA_TYPES.ociIndex],
    ['a mediaType other than its Content-Type', { ...IMAGE, mediaType: MEDIA_TYPES.ociIndex }],
    ['an unknown Content-Type', IMAGE, 'text/html'],
    ['a Content-Type that is a property of objects', IMAGE, 'constructor'],
    ['no schemaVersion', { ...IMAGE, schemaVersion: undefined }],
    ['schemaVersion 1', { ...IMAGE, schemaVersion: 1 }],
    ['no config', { ...IMAGE, config: undefined }],
    ['no layers at all', { ...IMAGE, layers: undefined }],
    ['layers that are no list', { ...IMAGE, layers: { 0: LAYER } }],
    ['a layer that is no object', { ...IMAGE, layers: [7] }],
    ['a negative size', { ...IMAGE, layers: [{ ...LAYER, size: -1 }] }],
    ['a size that is no whole number', { ...IMAGE, layers: [{ ...LAYER, size: 1.5 }] }],
    ['a size beyond the safe integers', { ...IMAGE, layers: [{ ...LAYER, size: 2 ** 53 }] }],
    ['a size that is text', { ...IMAGE, layers: [{ ...LAYER, size: '7' }] }],
    ['no size', { ...IMAGE, layers: [{ ...LAYER, size: undefined }] }],
    ['an md5 digest', { ...IMAGE, layers: [{ ...LAYER, digest: `md5:${'a'.repeat(32)}` }] }],
    ['a layer without a type', { ...IMAGE, layers: [{ ...LAYER, mediaType: '' }] }],
    ['an annotation that is no string', { ...IMAGE, annotations: { key: 1 } }],
    ['annotations that are a list', { ...IMAGE, annotations: ['a'] }],
    ['urls that are no strings', { ...IMAGE, layers: [{ ...LAYER, urls: [1] }] }],
    ['a platform that is text', { ...IMAGE, layers: [{ ...LAYER, platform: 'linux' }] }],
    ['a subject that is no descriptor', { ...IMAGE, subject: {} }],
    ['an artifactType that is no string', { ...IMAGE, artifactType: 1 }],
    ['a schema 1 layer without a digest', { schemaVersion: 1, fsLayers: [{}] }, MEDIA_TYPES.dockerSchema1],
    ['a key twice', `{"schemaVersion":2,"schemaVersion":2,"config":${JSON.stringify(CONFIG)},"layers":[]}`],
    [
      'a key twice, once escaped',
      `{"schemaVersion":2,"config":${JSON.stringify(CONFIG)},"layers":[],"l\\u0061yers":[]}`,
    ],
    ['a byte order mark', `\uFEFF${JSON.stringify(IMAGE)}`],
    ['nesting without end', '['.repeat(100_000)],
    ['deep nesting', JSON.stringify(IMAGE).replace('}', `},"deep":${'['.repeat(100)}${']'.repeat(100)}`)],
    ['something behind it', `${JSON.stringify(IMAGE)}{}`],
    ['no JSON', '<html>'],
    ['nothing', ''],
    ['null', 'null'],
    ['a list', '[]'],
  ])('a manifest with %s is refused', (_what, document, mediaType) => {
    expect(() => parse(document, mediaType)).toThrow(INVALID);
  });

  test('bytes that are not UTF-8 are refused', () => {
    const bytes = Buffer.concat([Buffer.from('{"schemaVersion":2,"x":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    expect(() => parseManifest(bytes, MEDIA_TYPES.ociManifest)).toThrow(INVALID);
  });

  test('4 MiB is the largest manifest', () => {
    const room = MAX_MANIFEST_SIZE_BYTES - JSON.stringify({ ...IMAGE, annotations: { filler: '' } }).length;
    expect(parse({ ...IMAGE, annotations: { filler: 'x'.repeat(room) } }).kind).toBe('image');
    expect(() => parse({ ...IMAGE, annotations: { filler: 'x'.repeat(room + 1) } })).toThrow(INVALID);
  });

  test('the same key in two objects is no doubled key, nor is a value that looks like one', () => {
    const annotations = { a: '{"b":1,"b":2}', b: '"', 'c\\': '\\"' };
    expect(
      parse({
        ...IMAGE,
        annotations,
        layers: [
          { ...LAYER, annotations },
          { ...LAYER, annotations },
        ],
      }).annotations,
    ).toEqual(annotations);
  });

  test('any JSON is either read or refused by code', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.record({ schemaVersion: fc.constant(2), config: fc.jsonValue(), layers: fc.jsonValue() }),
    );
    fc.assert(
      fc.property(value, (document) => {
        try {
          expect(parse(document).kind).toBe('image');
        } catch (error) {
          expect(isDockyardError(error, 'ERR_MANIFEST_INVALID')).toBe(true);
        }
      }),
    );
  });

  test('the types that can be read are told from others', () => {
    expect(isManifestMediaType(`${MEDIA_TYPES.ociIndex}; a=b`)).toBe(true);
    expect(isManifestMediaType(MEDIA_TYPES.ociConfig)).toBe(false);
    expect(isManifestMediaType('toString')).toBe(false);
  });
});
