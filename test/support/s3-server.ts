/**
 * An S3 service for tests: versitygw, with a folder as its storage. scripts/test builds it where Go is at hand.
 * @see https://github.com/versity/versitygw
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3_DEFAULTS, type S3StorageConfig } from '../../src/storage/s3-config.ts';
import { endProcess, freePort, until } from './programs.ts';

/** The version that scripts/test builds. */
const VERSION = 'v1.8.0';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');

/** Where scripts/test puts it. */
const PROGRAM = process.env['TEST_S3'] ?? join(CACHE, 'dockyard', 'test-tools', `versitygw-${VERSION}`);

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

/** Starts it; whoever does disposes it. @param tls its certificate; plain HTTP without one */
export async function startS3Server(tls?: { readonly key: string; readonly cert: string }): Promise<S3Server> {
  const root = await mkdtemp(join(tmpdir(), 'dockyard-s3-'));
  const port = await freePort();
  const endpoint = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const tlsFlags = tls === undefined ? [] : await tlsFiles(`${root}-tls`, tls);
  const child = spawn(PROGRAM, ['--port', `127.0.0.1:${port}`, ...tlsFlags, '--quiet', 'posix', root], {
    env: { ...process.env, ROOT_ACCESS_KEY: 'test-key', ROOT_SECRET_KEY: 'test-secret' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  await until(
    () => `versitygw answers:\n${output}`,
    async () => await isListening(port),
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
      for (const folder of [root, `${root}-tls`]) await rm(folder, { recursive: true, force: true });
    },
  };
}

async function tlsFiles(folder: string, { key, cert }: { key: string; cert: string }): Promise<string[]> {
  await mkdir(folder);
  await writeFile(join(folder, 'key.pem'), key);
  await writeFile(join(folder, 'cert.pem'), cert);
  return ['--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')];
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
