/** An image of one uncompressed layer in a facade whose blobs a test can break. */
import { randomBytes } from 'node:crypto';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { HOST_ARCHITECTURE, tarOf } from '../support/image-builder.ts';
import type { TestFacade } from '../unit/registry/facade-fixture.ts';

/** Where the image is. */
export const REFERENCE = 'ghcr.io/test/image:1';

/** An image of one uncompressed layer. */
export interface TestImage {
  readonly layer: Buffer;
  readonly layerDigest: Digest;
  readonly config: Buffer;
  readonly manifest: Buffer;
}

/** Makes an image whose layer holds one file of random bytes, so that no part of it is like another. */
export function makeImage(fileSizeBytes: number): TestImage {
  const layer = tarOf('data', randomBytes(fileSizeBytes));
  const layerDigest = digestOf(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: HOST_ARCHITECTURE,
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [layerDigest] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layerDigest, size: layer.length }],
    }),
  );
  return { layer, layerDigest, config, manifest };
}

/** Puts the image into a facade as REFERENCE. */
export function serveImage(node: TestFacade, image: TestImage): void {
  node.blobs.add(image.layer);
  node.blobs.add(image.config);
  const digest = digestOf(image.manifest);
  const served = { digest, mediaType: MEDIA_TYPES.ociManifest, bytes: image.manifest };
  node.manifests.served.set('ghcr.io/test/image 1', served);
  node.manifests.served.set(`ghcr.io/test/image ${digest}`, served);
}
