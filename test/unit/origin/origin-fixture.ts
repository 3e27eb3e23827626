/** An upstream under the test's control, and an origin client that talks to it. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import type { Repository } from '../../../src/oci/repository.ts';
import { systemClock, type Clock } from '../../../src/origin/clock.ts';
import { NO_CREDENTIALS } from '../../../src/origin/credentials.ts';
import { OriginRegistry, type OriginRegistryDeps } from '../../../src/origin/origin-registry.ts';
import {
  NO_PROXY,
  resolveUpstream,
  type ProxyConfig,
  type UpstreamOptions,
} from '../../../src/origin/upstream-config.ts';

export const UPSTREAM = 'origin.test';
export const REPOSITORY: Repository = { upstream: UPSTREAM, name: parseRepositoryName('library/thing') };
export const LATEST = 'latest' as Tag;

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const MANIFEST_BYTES: Buffer = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(Buffer.from('{}')), size: 2 },
    layers: [],
  }),
);
export const MANIFEST_DIGEST = digestOf(MANIFEST_BYTES);
export const MANIFEST_HEADERS = {
  'content-type': MANIFEST_TYPE,
  'content-length': String(MANIFEST_BYTES.length),
  'docker-content-digest': MANIFEST_DIGEST,
};

/** One request as the upstream saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

export interface FakeServer {
  readonly url: string;
  readonly port: number;
  readonly seen: SeenRequest[];
  readonly server: Server;
  /** The requests whose URL contains a text. */
  seenAt(text: string): SeenRequest[];
}

async function listen(server: Server, protocol: string, seen: SeenRequest[]): Promise<FakeServer> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const seenAt = (text: string): SeenRequest[] => seen.filter(({ url }) => url.includes(text));
  return { url: `${protocol}://127.0.0.1:${port}`, port, seen, server, seenAt };
}

function recording(seen: SeenRequest[], handler: RequestListener): RequestListener {
  return (request: IncomingMessage, response: ServerResponse & { req: IncomingMessage }) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    handler(request, response);
  };
}

/** A server on loopback, gone when the test is. */
export async function startServer(handler: RequestListener): Promise<FakeServer> {
  const seen: SeenRequest[] = [];
  return await listen(createServer(recording(seen, handler)), 'http', seen);
}

/** The same with TLS. */
export async function startTlsServer(
  tls: { key: string; cert: string },
  handler: RequestListener,
): Promise<FakeServer> {
  const seen: SeenRequest[] = [];
  return await listen(createTlsServer(tls, recording(seen, handler)), 'https', seen);
}

/** The real time, but with sleeps that only remember how long they were to be. */
export function impatientClock(): Clock & { readonly sleptMs: number[]; aheadMs: number } {
  const sleptMs: number[] = [];
  return {
    sleptMs,
    aheadMs: 0,
    nowMs() {
      return Date.now() + this.aheadMs;
    },
    async sleep(delayMs, options = {}) {
      sleptMs.push(delayMs);
      await systemClock.sleep(Math.min(delayMs, 1), options);
    },
  };
}

export interface TestOrigin {
  readonly origin: OriginRegistry;
  readonly clock: ReturnType<typeof impatientClock>;
  /** The value of a metric, 0 when it was never counted. */
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => Promise<number>;
}

/** An origin client with one upstream, named UPSTREAM. */
export function makeOrigin(
  upstream: Partial<UpstreamOptions> & { url: string },
  deps: Partial<OriginRegistryDeps> = {},
  proxy: ProxyConfig = NO_PROXY,
): TestOrigin {
  const metrics = new Registry();
  const clock = impatientClock();
  const config = resolveUpstream({ name: UPSTREAM, progressTimeoutMs: 5_000, ...upstream });
  const origin = new OriginRegistry(
    { log: pino({ level: 'silent' }), metrics, clock, credentials: NO_CREDENTIALS, random: () => 0.5, ...deps },
    { upstreams: [config], proxy },
  );
  onTestFinished(() => origin.close());
  return { origin, clock, metric: (name, labels = {}) => metricValue(metrics, name, labels) };
}

async function metricValue(metrics: Registry, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const values = (await metrics.getSingleMetric(name)?.get())?.values ?? [];
  const wanted = values.filter((value) => Object.entries(labels).every(([key, label]) => value.labels[key] === label));
  return wanted.reduce((sum, { value }) => sum + value, 0);
}

/** All bytes of a stream. */
export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
