/** Container images made by code: layers of random bytes in an OCI layout, pushed to a registry by skopeo. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { mustRun } from './programs.ts';

/** The architecture of this machine, as images name it. */
export const HOST_ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64';

/** A document or a layer, under its digest. */
export interface ImagePart {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

/** A layer: a gzipped archive with one file. */
export interface Layer extends ImagePart {
  /** The digest of the archive before it was gzipped. */
  readonly diffId: Digest;
}

/** An image for one platform. */
export interface Image {
  readonly manifest: ImagePart;
  readonly config: ImagePart;
  readonly layers: readonly Layer[];
  readonly architecture: string;
}

/** Makes a layer whose file holds random bytes, so that no part of it is like another. */
export function makeLayer(fileSizeBytes: number): Layer {
  const tar = tarOf(`data-${randomBytes(4).toString('hex')}`, randomBytes(fileSizeBytes));
  // Random bytes cannot be compressed; trying would only take time.
  return { ...makePart(gzipSync(tar, { level: 0 })), diffId: digestOf(tar) };
}

/** Makes the manifest of an image with this config and these gzipped layers. */
export function makeManifest(config: ImagePart, layers: readonly ImagePart[]): ImagePart {
  return makePart({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: descriptorOf(MEDIA_TYPES.ociConfig, config),
    layers: layers.map((layer) => descriptorOf(MEDIA_TYPES.ociLayerGzip, layer)),
  });
}

/** Makes an image of layers that may belong to other images too. */
export function makeImage(layers: readonly Layer[], architecture: string = HOST_ARCHITECTURE): Image {
  const config = makePart({
    architecture,
    os: 'linux',
    created: '2020-01-01T00:00:00Z',
    config: { Cmd: ['/nothing'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(() => ({ created: '2020-01-01T00:00:00Z', created_by: 'test' })),
  });
  const manifest = makeManifest(config, layers);
  return { manifest, config, layers, architecture };
}

/** Makes an image with one layer for each size. */
export function makeRandomImage(...fileSizesBytes: readonly number[]): Image {
  return makeImage(fileSizesBytes.map(makeLayer));
}

/** Makes an index of images for several platforms. */
export function makeIndex(images: readonly Image[]): ImagePart {
  return makePart({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: images.map(({ manifest, architecture }) => ({
      ...descriptorOf(MEDIA_TYPES.ociManifest, manifest),
      platform: { os: 'linux', architecture },
    })),
  });
}

/** Digests of all blobs of an image: its config and its layers. */
export function blobsOf(image: Image): Digest[] {
  return [image.config.digest, ...image.layers.map(({ digest }) => digest)];
}

/** Bytes of all layers of an image. */
export function layerBytes(image: Image): number {
  return image.layers.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/**
 * Pushes an image, or an index with its images.
 * @param destination `HOST:PORT/NAME:TAG` of a registry that speaks plain HTTP and lets everybody push
 */
export async function pushImage(
  destination: string,
  images: Image | readonly Image[],
  index?: ImagePart,
): Promise<void> {
  const all = 'manifest' in images ? [images] : images;
  const top = index ?? all[0]?.manifest;
  if (top === undefined) throw new TypeError('there is no image to push');
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-image-'));
  try {
    const parts = all.flatMap(({ manifest, config, layers }) => [manifest, config, ...layers]);
    const mediaType = index === undefined ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.ociIndex;
    await writeParts(folder, { ...top, mediaType }, [top, ...parts], 'pushed');
    const options = ['--insecure-policy', '--all', '--preserve-digests', '--dest-tls-verify=false'];
    await mustRun('skopeo', ['copy', ...options, `oci:${folder}:pushed`, `docker://${destination}`]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes an image into a folder as an image layout without a name. @see OCI image-spec v1.1, image-layout */
export async function writeLayout(folder: string, { manifest, config, layers }: Image): Promise<void> {
  await writeParts(folder, { ...manifest, mediaType: MEDIA_TYPES.ociManifest }, [manifest, config, ...layers]);
}

async function writeParts(
  folder: string,
  top: ImagePart & { readonly mediaType: string },
  parts: readonly ImagePart[],
  refName?: string,
): Promise<void> {
  const blobs = join(folder, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  for (const { digest, bytes } of parts) await writeFile(join(blobs, digest.slice('sha256:'.length)), bytes);
  const annotations = refName === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': refName } };
  const manifests = [{ ...descriptorOf(top.mediaType, top), ...annotations }];
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
  await writeFile(join(folder, 'index.json'), JSON.stringify(index));
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

function descriptorOf(mediaType: string, { digest, bytes }: ImagePart): object {
  return { mediaType, digest, size: bytes.length };
}

/** Gives bytes, or a document, its digest. */
export function makePart(content: Buffer | object): ImagePart {
  const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
  return { bytes, digest: digestOf(bytes) };
}

/** A tar archive with one file. */
export function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}
