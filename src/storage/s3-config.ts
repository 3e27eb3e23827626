/** What is configured of storage of record in a bucket. */

/** All fields present; `undefined` where the service or the SDK decides. */
export interface S3StorageConfig {
  readonly bucket: string;
  /** Put before every key, with a slash at its end; empty for none. */
  readonly prefix: string;
  readonly region: string;
  /** Where the service is; `undefined` for AWS in the region. */
  readonly endpoint: string | undefined;
  /** The bucket stands in the path of URLs instead of in front of the host. */
  readonly pathStyle: boolean;
  /** `undefined` for what the SDK finds: variables, shared files, roles of the machine or the pod. */
  readonly credentials: S3Credentials | undefined;
  /** Certificates (PEM) trusted in addition to the system's. */
  readonly caPem: string | undefined;
  /** The size of all parts of an upload but its last, from 5 MiB on; a blob has at most 10,000. */
  readonly partSizeBytes: number;
  /** How much of all uploads together may be in memory; at least two parts. */
  readonly memoryBytes: number;
  /** How long the service may give no answer, or no byte of one. */
  readonly stallTimeoutMs: number;
  /** How long it may take to put a blob together from its parts, or to copy it. */
  readonly assemblyTimeoutMs: number;
  /** Tries of one request, the first included. */
  readonly maxAttempts: number;
  /** How long a URL that a client is sent to stays good. */
  readonly directUrlTtlMs: number;
}

/** A key of the service. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
}

/** What holds for any service, and what to set for one that is quick. */
export const S3_DEFAULTS = {
  prefix: '',
  region: 'us-east-1',
  pathStyle: false,
  partSizeBytes: 8 * 1024 * 1024,
  memoryBytes: 96 * 1024 * 1024,
  stallTimeoutMs: 30_000,
  assemblyTimeoutMs: 600_000,
  maxAttempts: 5,
  directUrlTtlMs: 900_000,
} as const;
