/** A facade over doubles in memory, listening on a free port, and a raw client that sends targets untouched. */
import { connect } from 'node:net';
import { once } from 'node:events';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { ByteRange } from '../../../src/oci/byte-range.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { formatManifestReference, type ManifestReference } from '../../../src/oci/name.ts';
import { formatRepository } from '../../../src/oci/repository.ts';
import { createFacade, type Facade } from '../../../src/registry/facade.ts';
import {
  DEFAULT_FACADE_SERVER_CONFIG,
  FacadeServer,
  type FacadeServerConfig,
} from '../../../src/registry/facade-server.ts';
import type {
  BlobReading,
  BlobService,
  ListService,
  ManifestService,
  PassedDocument,
  RequestContext,
  ServedManifest,
} from '../../../src/registry/ports.ts';
import { parseTestAnswer, type RawAnswer } from './facade-client.ts';

/** How a double reads a range; the default gives the bytes in chunks. */
export type ReadDouble = (bytes: Uint8Array, range: ByteRange, context: RequestContext) => AsyncIterable<Uint8Array>;

/** Blobs in memory. `read` may be replaced to break, stall or lie. */
export class FakeBlobs implements BlobService {
  readonly contexts: RequestContext[] = [];
  readonly #blobs = new Map<string, Uint8Array>();
  chunkSizeBytes = 64 * 1024;
  openCount = 0;
  closeCount = 0;
  returnCount = 0;
  failure: Error | undefined;
  read: ReadDouble = (bytes, range) => this.chunks(bytes, range);

  add(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return digest;
  }

  remove(digest: Digest): void {
    this.#blobs.delete(digest);
  }

  open(digest: Digest, context: RequestContext): Promise<BlobReading | undefined> {
    this.contexts.push(context);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) return Promise.resolve(undefined);
    this.openCount += 1;
    let isClosed = false;
    const close = (): Promise<void> => {
      if (!isClosed) this.closeCount += 1;
      isClosed = true;
      return Promise.resolve();
    };
    const read = (range: ByteRange): AsyncIterable<Uint8Array> => this.read(bytes, range, context);
    return Promise.resolve({ digest, sizeBytes: bytes.length, read, close, [Symbol.asyncDispose]: close });
  }

  stat(digest: Digest, context: RequestContext): Promise<{ sizeBytes: number } | undefined> {
    this.contexts.push(context);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const bytes = this.#blobs.get(digest);
    return Promise.resolve(bytes === undefined ? undefined : { sizeBytes: bytes.length });
  }

  /** The range in chunks, counting an early end. */
  async *chunks(bytes: Uint8Array, range: ByteRange): AsyncGenerator<Uint8Array> {
    let isDone = false;
    try {
      for (let at = range.start; at < range.end; at += this.chunkSizeBytes) {
        yield await Promise.resolve(bytes.subarray(at, Math.min(at + this.chunkSizeBytes, range.end)));
      }
      isDone = true;
    } finally {
      if (!isDone) this.returnCount += 1;
    }
  }
}

/** Manifests in memory, by `upstream/name reference`. */
export class FakeManifests implements ManifestService {
  readonly asked: string[] = [];
  readonly served = new Map<string, ServedManifest>();
  failure: Error | undefined;

  get(reference: ManifestReference, context: RequestContext): Promise<ServedManifest | undefined> {
    const key = `${formatRepository(context.repository)} ${formatManifestReference(reference)}`;
    this.asked.push(key);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return Promise.resolve(this.served.get(key));
  }
}

/** One document for every list, and what was asked. */
export class FakeLists implements ListService {
  readonly asked: string[] = [];
  document: PassedDocument | undefined;

  tags(search: string, context: RequestContext): Promise<PassedDocument | undefined> {
    this.asked.push(`tags ${formatRepository(context.repository)} ${search}`);
    return Promise.resolve(this.document);
  }

  referrers(digest: Digest, search: string, context: RequestContext): Promise<PassedDocument | undefined> {
    this.asked.push(`referrers ${formatRepository(context.repository)} ${digest} ${search}`);
    return Promise.resolve(this.document);
  }
}

/** All that a test of the facade may want to reach. */
export interface TestFacade extends AsyncDisposable {
  readonly blobs: FakeBlobs;
  readonly manifests: FakeManifests;
  readonly lists: FakeLists;
  readonly metrics: Registry;
  readonly logged: Record<string, unknown>[];
  readonly facade: Facade;
  readonly server: FacadeServer;
  readonly port: number;
  readonly url: string;
}

/** Starts a facade with the upstreams docker.io (the default), ghcr.io and localhost:5001. */
export async function openTestFacade(config: Partial<FacadeServerConfig> = {}): Promise<TestFacade> {
  const [blobs, manifests, lists, metrics] = [new FakeBlobs(), new FakeManifests(), new FakeLists(), new Registry()];
  const logged: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => logged.push(JSON.parse(line) as Record<string, unknown>) };
  const log = pino({ level: 'debug' }, sink);
  let requestCount = 0;
  const facade = createFacade(
    {
      blobs,
      manifests,
      lists,
      upstreamNames: () => ['docker.io', 'ghcr.io', 'localhost:5001'],
      log,
      metrics,
      clock: { nowMs: () => performance.now() },
      newRequestId: () => `request-${++requestCount}`,
    },
    { pace: { timeoutMs: 1000, progressBytes: 1024 }, lingerTimeoutMs: 500 },
  );
  const server = new FacadeServer(
    { facade, log },
    { ...DEFAULT_FACADE_SERVER_CONFIG, lingerTimeoutMs: 500, ...config },
  );
  const { port } = await server.open({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${port}`;
  return {
    blobs,
    manifests,
    lists,
    metrics,
    logged,
    facade,
    server,
    port,
    url,
    [Symbol.asyncDispose]: () => server.close(0),
  };
}

/** Sends bytes as they are and reads until the server closes; header names of the answer are in lower case. */
export async function sendRaw(port: number, request: string): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = once(socket, 'end');
  socket.write(Buffer.from(request, 'latin1'));
  await ended;
  socket.destroy();
  return parseTestAnswer(Buffer.concat(chunks));
}

/** A request for a target that no library has normalised. */
export function askRaw(
  port: number,
  target: string,
  options: { method?: string; headers?: string[] } = {},
): Promise<RawAnswer> {
  const lines = [
    `${options.method ?? 'GET'} ${target} HTTP/1.1`,
    'Host: x',
    'Connection: close',
    ...(options.headers ?? []),
  ];
  return sendRaw(port, `${lines.join('\r\n')}\r\n\r\n`);
}

/** The code of the first error in an answer's body. */
export function errorCode(body: Uint8Array): string {
  const parsed = JSON.parse(Buffer.from(body).toString()) as { errors: { code: string; message: string }[] };
  return parsed.errors[0]?.code ?? '';
}
