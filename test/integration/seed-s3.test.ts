/** A seed that keeps what is pushed in a bucket, and tells a webhook of it, and two that share one; with real clients and a real S3 service. */
import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { requirement } from '../skip-reasons.ts';
import { blobsOf, makeRandomImage, pushImage } from '../support/image-builder.ts';
import { MAIN, NODE_FLAGS, NodeProcess } from '../support/node-process.ts';
import { freePort, isInstalled, mustRun, run, until } from '../support/programs.ts';
import type { S3Bucket } from '../support/s3-bucket.ts';
import { hasS3Server, S3_SERVER_REMEDY, startS3Server, type S3Server } from '../support/s3-server.ts';
import { startReceiver } from '../unit/notify/notify-fixture.ts';

const MIB = 1024 * 1024;
const isReady =
  requirement('versitygw', hasS3Server, S3_SERVER_REMEDY) &&
  requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images');

describe.skipIf(!isReady)('a seed over a bucket', () => {
  let folder = '';
  let server: S3Server;
  let bucket: S3Bucket;
  let seed: NodeProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-seed-s3-'));
    server = await startS3Server();
    bucket = await server.makeBucket('images');
  });

  afterAll(async () => {
    await seed?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function startSeed(more: Record<string, unknown> = {}, facadePort?: number): Promise<NodeProcess> {
    await writeFile(join(folder, 'secret-key'), 'test-secret\n');
    const config = {
      swarm: { enabled: false },
      storage: {
        driver: 's3',
        s3: {
          bucket: 'images',
          prefix: 'registry',
          endpoint: server.endpoint,
          pathStyle: true,
          accessKey: 'test-key',
          secretKeyFile: 'secret-key',
          partSize: '5MiB',
          ...(more['s3'] as object | undefined),
        },
      },
      notifications: more['notifications'] ?? {},
    };
    await writeFile(join(folder, 'seed.yaml'), JSON.stringify(config));
    return await NodeProcess.startSeed(
      ['--config', join(folder, 'seed.yaml'), '--data', join(folder, 'seed')],
      facadePort,
    );
  }

  async function blobsInBucket(): Promise<string[]> {
    const folder = 'registry/blobs/sha256/';
    return (await bucket.keys(folder)).map((key) => key.slice(folder.length));
  }

  async function dockyard(...args: string[]): Promise<unknown> {
    return JSON.parse(await mustRun(process.execPath, [MAIN, ...args, '--admin', seed.admin]));
  }

  async function copyBack(reference: string, target: string): Promise<void> {
    const source = `docker://${seed.facade}/${reference}`;
    await mustRun('skopeo', ['copy', '--insecure-policy', '--src-tls-verify=false', source, `dir:${target}`]);
  }

  test('an image is pushed to the bucket, outlives a kill of the seed, and is pulled from it', async () => {
    seed = await startSeed();
    const image = makeRandomImage(12 * MIB, 300_000, 0);
    await pushImage(`${seed.facade}/team/app:1`, image);
    const blobs = blobsOf(image).map((digest) => digest.slice('sha256:'.length));
    expect((await blobsInBucket()).toSorted()).toEqual([...new Set(blobs)].toSorted());
    const facadePort = Number(seed.facade.split(':')[1]);
    seed.child.kill('SIGKILL');
    await seed[Symbol.asyncDispose]();
    seed = await startSeed({}, facadePort);
    const target = join(folder, 'copied');
    await copyBack('team/app:1', target);
    for (const name of blobs) expect(await mustRun('sha256sum', [join(target, name)])).toContain(name);
    // Not in the data folder: the bucket is the only copy.
    const held = await run('find', [join(folder, 'seed', 'content', 'blobs'), '-size', '+1M']);
    expect(held.output).toBe('');
  });

  test('another seed is refused where this one keeps its blobs', async () => {
    const config = join(folder, 'seed.yaml');
    const args = ['seed', '--config', config, '--data', join(folder, 'other'), '--swarm-mdns=false'];
    const ports = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
    const { exitCode, output } = await run(process.execPath, [...NODE_FLAGS, MAIN, ...args, ...ports]);
    expect(exitCode).not.toBe(0);
    expect(output).toContain('ERR_STORAGE_TAKEN');
    expect(output).toContain('registry/owner');
    expect((await fetch(`http://${seed.facade}/v2/team/app/manifests/1`)).status).toBe(200);
  });

  test('a client may be sent to the bucket, and gets the same bytes there', async () => {
    await seed[Symbol.asyncDispose]();
    seed = await startSeed({ s3: { redirect: true } });
    const image = makeRandomImage(3 * MIB, 10_000, 7);
    await pushImage(`${seed.facade}/team/other:1`, image);
    const [digest = ''] = blobsOf(image);
    const url = `http://${seed.facade}/v2/team/other/blobs/${digest}`;
    const answer = await fetch(url, { redirect: 'manual' });
    expect(answer.status).toBe(307);
    expect(answer.headers.get('location')).toMatch(
      new RegExp(`^${server.endpoint}/images/registry/blobs/.*X-Amz-Signature=`),
    );
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(url.replace('team/other', 'team/app'), { redirect: 'manual' })).status).toBe(404);
    await copyBack('team/other:1', join(folder, 'redirected'));
    for (const blob of blobsOf(image)) {
      const name = blob.slice('sha256:'.length);
      expect(await mustRun('sha256sum', [join(folder, 'redirected', name)])).toContain(name);
    }
  });

  test('a webhook is told of what was pushed and deleted, and what it did not take can be delivered again', async () => {
    await seed[Symbol.asyncDispose]();
    let isDown = false;
    const receiver = await startReceiver(() => (isDown ? 422 : 200));
    const ci = {
      url: receiver.url,
      allowPrivate: true,
      threshold: 1,
      backoff: '10ms',
      secret: 'hook-key',
      ignore: { actions: ['pull'] },
    };
    seed = await startSeed({ notifications: { includeReferences: true, endpoints: { ci } } });
    const image = makeRandomImage(1000, 1000, 9);
    await pushImage(`${seed.facade}/team/hooked:1`, image);
    const count = blobsOf(image).length + 1;
    const deliveries = await receiver.received(count);
    const pushed = deliveries.at(-1);
    expect(pushed?.event).toMatchObject({
      action: 'push',
      target: {
        repository: 'team/hooked',
        tag: '1',
        references: expect.arrayContaining([expect.objectContaining({ digest: blobsOf(image)[0] })]),
      },
      request: { method: 'PUT', useragent: expect.stringContaining('skopeo') },
    });
    const signed = `${String(pushed?.headers['webhook-id'])}.${String(pushed?.headers['webhook-timestamp'])}.${pushed?.body}`;
    const signature = createHmac('sha256', 'hook-key').update(signed).digest('base64');
    expect(pushed?.headers['webhook-signature']).toBe(`v1,${signature}`);
    isDown = true;
    const deleted = await fetch(`http://${seed.facade}/v2/team/hooked/manifests/1`, { method: 'DELETE' });
    expect(deleted.status).toBe(202);
    await receiver.received(count + 1);
    isDown = false;
    const dead = await until('the event is given up', async () => {
      const letters = (await dockyard('webhooks', 'dead', '--json')) as unknown[];
      return letters.length > 0 ? letters : undefined;
    });
    expect(dead).toMatchObject([
      { endpoint: 'ci', event: { action: 'delete', target: { repository: 'team/hooked', tag: '1' } } },
    ]);
    expect(await dockyard('webhooks', 'retry', 'ci', '--json')).toEqual({ retried: 1 });
    const again = (await receiver.received(count + 2)).at(-1);
    expect(again?.event).toMatchObject({ action: 'delete', target: { tag: '1' } });
    expect(await dockyard('webhooks', '--json')).toMatchObject([{ name: 'ci', deadLetterCount: 0 }]);
  });
});

