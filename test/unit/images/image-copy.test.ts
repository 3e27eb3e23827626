/** Copies between fake registries that misbehave; the well-behaved ones are tested in test/integration. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ImageCopy, type CopyEvent } from '../../../src/images/image-copy.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { NO_CREDENTIALS } from '../../../src/origin/credentials.ts';
import { OriginRegistry } from '../../../src/origin/origin-registry.ts';
import { NO_PROXY, resolveUpstream } from '../../../src/origin/upstream-config.ts';
import { seededBytes } from '../../contract/blob-store-fixtures.ts';
import { collect, impatientClock, startServer, type FakeServer } from '../origin/origin-fixture.ts';

const LAYER = seededBytes(3_000_000, 7);
const CONFIG = Buffer.from('{}');
const V1 = 'v1' as Tag;
const NAME = parseRepositoryName('team/app');
const FROM = { upstream: 'from.test', name: NAME };
const TO = { upstream: 'to.test', name: NAME };

function descriptor(mediaType: string, bytes: Buffer): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function manifestOf(layers: readonly object[]): Buffer {
  const config = descriptor(MEDIA_TYPES.ociConfig, CONFIG);
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers }));
}

const IMAGE = manifestOf([descriptor(MEDIA_TYPES.ociLayerGzip, LAYER)]);

/** A registry in memory with a single repository. */
class FakeRegistry {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, Buffer>();
  readonly uploads = new Map<string, Buffer>();
  /** Answers a request in place of the registry, and says so. */
  misbehave: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean> = () => false;

  async start(): Promise<FakeServer> {
    return await startServer((request, response) => void this.#answer(request, response));
  }

  add(...blobs: readonly Buffer[]): this {
    for (const bytes of blobs) this.blobs.set(digestOf(bytes), bytes);
    return this;
  }

  tag(tag: string, bytes: Buffer): this {
    this.manifests.set(tag, bytes).set(digestOf(bytes), bytes);
    return this;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://x');
    const rest = url.pathname.replace(/^\/(?:v2|elsewhere)\/team\/app\//, '');
    if (await this.misbehave(request, response)) return;
    const [kind, key = '', id = ''] = rest.split('/');
    if (kind === 'manifests') await this.#manifest(request, response, key);
    else if (key === 'uploads') await this.#upload(request, response, id, url.searchParams.get('digest'));
    else this.#give(request, response, this.blobs.get(key), 'application/octet-stream');
  }

  #give(request: IncomingMessage, response: ServerResponse, bytes: Buffer | undefined, type: string): void {
    if (bytes === undefined) return void response.writeHead(404).end();
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const headers: Record<string, string> = { 'content-type': type, 'docker-content-digest': digestOf(bytes) };
    if (start > 0) headers['content-range'] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    headers['content-length'] = String(bytes.length - start);
    response
      .writeHead(start > 0 ? 206 : 200, headers)
      .end(request.method === 'HEAD' ? undefined : bytes.subarray(start));
  }

  async #manifest(request: IncomingMessage, response: ServerResponse, reference: string): Promise<void> {
    if (request.method !== 'PUT')
      return this.#give(request, response, this.manifests.get(reference), MEDIA_TYPES.ociManifest);
    const bytes = await collect(request as AsyncIterable<Uint8Array>);
    this.tag(reference, bytes);
    response.writeHead(201, { 'docker-content-digest': digestOf(bytes) }).end();
  }

  async #upload(request: IncomingMessage, response: ServerResponse, id: string, digest: string | null): Promise<void> {
    const location = (name: string): { location: string } => ({
      location: `/elsewhere/team/app/blobs/uploads/${name}`,
    });
    if (request.method === 'POST') {
      const name = `u${this.uploads.size}`;
      this.uploads.set(name, Buffer.alloc(0));
      return void response.writeHead(202, location(name)).end();
    }
    const had = this.uploads.get(id) ?? Buffer.alloc(0);
    const bytes = Buffer.concat([had, await collect(request as AsyncIterable<Uint8Array>)]);
    this.uploads.set(id, bytes);
    if (request.method === 'PATCH') response.writeHead(202, location(id)).end();
    else if (digest === digestOf(bytes)) {
      this.blobs.set(digest, bytes);
      response.writeHead(201).end();
    } else response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}');
  }
}

async function makeCopy(from: FakeRegistry, to: FakeRegistry): Promise<{ copy: ImageCopy; events: CopyEvent[] }> {
  const places = [
    [FROM.upstream, (await from.start()).url],
    [TO.upstream, (await to.start()).url],
  ] as const;
  const clock = impatientClock();
  const upstreams = places.map(([name, url]) => resolveUpstream({ name, url, maxRetries: 1 }));
  const deps = { log: pino({ level: 'silent' }), metrics: new Registry(), clock, credentials: NO_CREDENTIALS };
  const origin = new OriginRegistry(deps, { upstreams, proxy: NO_PROXY });
  onTestFinished(() => origin.close());
  const events: CopyEvent[] = [];
  const onEvent = (event: CopyEvent): void => void events.push(event);
  const copy = new ImageCopy({ origin, clock, random: () => 0.5, onEvent }, { from: FROM, to: TO }, { jobs: 2 });
  return { copy, events };
}

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
