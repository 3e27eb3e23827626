/** A facade with the registry of a seed behind it, all in memory, and a client that sends what it is told. */
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Catalog } from '../../../src/catalog/catalog.ts';
import { KeyedCatalog } from '../../../src/catalog/keyed-catalog.ts';
import { MemoryKeyValue } from '../../../src/catalog/memory-key-value.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { createFacade, type FacadeDeps } from '../../../src/registry/facade.ts';
import { DEFAULT_FACADE_SERVER_CONFIG, FacadeServer } from '../../../src/registry/facade-server.ts';
import type { RegistryEvent } from '../../../src/registry/registry-events.ts';
import type { BodyPace } from '../../../src/registry/request-body.ts';
import { PushGate } from '../../../src/seed/push-gate.ts';
import type { SeedPolicyConfig } from '../../../src/seed/seed-policy.ts';
import { SeedRegistry } from '../../../src/seed/seed-registry.ts';
import type { StoredBlob } from '../../../src/storage/blob-storage.ts';
import { MemoryBlobStorage, MemoryMedium } from '../../../src/storage/memory-blob-storage.ts';
import { FakeBlobs, FakeLists, FakeManifests } from '../registry/facade-fixture.ts';

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** What is sent. */
export interface Sending {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Buffer | string | AsyncIterable<Uint8Array> | undefined;
}

/** All that a test may want to reach. */
export interface TestSeed extends AsyncDisposable {
  readonly port: number;
  readonly medium: MemoryMedium;
  readonly catalog: Catalog;
  readonly events: RegistryEvent[];
  /** Digests that were told to the swarm. */
  readonly stored: Digest[];
  /** What the default upstream has. */
  readonly upstream: { blobs: FakeBlobs; manifests: FakeManifests; lists: FakeLists };
  /** Sends a request on a connection of its own. */
  send(method: string, path: string, sending?: Sending): Promise<Answer>;
}

export interface TestSeedOptions {
  readonly policy?: Partial<SeedPolicyConfig>;
  readonly pace?: BodyPace;
  readonly listener?: FacadeDeps['listener'];
  /** Rooms beside the registry, over another registry of the same storage and catalog. */
  readonly sideDoors?: (beside: SeedRegistry, catalog: Catalog) => FacadeDeps['sideDoors'];
}

/** Starts a seed whose default upstream is docker.io. */
export async function openTestSeed(options: TestSeedOptions = {}): Promise<TestSeed> {
  const [medium, events, stored] = [new MemoryMedium(), [] as RegistryEvent[], [] as Digest[]];
  const clock = { nowMs: () => Date.now() };
  const storage = new MemoryBlobStorage({ clock, medium });
  const catalog = await KeyedCatalog.over(new MemoryKeyValue());
  const upstream = { blobs: new FakeBlobs(), manifests: new FakeManifests(), lists: new FakeLists() };
  const policy = { names: [], immutableTags: [], allowDelete: true, graceMs: 86_400_000, ...options.policy };
  const swarm = { isHeld: () => false, open: async () => await Promise.resolve(undefined) };
  const onStored = ({ digest }: StoredBlob): void => void stored.push(digest);
  const parts = { catalog, storage, swarm, clock, onStored, gate: new PushGate() };
  const hosted = new SeedRegistry(parts, policy);
  const beside = new SeedRegistry(parts, { ...policy, reservedNamespaces: [] });
  const log = pino({ level: 'silent' });
  let requestCount = 0;
  const onEvent = async (event: RegistryEvent): Promise<void> => {
    events.push(event);
    await Promise.resolve();
  };
  const facade = createFacade(
    {
      ...upstream,
      hosted,
      sideDoors: options.sideDoors?.(beside, catalog),
      listener: options.listener ?? { onEvent },
      upstreamNames: () => ['docker.io', 'ghcr.io'],
      log,
      metrics: new Registry(),
      clock: { nowMs: () => performance.now() },
      newRequestId: () => `request-${(requestCount += 1)}`,
    },
    { pace: options.pace ?? { timeoutMs: 5000, progressBytes: 1024 }, lingerTimeoutMs: 500 },
  );
  const server = new FacadeServer({ facade, log }, { ...DEFAULT_FACADE_SERVER_CONFIG, requestTimeoutMs: 0 });
  const { port } = await server.open({ host: '127.0.0.1', port: 0 });
  const send = async (method: string, path: string, sending?: Sending): Promise<Answer> =>
    await sendRequest(port, method, path, sending);
  const close = async (): Promise<void> => await server.close(0);
  return { port, medium, catalog, events, stored, upstream, send, [Symbol.asyncDispose]: close };
}