describe.skipIf(!isReady)('two seeds over one bucket, each with a prefix of its own', () => {
  const names = ['one.test', 'two.test'] as const;
  type Name = (typeof names)[number];
  let folder = '';
  let server: S3Server;
  let bucket: S3Bucket;
  const ports = new Map<Name, number>();
  const seeds = new Map<Name, NodeProcess>();
  const kept = makeRandomImage(12 * MIB, 50_000);

  const otherThan = (name: Name): Name => (name === 'one.test' ? 'two.test' : 'one.test');
  const at = (name: Name): string => `127.0.0.1:${ports.get(name)}`;
  const upstream = (name: Name): string[] => ['--upstream', `${name}=http://${at(name)}`];
  const swarm = async (): Promise<string[]> => {
    const [running] = seeds.values();
    return running === undefined ? [] : ['--bootstrap', await running.swarm()];
  };

  async function startSeed(name: Name): Promise<void> {
    const flags = ['--data', join(folder, name), '--push-names', '**', '--gc-untagged', '--gc-grace', '0'];
    const follow = [...upstream(otherThan(name)), '--replication-from', otherThan(name)];
    const storage = {
      driver: 's3',
      's3-bucket': 'seeds',
      's3-prefix': name,
      's3-endpoint': server.endpoint,
      's3-path-style': 'true',
      's3-access-key': 'test-key',
      's3-secret-key': 'test-secret',
    };
    const place = Object.entries(storage).flatMap(([flag, value]) => [`--storage-${flag}`, value]);
    seeds.set(name, await NodeProcess.startSeed([...flags, ...follow, ...place, ...(await swarm())], ports.get(name)));
  }

  async function storedAt(name: Name): Promise<string[]> {
    const keys = await bucket.keys(`${name}/blobs/`);
    return keys.map((key) => key.slice(`${name}/blobs/`.length).replace('/', ':')).toSorted();
  }

  async function untilTag(name: Name, tag: string, digest: string | undefined): Promise<void> {
    const url = `http://${at(name)}/v2/team/app/manifests/${tag}`;
    await until(
      () => `${tag} at ${name} is ${digest}\n${seeds.get(name)?.err}`,
      async () => {
        const answer = await fetch(url, { method: 'HEAD', headers: { accept: MEDIA_TYPES.ociManifest } });
        return (answer.status === 200 ? answer.headers.get('docker-content-digest') : undefined) === digest;
      },
    );
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-seeds-s3-'));
    server = await startS3Server();
    bucket = await server.makeBucket('seeds');
    for (const name of names) ports.set(name, await freePort());
    for (const name of names) await startSeed(name);
  });

  afterAll(async () => {
    for (const seed of seeds.values()) await seed[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test('what is pushed to one is pulled through a node of the other, also when one is killed midway', async () => {
    await pushImage(`${at('one.test')}/team/app:kept`, kept);
    await untilTag('two.test', 'kept', kept.manifest.digest);
    for (const name of names) expect(await storedAt(name)).toEqual(blobsOf(kept).toSorted());
    const to = [...upstream('two.test'), '--push-to', 'two.test'];
    const slow = ['--transfer-download-rate', '4MiB'];
    await using node = await NodeProcess.start(['--data', join(folder, 'node'), ...to, ...slow, ...(await swarm())]);
    const target = join(folder, 'midway');
    const source = `docker://${node.facade}/team/app:kept`;
    const pulling = mustRun('skopeo', ['copy', '--insecure-policy', '--src-tls-verify=false', source, `dir:${target}`]);
    const serving = await until('a seed has served a part of it', async () => {
      for (const [name, seed] of seeds)
        if ((await seed.metric('dockyard_served_bytes_total', { to: 'peer' })) > 2 * MIB) return name;
      return undefined;
    });
    expect(await node.metric('dockyard_received_bytes_total')).toBeLessThan(11 * MIB);
    await seeds.get(serving)?.[Symbol.asyncDispose]();
    seeds.delete(serving);
    await pulling;
    for (const digest of blobsOf(kept)) {
      const hex = digest.slice('sha256:'.length);
      expect(await mustRun('sha256sum', [join(target, hex)])).toContain(hex);
    }
  });

  test('a deletion comes to the seed that was dead, and collections of both at once keep what is needed', async () => {
    const [alive] = seeds.keys();
    const dead = otherThan(alive ?? 'one.test');
    const gone = makeRandomImage(60_000);
    await pushImage(`${at(otherThan(dead))}/team/app:gone`, gone);
    await startSeed(dead);
    await untilTag(dead, 'gone', gone.manifest.digest);
    const url = `http://${at(dead)}/v2/team/app/manifests/${gone.manifest.digest}`;
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(202);
    await untilTag(otherThan(dead), 'gone', undefined);
    const collections = Array.from(seeds.values(), async ({ admin }) => {
      const answer = await fetch(`http://${admin}/gc`, { method: 'POST' });
      expect(await answer.text()).toContain('"kind":"blob"');
    });
    await Promise.all(collections);
    for (const name of names) expect(await storedAt(name)).toEqual(blobsOf(kept).toSorted());
  });
});
