/**
 * An S3 service for tests: versitygw, which scripts/test builds where Go is at hand, or the program that `TEST_S3` names, which
 * may be MinIO's server as well.
 * @see https://github.com/versity/versitygw
 * @see https://github.com/minio/minio
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { S3_DEFAULTS, type S3StorageConfig } from '../../src/storage/s3-config.ts';
import { endProcess, freePort, until } from './programs.ts';
import { ROOT_CREDENTIALS, S3Bucket } from './s3-bucket.ts';

/** The version that scripts/test builds. */
const VERSION = 'v1.8.0';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');

/** Where scripts/test puts it. */
const PROGRAM = process.env['TEST_S3'] ?? join(CACHE, 'dockyard', 'test-tools', `versitygw-${VERSION}`);

/** True when it can be started here. */
export const hasS3Server = existsSync(PROGRAM);

/** What a person can do to have it. */
export const S3_SERVER_REMEDY = 'install Go; scripts/test builds versitygw with it';

/** Which service it is. */
export const S3_SERVER_NAME = basename(PROGRAM).startsWith('minio') ? 'MinIO' : 'versitygw';

/** A running service without buckets. */
export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly port: number;
  /** Makes an empty bucket. It is closed with the server. */
  makeBucket(name: string): Promise<S3Bucket>;
  /** What a storage needs to use a bucket, with small parts and quick failures. */
  config(bucket: string, changes?: Partial<S3StorageConfig>): S3StorageConfig;
}

/** A certificate and its key, as PEM. */
interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** Starts it; whoever does disposes it. @param tls its certificate; plain HTTP without one */
export async function startS3Server(tls?: Certificate): Promise<S3Server> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-s3-'));
  const port = await freePort();
  const endpoint = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const { accessKeyId, secretAccessKey } = ROOT_CREDENTIALS;
  const root =
    S3_SERVER_NAME === 'MinIO'
      ? { MINIO_ROOT_USER: accessKeyId, MINIO_ROOT_PASSWORD: secretAccessKey }
      : { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey };
  const args = await (S3_SERVER_NAME === 'MinIO' ? minioArgs : versitygwArgs)(folder, `127.0.0.1:${port}`, tls);
  const child = spawn(PROGRAM, args, { env: { ...process.env, ...root }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  await until(
    () => `${S3_SERVER_NAME} answers:\n${output}`,
    async () => await isListening(port),
  );
  const buckets: S3Bucket[] = [];
  return {
    endpoint,
    port,
    makeBucket: async (name) => {
      const bucket = new S3Bucket(endpoint, name);
      buckets.push(bucket);
      await bucket.make();
      return bucket;
    },
    config: (bucket, changes = {}) => ({
      ...S3_DEFAULTS,
      bucket,
      endpoint,
      pathStyle: true,
      credentials: { ...ROOT_CREDENTIALS, sessionToken: undefined },
      caPem: undefined,
      partSizeBytes: 5 * 1024 * 1024,
      memoryBytes: 40 * 1024 * 1024,
      stallTimeoutMs: 10_000,
      ...changes,
    }),
    [Symbol.asyncDispose]: async () => {
      for (const bucket of buckets) bucket.close();
      await endProcess(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function versitygwArgs(folder: string, address: string, tls: Certificate | undefined): Promise<string[]> {
  const flags = tls === undefined ? [] : ['--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')];
  if (tls !== undefined) {
    await writeFile(join(folder, 'key.pem'), tls.key);
    await writeFile(join(folder, 'cert.pem'), tls.cert);
  }
  await mkdir(join(folder, 'data'));
  return ['--port', address, ...flags, '--quiet', 'posix', join(folder, 'data')];
}

async function minioArgs(folder: string, address: string, tls: Certificate | undefined): Promise<string[]> {
  const certificates = join(folder, 'certificates');
  await mkdir(certificates);
  if (tls !== undefined) {
    await writeFile(join(certificates, 'private.key'), tls.key);
    await writeFile(join(certificates, 'public.crt'), tls.cert);
  }
  return ['server', '--address', address, '--certs-dir', certificates, '--quiet', join(folder, 'data')];
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
