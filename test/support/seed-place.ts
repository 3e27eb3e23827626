/** Seeds for tests of what they keep: on a disk or in a bucket, started again and again over the same storage. */
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { requirement } from '../skip-reasons.ts';
import { NodeProcess } from './node-process.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { hasS3Server, S3_SERVER_REMEDY, startS3Server, type S3Server } from './s3-server.ts';

/** Where a seed keeps its blobs. */
export type SeedDriver = 'filesystem' | 's3';

/** The drivers, and whether they can be tested here. To be called while tests are collected. */
export function seedDrivers(): readonly { readonly driver: SeedDriver; readonly isReady: boolean }[] {
  return [
    { driver: 'filesystem', isReady: true },
    { driver: 's3', isReady: requirement('versitygw', hasS3Server, S3_SERVER_REMEDY) },
  ];
}

const BUCKET = 'images';
const BLOBS_FOLDER = 'content/blobs/sha256';
const UPSTREAM_THAT_IS_NOT_THERE = ['--upstream', 'nowhere.test=http://127.0.0.1:1'];

/** Storage for seeds, and a folder for all else. Whoever opens it disposes it, after the seeds. */
export class SeedPlace implements AsyncDisposable {
  readonly folder: string;
  /** Where blobs are, each seed with its name as prefix; `undefined` on a disk. */
  readonly bucket: S3Bucket | undefined;
  readonly #server: S3Server | undefined;

  private constructor(folder: string, server?: S3Server, bucket?: S3Bucket) {
    this.folder = folder;
    this.#server = server;
    this.bucket = bucket;
  }

  static async open(driver: SeedDriver): Promise<SeedPlace> {
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-seed-'));
    if (driver === 'filesystem') return new SeedPlace(folder);
    const server = await startS3Server();
    return new SeedPlace(folder, server, await server.makeBucket(BUCKET));
  }

  /** Starts a seed that owns all names. `name` is that of its data folder. */
  async startSeed(config: object = {}, name = 'seed', flags: readonly string[] = []): Promise<NodeProcess> {
    const s3 = {
      bucket: BUCKET,
      prefix: name,
      pathStyle: true,
      accessKey: 'test-key',
      secretKey: 'test-secret',
      partSize: '5MiB',
    };
    const endpoint = this.#server?.endpoint;
    const storage = endpoint === undefined ? {} : { storage: { driver: 's3', s3: { ...s3, endpoint } } };
    const file = join(this.folder, `${name}.yaml`);
    await writeFile(file, JSON.stringify({ ...storage, push: { names: ['**'] }, ...config }));
    return await NodeProcess.startSeed(['--config', file, '--data', join(this.folder, name), ...flags]);
  }

  /** Starts a node in the swarm of a seed that knows no registry. */
  async startNode(seed: NodeProcess, name = 'node'): Promise<NodeProcess> {
    const swarm = ['--bootstrap', await seed.swarm()];
    const node = await NodeProcess.start(['--data', join(this.folder, name), ...UPSTREAM_THAT_IS_NOT_THERE, ...swarm]);
    await Promise.all([seed.untilMembers(2), node.untilMembers(2)]);
    return node;
  }

  /** All blobs of record of a seed. */
  async storedBlobs(name = 'seed'): Promise<Digest[]> {
    const inBucket = await this.bucket?.keys(`${name}/blobs/sha256/`);
    const names = inBucket?.map((key) => basename(key)) ?? (await filesIn(join(this.folder, name, BLOBS_FOLDER)));
    return names.map((each) => `sha256:${each}` as Digest);
  }

  /** Changes a byte of a blob, as a bad disk does. */
  async damage(digest: Digest): Promise<void> {
    if (this.bucket !== undefined) {
      await this.bucket.damage(blobKey(digest));
      return;
    }
    const file = await open(this.#blobFile(digest), 'r+');
    await file.write(Buffer.from('?'), 0, 1, 100);
    await file.close();
  }

  /** Takes a blob away behind the back of the seed. */
  async lose(digest: Digest): Promise<void> {
    await (this.bucket?.delete(blobKey(digest)) ?? rm(this.#blobFile(digest)));
  }

  #blobFile(digest: Digest): string {
    const hex = digest.slice('sha256:'.length);
    return join(this.folder, 'seed', BLOBS_FOLDER, hex.slice(0, 2), hex);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

function blobKey(digest: Digest): string {
  return `seed/blobs/${digest.replace(':', '/')}`;
}

/** Pushes a blob in one request. */
export async function pushBlobTo(base: string, name: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes);
  const url = `http://${base}/v2/${name}/blobs/uploads/?digest=${digest}`;
  const answer = await fetch(url, { method: 'POST', body: new Uint8Array(bytes) });
  if (answer.status !== 201) throw new Error(`the blob was not taken: ${answer.status} ${await answer.text()}`);
  return digest;
}

/** The digest of the bytes that a node answers for a blob; `undefined` when it has none. */
export async function blobDigestAt(base: string, name: string, digest: Digest): Promise<Digest | undefined> {
  const answer = await fetch(`http://${base}/v2/${name}/blobs/${digest}`);
  const body = Buffer.from(await answer.arrayBuffer());
  return answer.status === 200 ? digestOf(body) : undefined;
}

/** An image that was pushed. */
export interface PushedImage {
  readonly digest: Digest;
  readonly blobs: readonly Digest[];
}

/** Pushes an image of these layers under a tag. */
export async function pushImageTo(
  base: string,
  name: string,
  tag: string,
  layers: readonly Buffer[],
): Promise<PushedImage> {
  const config = Buffer.from(JSON.stringify({ name, tag }));
  const blobs = [];
  for (const bytes of [config, ...layers]) blobs.push(await pushBlobTo(base, name, bytes));
  const describe = (mediaType: string, bytes: Buffer): object => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: describe(MEDIA_TYPES.ociConfig, config),
      layers: layers.map((bytes) => describe(MEDIA_TYPES.ociLayerGzip, bytes)),
    }),
  );
  const answer = await fetch(`http://${base}/v2/${name}/manifests/${tag}`, {
    method: 'PUT',
    body: new Uint8Array(manifest),
    headers: { 'content-type': MEDIA_TYPES.ociManifest },
  });
  if (answer.status !== 201) throw new Error(`the manifest was not taken: ${answer.status} ${await answer.text()}`);
  return { digest: digestOf(manifest), blobs };
}
