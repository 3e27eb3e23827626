/**
 * An S3 service for tests: versitygw, with a folder as its storage. scripts/test builds it where Go is at hand.
 * @see https://github.com/versity/versitygw
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3_DEFAULTS, type S3StorageConfig } from '../../src/storage/s3-config.ts';
import { endProcess, freePort, until } from './programs.ts';

/** The version that scripts/test builds. */
const VERSION = 'v1.8.0';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');

/** Where scripts/test puts it. */
const PROGRAM = process.env['DOCKYARD_TEST_S3'] ?? join(CACHE, 'dockyard', 'test-tools', `versitygw-${VERSION}`);

/** True when it can be started here. */
export const hasS3Server = existsSync(PROGRAM);

/** What a person can do to have it. */
export const S3_SERVER_REMEDY = 'install Go; scripts/test builds versitygw with it';

/** A running service with one empty bucket. */
export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly port: number;
  /** The folder behind a bucket, in which objects are files. */
  bucketFolder(bucket: string): string;
  makeBucket(bucket: string): Promise<void>;
  /** What a storage needs to use a bucket, with small parts and quick failures. */
  config(bucket: string, changes?: Partial<S3StorageConfig>): S3StorageConfig;
}

/** Starts it; whoever does disposes it. */
export async function startS3Server(): Promise<S3Server> {
  const root = await mkdtemp(join(tmpdir(), 'dockyard-s3-'));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const child = spawn(PROGRAM, ['--port', `127.0.0.1:${port}`, '--health', '/health', '--quiet', 'posix', root], {
    env: { ...process.env, ROOT_ACCESS_KEY: 'test-key', ROOT_SECRET_KEY: 'test-secret' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  await until(
    () => `versitygw answers:\n${output}`,
    async () => (await fetch(`${endpoint}/health`).catch(() => undefined))?.ok,
  );
  const bucketFolder = (bucket: string): string => join(root, bucket);
  return {
    endpoint,
    port,
    bucketFolder,
    makeBucket: async (bucket) => await mkdir(bucketFolder(bucket)),
    config: (bucket, changes = {}) => ({
      ...S3_DEFAULTS,
      bucket,
      endpoint,
      pathStyle: true,
      credentials: { accessKeyId: 'test-key', secretAccessKey: 'test-secret', sessionToken: undefined },
      caPem: undefined,
      partSizeBytes: 5 * 1024 * 1024,
      memoryBytes: 40 * 1024 * 1024,
      stallTimeoutMs: 10_000,
      ...changes,
    }),
    [Symbol.asyncDispose]: async () => {
      await endProcess(child);
      await rm(root, { recursive: true, force: true });
    },
  };
}