async function sendRequest(port: number, method: string, path: string, sending: Sending = {}): Promise<Answer> {
  const { body, headers = {} } = sending;
  const isWhole = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
  const length = isWhole && body !== undefined ? { 'Content-Length': Buffer.byteLength(body) } : {};
  const outgoing = request({ host: '127.0.0.1', port, method, path, agent: false, headers: { ...length, ...headers } });
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>;
  if (isWhole) outgoing.end(body);
  else {
    // Awaited below, unless the source fails first.
    answered.catch(() => undefined);
    await pump(body, outgoing);
  }
  const [incoming] = await answered;
  // The seed may close the connection while the rest of a refused body is on its way.
  outgoing.on('error', () => undefined);
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) };
}

/** Sends what a source gives; a source that fails stands for a client that leaves. */
async function pump(source: AsyncIterable<Uint8Array>, outgoing: ClientRequest): Promise<void> {
  try {
    for await (const chunk of source) outgoing.write(chunk);
    outgoing.end();
  } catch (error) {
    outgoing.destroy();
    throw error;
  }
}

/** The status of an answer, and the code of its first error. */
export function outcomeOf({ status, body }: Answer): [number, string | undefined] {
  if (body.length === 0) return [status, undefined];
  const parsed = JSON.parse(body.toString()) as { errors?: { code: string }[] };
  return [status, parsed.errors?.[0]?.code];
}

/** Pushes a blob in one request. */
export async function pushBlob(
  seed: TestSeed,
  name: string,
  bytes: Buffer,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): Promise<Digest> {
  const digest = digestOf(bytes, algorithm);
  const { status, body } = await seed.send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: bytes });
  if (status !== 201) throw new Error(`the blob was not taken: ${status} ${body.toString()}`);
  return digest;
}

/** A manifest with the blobs that it needs. */
export interface TestManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly blobs: readonly Buffer[];
}

/** An image manifest whose digest follows from `seed`; `extra` is added to the document. */
export function makeManifest(seed: string, extra: object = {}): TestManifest {
  const [config, layer] = [Buffer.from(JSON.stringify({ seed })), Buffer.from(`layer of ${seed}`)];
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(layer), size: layer.length }],
    ...extra,
  };
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, digest: digestOf(bytes), blobs: [config, layer] };
}

/** Sends a manifest alone. */
export async function putManifest(
  seed: TestSeed,
  path: string,
  bytes: Buffer,
  mediaType: string = MEDIA_TYPES.ociManifest,
): Promise<Answer> {
  return await seed.send('PUT', path, { body: bytes, headers: { 'Content-Type': mediaType } });
}

/** Pushes a manifest with all that it needs. */
export async function pushManifest(
  seed: TestSeed,
  name: string,
  reference: string,
  manifest: TestManifest,
): Promise<Answer> {
  for (const blob of manifest.blobs) await pushBlob(seed, name, blob);
  const answer = await putManifest(seed, `/v2/${name}/manifests/${reference}`, manifest.bytes);
  if (answer.status !== 201) throw new Error(`the manifest was not taken: ${answer.status} ${answer.body.toString()}`);
  return answer;
}
