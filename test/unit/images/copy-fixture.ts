/** Fake registries between which images are copied; they misbehave where a test wants them to. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { ImageCopy, type CopyEvent } from '../../../src/images/image-copy.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { NO_CREDENTIALS } from '../../../src/origin/credentials.ts';
import { OriginRegistry } from '../../../src/origin/origin-registry.ts';
import { NO_PROXY, resolveUpstream } from '../../../src/origin/upstream-config.ts';
import { collect, impatientClock, startServer, type FakeServer } from '../origin/origin-fixture.ts';

const NAME = parseRepositoryName('team/app');
const FROM = { upstream: 'from.test', name: NAME };
const TO = { upstream: 'to.test', name: NAME };

/** What a manifest says of bytes. */
export function descriptor(mediaType: string, bytes: Buffer): { mediaType: string; digest: Digest; size: number } {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** A registry in memory with a single repository. */
export class FakeRegistry {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, Buffer>();
  readonly uploads = new Map<string, Buffer>();
  /** It lists what refers to a manifest. */
  listsReferrers = false;
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
    else if (kind === 'referrers' && this.listsReferrers) this.#referrers(response, key);
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
    if (request.method !== 'PUT') {
      const found = this.manifests.get(reference);
      return this.#give(request, response, found, found === undefined ? '' : documentOf(found).mediaType);
    }
    const bytes = await collect(request as AsyncIterable<Uint8Array>);
    this.tag(reference, bytes);
    response.writeHead(201, { 'docker-content-digest': digestOf(bytes) }).end();
  }

  #referrers(response: ServerResponse, subject: string): void {
    const all = new Map(this.manifests.values().map((bytes) => [digestOf(bytes), bytes]));
    const manifests = [...all.values()]
      .filter((bytes) => documentOf(bytes).subject?.digest === subject)
      .map((bytes) => ({
        ...descriptor(documentOf(bytes).mediaType, bytes),
        artifactType: documentOf(bytes).artifactType,
      }));
    response
      .writeHead(200, { 'content-type': MEDIA_TYPES.ociIndex })
      .end(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
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

interface Document {
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly subject?: { readonly digest: string };
}

function documentOf(bytes: Buffer): Document {
  return JSON.parse(bytes.toString()) as Document;
}

/** A copy from one to the other, and what it tells. */
export async function makeCopy(
  from: FakeRegistry,
  to: FakeRegistry,
  withAttachments = false,
): Promise<{ copy: ImageCopy; events: CopyEvent[] }> {
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
  const copy = new ImageCopy(
    { origin, clock, random: () => 0.5, onEvent },
    { from: FROM, to: TO },
    { jobs: 2, withAttachments },
  );
  return { copy, events };
}
