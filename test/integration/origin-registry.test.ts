/** The origin client against Debian's docker-registry: anonymous, basic and token access. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { parseRepositoryName } from '../../src/oci/name.ts';
import type { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { UpstreamOptions } from '../../src/origin/upstream-config.ts';
import { makeCertificate } from '../unit/origin/tls-fixture.ts';
import { collect, LATEST, makeOrigin, REPOSITORY } from '../unit/origin/origin-fixture.ts';
import {
  HTPASSWD,
  LOGIN,
  pushBlob,
  pushManifest,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { startTokenServer, TOKEN_ISSUER, TOKEN_SERVICE } from './token-server-fixture.ts';

const LAYER = randomBytes(8 << 20);
describe.skipIf(!requireDockerRegistry())('an upstream that is docker-registry', () => {
  let folder = '';
  let open: DockerRegistry | undefined;
  let layer: Digest;
  let manifest: Digest;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-origin-'));
    await writeFile(join(folder, 'htpasswd'), HTPASSWD);
    open = await startDockerRegistry(folder);
    layer = await pushBlob(open.url, REPOSITORY.name, LAYER);
    const config = Buffer.from('{}');
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: {
        mediaType: MEDIA_TYPES.ociConfig,
        digest: await pushBlob(open.url, REPOSITORY.name, config),
        size: config.length,
      },
      layers: [{ mediaType: MEDIA_TYPES.ociLayerGzip, digest: layer, size: LAYER.length }],
    };
    const bytes = Buffer.from(JSON.stringify(document));
    manifest = await pushManifest(open.url, REPOSITORY.name, LATEST, MEDIA_TYPES.ociManifest, bytes);
    await pushManifest(open.url, REPOSITORY.name, 'other', MEDIA_TYPES.ociManifest, bytes);
  });

  afterAll(async () => {
    await open?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Reads all that a pull needs, and what is not there. */
  async function expectPull(origin: OriginRegistry): Promise<void> {
    expect(await origin.resolveTag(REPOSITORY, LATEST)).toMatchObject({
      digest: manifest,
      mediaType: MEDIA_TYPES.ociManifest,
    });
    expect((await origin.fetchManifest(REPOSITORY, { kind: 'digest', digest: manifest }))?.digest).toBe(manifest);
    expect(await origin.statBlob(REPOSITORY, layer)).toEqual({ sizeBytes: LAYER.length });
    await using blob = await origin.openBlob(REPOSITORY, layer);
    expect(digestOf(await collect(blob?.body ?? (async function* () {})()))).toBe(layer);
    await using part = await origin.openBlob(REPOSITORY, layer, { range: { start: 1_000_000, end: 1_000_100 } });
    expect((await collect(part?.body ?? (async function* () {})())).equals(LAYER.subarray(1_000_000, 1_000_100))).toBe(
      true,
    );
    expect(await origin.openBlob(REPOSITORY, digestOf(Buffer.from('absent')))).toBeUndefined();
    expect(
      await origin.fetchManifest(REPOSITORY, { kind: 'digest', digest: digestOf(Buffer.from('absent')) }),
    ).toBeUndefined();
  }

  function client(url: string, options: Partial<UpstreamOptions> = {}): ReturnType<typeof makeOrigin> {
    return makeOrigin({ url, ...options });
  }

  function openUrl(): string {
    if (open === undefined) throw new Error('the registry was not started');
    return open.url;
  }

  test('is read anonymously', async () => {
    await expectPull(client(openUrl()).origin);
  });

  test('gives its list of tags, and none of an unknown repository', async () => {
    const { origin } = client(openUrl());
    const page = await origin.passthrough(REPOSITORY, { kind: 'tags' }, '');
    expect(page).toMatchObject({ status: 200, nextSearch: undefined });
    expect(JSON.parse(page?.bytes.toString() ?? '')).toMatchObject({ tags: ['latest', 'other'] });
    const unknown = { ...REPOSITORY, name: parseRepositoryName('not/there') };
    expect(await origin.passthrough(unknown, { kind: 'tags' }, '')).toBeUndefined();
  });

  test('is read with basic authentication, and denies without', async () => {
    const auth = { htpasswd: { realm: 'test', path: join(folder, 'htpasswd') } };
    await using registry = await startDockerRegistry(folder, { auth });
    await expectPull(client(registry.url, LOGIN).origin);
    const stranger = client(registry.url, { ...LOGIN, password: 'wrong' }).origin;
    await expect(stranger.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_DENIED' });
  });

  test('is read with tokens of its token server, one for all requests, and denies without', async () => {
    const certificate = await makeCertificate();
    await writeFile(join(folder, 'token.pem'), certificate.cert);
    await using tokens = await startTokenServer(certificate, LOGIN);
    const token = {
      realm: tokens.url,
      service: TOKEN_SERVICE,
      issuer: TOKEN_ISSUER,
      rootcertbundle: join(folder, 'token.pem'),
    };
    await using registry = await startDockerRegistry(folder, { auth: { token } });
    await expectPull(client(registry.url, LOGIN).origin);
    expect(tokens.given.count).toBe(1);
    const stranger = client(registry.url, { ...LOGIN, password: 'wrong' }).origin;
    await expect(stranger.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_DENIED' });
  });

  test('is read to the end though the connection is cut every megabyte', async () => {
    const target = new URL(openUrl());
    const relay = createServer((socket: Socket) => {
      let passedBytes = 0;
      const onward = connect(Number(target.port), target.hostname);
      for (const end of [socket, onward])
        end.on('error', () => undefined).on('close', () => [socket, onward].forEach((other) => other.destroy()));
      socket.pipe(onward);
      onward.on('data', (chunk: Buffer) => {
        passedBytes += chunk.length;
        if (passedBytes > 1 << 20) socket.destroy();
        else if (!socket.write(chunk)) onward.pause();
      });
      socket.on('drain', () => onward.resume());
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void relay.close());
    const { origin, metric } = client(`http://127.0.0.1:${(relay.address() as AddressInfo).port}`);
    await using blob = await origin.openBlob(REPOSITORY, layer);
    expect(digestOf(await collect(blob?.body ?? (async function* () {})()))).toBe(layer);
    expect(await metric('dockyard_origin_retries_total', { kind: 'blob' })).toBeGreaterThanOrEqual(7);
  });

  test('that is killed is unavailable', async () => {
    const registry = await startDockerRegistry(folder);
    const { origin } = client(registry.url);
    expect(await origin.resolveTag(REPOSITORY, LATEST)).toBeDefined();
    await registry.stop();
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNAVAILABLE' });
  });
});
