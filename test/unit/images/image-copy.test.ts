/** Copies between fake registries that misbehave; the well-behaved ones are tested in test/integration. */
import { describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import type { Tag } from '../../../src/oci/name.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { collect, startServer } from '../origin/origin-fixture.ts';
import { descriptor, FakeRegistry, makeCopy } from './copy-fixture.ts';

const LAYER = seededBytes(3_000_000, 7);
const CONFIG = Buffer.from('{}');
const V1 = 'v1' as Tag;

function manifestOf(layers: readonly object[]): Buffer {
  const config = descriptor(MEDIA_TYPES.ociConfig, CONFIG);
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers }));
}

const IMAGE = manifestOf([descriptor(MEDIA_TYPES.ociLayerGzip, LAYER)]);

function fullSource(): FakeRegistry {
  return new FakeRegistry().add(LAYER, CONFIG).tag('v1', IMAGE);
}

describe('a copy', () => {
  test('goes on where the target says, outside of its own path', async () => {
    const target = new FakeRegistry();
    const { copy, events } = await makeCopy(fullSource(), target);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    expect(target.blobs.get(digestOf(LAYER))?.equals(LAYER)).toBe(true);
    expect(target.manifests.get('v1')?.equals(IMAGE)).toBe(true);
    expect(events.filter(({ kind }) => kind === 'blob')).toMatchObject([{ outcome: 'sent' }, { outcome: 'sent' }]);
  });

  test('is tried again when the target fails for a moment, and when an answer is lost', async () => {
    const target = new FakeRegistry();
    const failed = new Set<string>();
    target.misbehave = async (request, response) => {
      const { method = '' } = request;
      if (method === 'GET' || method === 'HEAD' || failed.has(method)) return false;
      failed.add(method);
      if (method === 'PUT') {
        request.socket.destroy();
        return true;
      }
      await collect(request as AsyncIterable<Uint8Array>);
      response.writeHead(method === 'POST' ? 429 : 503, { 'retry-after': '1' }).end();
      return true;
    };
    const { copy } = await makeCopy(fullSource(), target);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    expect([...failed].toSorted()).toEqual(['PATCH', 'POST', 'PUT']);
    expect(target.manifests.get('v1')?.equals(IMAGE)).toBe(true);
  });

  test('ends with the words of a target that refuses, and no manifest is left there', async () => {
    const target = new FakeRegistry();
    target.misbehave = (request, response) => {
      if (request.method !== 'POST') return false;
      response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"the project is full\\u001b[2J"}]}');
      return true;
    };
    const { copy } = await makeCopy(fullSource(), target);
    const failure = copy.run({ kind: 'tag', tag: V1 }, V1);
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_REGISTRY_REFUSED',
      message: expect.stringMatching(/with 403 \(DENIED: the project is full \[2J\)$/) as string,
    });
    expect(target.manifests.size).toBe(0);
  });

  test('of an image that the source has in part is refused, and no manifest is left at the target', async () => {
    const target = new FakeRegistry();
    const { copy } = await makeCopy(new FakeRegistry().add(CONFIG).tag('v1', IMAGE), target);
    await expect(copy.run({ kind: 'tag', tag: V1 }, V1)).rejects.toMatchObject({ code: 'ERR_COPY_INCOMPLETE' });
    expect(target.manifests.size).toBe(0);
  });

  test('never sends an upload to another host', async () => {
    const stranger = await startServer((_request, response) => void response.writeHead(202).end());
    const target = new FakeRegistry();
    target.misbehave = (request, response) => {
      if (request.method !== 'POST') return false;
      response.writeHead(202, { location: `${stranger.url}/upload` }).end();
      return true;
    };
    const { copy } = await makeCopy(fullSource(), target);
    await expect(copy.run({ kind: 'tag', tag: V1 }, V1)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNSAFE_TARGET' });
    expect(stranger.seen).toEqual([]);
  });

  test('leaves foreign layers where they come from', async () => {
    const foreign = {
      ...descriptor('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', LAYER),
      urls: ['https://example.com/layer'],
    };
    const source = new FakeRegistry().add(CONFIG).tag('v1', manifestOf([foreign]));
    const target = new FakeRegistry();
    const { copy, events } = await makeCopy(source, target);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'blob', digest: digestOf(LAYER), outcome: 'foreign' }),
    );
    expect([...target.blobs.keys()]).toEqual([digestOf(CONFIG) satisfies Digest]);
  });
});
