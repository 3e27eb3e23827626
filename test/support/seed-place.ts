/** Seeds for tests of what they keep: on a disk or in a bucket, started again and again over the same storage. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { requirement } from '../skip-reasons.ts';
import { makeManifest, makePart } from './image-builder.ts';
import { NodeProcess } from './node-process.ts';
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
const UPSTREAM_THAT_IS_NOT_THERE = ['--upstream', 'nowhere.test=http://127.0.0.1:1'];

/** Storage for seeds, and a folder for all else. Whoever opens it disposes it, after the seeds. */
export class SeedPlace implements AsyncDisposable {
  readonly folder: string;
  readonly #server: S3Server | undefined;

  private constructor(folder: string, server: S3Server | undefined) {
    this.folder = folder;
    this.#server = server;
  }

  static async open(driver: SeedDriver): Promise<SeedPlace> {
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-seed-'));
    if (driver === 'filesystem') return new SeedPlace(folder, undefined);
    const server = await startS3Server();
    await server.makeBucket(BUCKET);
    return new SeedPlace(folder, server);
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

  /** The folder behind the bucket of a seed, or `undefined` on a disk. */
  bucketFolder(name = 'seed'): string | undefined {
    return this.#server === undefined ? undefined : join(this.#server.bucketFolder(BUCKET), name);
  }

  /** The file of a blob of record. */
  blobFile(digest: Digest, name = 'seed'): string {
    const hex = digest.slice('sha256:'.length);
    const bucket = this.bucketFolder(name);
    return bucket === undefined
      ? join(this.folder, name, 'content', 'blobs', 'sha256', hex.slice(0, 2), hex)
      : join(bucket, 'blobs', 'sha256', hex);
  }

  /** Changes a byte of a blob, as a bad disk does. */
  async damage(digest: Digest): Promise<void> {
    const file = await open(this.blobFile(digest), 'r+');
    await file.write(Buffer.from('?'), 0, 1, 100);
    await file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
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
  const [config, ...parts] = [makePart({ name, tag }), ...layers.map(makePart)];
  const blobs = [];
  for (const { bytes } of [config, ...parts]) blobs.push(await pushBlobTo(base, name, bytes));
  const manifest = makeManifest(config, parts);
  const answer = await fetch(`http://${base}/v2/${name}/manifests/${tag}`, {
    method: 'PUT',
    body: new Uint8Array(manifest.bytes),
    headers: { 'content-type': MEDIA_TYPES.ociManifest },
  });
  if (answer.status !== 201) throw new Error(`the manifest was not taken: ${answer.status} ${await answer.text()}`);
  return { digest: manifest.digest, blobs };
}
