/** The connection to one bucket: what every request to it needs, and what its answers have in common. */
import { getCACertificates } from 'node:tls';
import { S3Client } from '@aws-sdk/client-s3';
import { certificatesOf } from '../origin/trusted-certificates.ts';
import type { StorageOptions } from './blob-storage.ts';
import { storageError } from './errors.ts';
import type { S3StorageConfig } from './s3-config.ts';
import { isAbsentObject } from './s3-failure.ts';

/** Connections at once. Parts, readings and lists share them; further requests wait. */
const MAX_SOCKETS = 128;

/** Stored with every object. */
export const CONTENT_TYPE = 'application/octet-stream';

/** Whoever makes it closes it. */
export class S3Connection {
  readonly client: S3Client;
  readonly config: S3StorageConfig;
  readonly bucket: { readonly Bucket: string };

  constructor(config: S3StorageConfig) {
    this.config = config;
    this.bucket = { Bucket: config.bucket };
    this.client = new S3Client({
      region: config.region,
      forcePathStyle: config.pathStyle,
      ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
      ...(config.credentials === undefined ? {} : { credentials: credentialsOf(config.credentials) }),
      maxAttempts: config.maxAttempts,
      // Older services refuse the checksums that the SDK sends by itself. Bodies are covered by the signature.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: config.stallTimeoutMs,
        requestTimeout: config.stallTimeoutMs,
        throwOnRequestTimeout: true,
        httpAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
        httpsAgent: { keepAlive: true, maxSockets: MAX_SOCKETS, ...trust(config) },
      },
    });
  }

  close(): void {
    this.client.destroy();
  }

  /** The name of an object as the source of a copy. */
  copySource(key: string): string {
    return encodeURIComponent(`${this.config.bucket}/${key}`).replaceAll('%2F', '/');
  }

  /** For what takes the service as long as there are bytes. */
  assembling({ signal }: StorageOptions): { abortSignal?: AbortSignal; requestTimeout: number } {
    return { ...sendOptions({ signal }), requestTimeout: this.config.assemblyTimeoutMs };
  }
}

/** Options of a request. */
export function sendOptions({ signal }: StorageOptions): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

/** `undefined` for what is not there. */
export async function absentAsUndefined<Answer>(asked: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isAbsentObject(error)) return undefined;
    throw error;
  }
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: NonNullable<S3StorageConfig['credentials']>): {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
} {
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function trust({ caPem }: S3StorageConfig): { ca?: string[] } {
  if (caPem === undefined) return {};
  try {
    return { ca: [...certificatesOf(caPem), ...getCACertificates('default'), ...getCACertificates('system')] };
  } catch (cause) {
    throw storageError('ERR_STORAGE_IO', 'the CA certificates of the storage service cannot be read', { cause });
  }
}
