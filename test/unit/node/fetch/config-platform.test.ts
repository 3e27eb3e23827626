import { describe, expect, test } from 'vitest';
import { assertPlatform } from '../../../../node/fetch/config-platform.ts';
import type { ImagePlan } from '../../../../node/fetch/image-plan.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../../src/oci/media-type.ts';
import { parsePlatform } from '../../../../src/oci/platform.ts';

/** An image that stands alone, with a configuration. */
function imageWith(config: Buffer): ImagePlan {
  const descriptor = { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length };
  const mediaType = MEDIA_TYPES.ociManifest;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] }));
  const top = { bytes, mediaType, digest: digestOf(bytes) };
  return { top, manifests: [top], blobs: [] };
}

async function check(plan: ImagePlan, given: Buffer | undefined, wanted: string): Promise<void> {
  const read = () => Promise.resolve(given && chunksOf(given));
  await assertPlatform(plan, parsePlatform(wanted), read);
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 10) yield await Promise.resolve(bytes.subarray(start, start + 10));
}

describe('an image that stands in no index', () => {
  const arm = Buffer.from('{"architecture":"arm64","os":"linux","variant":"v8"}');

  test('is taken for the platform that its configuration names, and for no other', async () => {
    await check(imageWith(arm), arm, 'linux/arm64');
    await check(imageWith(arm), arm, 'linux/arm64/v8');
    for (const other of ['linux/amd64', 'windows/arm64', 'linux/arm64/v9'])
      await expect(check(imageWith(arm), arm, other)).rejects.toMatchObject({
        code: 'ERR_FETCH_UNSUPPORTED',
        message: `the image is not for ${other}; it names linux/arm64/v8`,
      });
  });

  test.each([
    ['names none', '{}'],
    ['is no JSON', 'config'],
    ['is empty', ''],
    ['names nonsense', '{"os":1,"architecture":[]}'],
    ['names nothing', '{"os":"","architecture":""}'],
    ['is null', 'null'],
  ])('is taken for any where its configuration %s', async (_, text) => {
    const config = Buffer.from(text);
    await expect(check(imageWith(config), config, 'linux/amd64')).resolves.toBeUndefined();
  });

  test('is not judged by what is no configuration of it; and what an index chose is not judged', async () => {
    const plan = imageWith(arm);
    for (const given of [undefined, Buffer.from('{"architecture":"s390x","os":"linux"}'), Buffer.alloc(1000)])
      await expect(check(plan, given, 'linux/amd64')).resolves.toBeUndefined();
    const chosen = { ...plan, top: { ...plan.top, platform: parsePlatform('linux/amd64') } };
    await expect(check(chosen, arm, 'linux/amd64')).resolves.toBeUndefined();
  });
});
