/** The options of a seed's storage of record. */
import { S3_DEFAULTS } from '../../src/storage/s3-config.ts';
import { choice, count, duration, path, size, text, toggle, url } from './kinds.ts';
import { group, option, optional } from './option.ts';

const MIB = 1024 ** 2;

const s3Options = {
  bucket: optional(text('NAME', 255), {
    summary: 'The bucket; it has to be there.',
    unset: 'none',
  }),
  prefix: optional(text('PATH', 512), {
    summary: 'Put before every key, so that several things share a bucket: `registry/`.',
    unset: 'none',
  }),
  region: option(text('REGION', 64), {
    summary: 'The region of the bucket. Services other than AWS mostly take any.',
    default: S3_DEFAULTS.region,
  }),
  endpoint: optional(url(['https', 'http'], 'https://minio.lan:9000'), {
    summary: 'Where the service is.',
    unset: 'AWS in the region',
  }),
  pathStyle: option(toggle(), {
    summary: 'Whether the bucket stands in the path of URLs, as most services other than AWS want it.',
    default: S3_DEFAULTS.pathStyle,
  }),
  accessKey: optional(text('TEXT', 1024), {
    summary: 'The access key id.',
    unset: 'what the environment, shared files, or the role of the machine or pod give, in the order of the AWS SDK',
  }),
  secretKey: optional(text('TEXT', 1024), {
    summary: 'The secret access key; `secretKeyFile` keeps it out of this file.',
    unset: 'none',
    secret: true,
  }),
  secretKeyFile: optional(path('FILE'), {
    summary: 'A file whose first line is the secret access key.',
    unset: 'none',
  }),
  ca: optional(path('FILE'), {
    summary: "PEM certificates to trust for the service, besides the system's.",
    unset: 'none',
  }),
  partSize: option(size({ min: 5 * MIB, max: 1024 * MIB }), {
    summary: 'How large the parts of an upload are. A blob has 10,000 at most, so this bounds the size of blobs.',
    default: S3_DEFAULTS.partSizeBytes,
  }),
  memoryBudget: option(size({ min: 10 * MIB, max: 64 * 1024 * MIB }), {
    summary: 'How much memory the parts of all uploads may take; at least two parts are allowed.',
    default: S3_DEFAULTS.memoryBytes,
  }),
  stallTimeout: option(duration({ min: 100, max: 600_000 }), {
    summary: 'How long the service may give no answer, or no byte of one.',
    default: S3_DEFAULTS.stallTimeoutMs,
  }),
  assemblyTimeout: option(duration({ min: 1_000, max: 86_400_000 }), {
    summary: 'How long the service may take to put a blob together from its parts, or to copy it.',
    default: S3_DEFAULTS.assemblyTimeoutMs,
  }),
  redirect: option(toggle(), {
    summary:
      'Whether clients are sent to the bucket for blobs, by a URL that is good for a while; they have to reach the endpoint.',
    default: false,
  }),
  redirectTtl: option(duration({ min: 1_000, max: 7 * 86_400_000 }), {
    summary: 'How long such a URL is good.',
    default: S3_DEFAULTS.directUrlTtlMs,
  }),
  maxAttempts: option(count({ min: 1, max: 20 }), {
    summary: 'Tries of one request that fails for load or the network.',
    default: S3_DEFAULTS.maxAttempts,
  }),
};

/** Where a seed keeps what is pushed to it. */
export const storageOptions = group('Where a seed keeps what is pushed to it.', {
  driver: option(choice(['filesystem', 's3']), {
    summary: 'In the data folder, or in a bucket of S3 or of a service that speaks its protocol.',
    default: 'filesystem',
  }),
  s3: group('The bucket.', s3Options),
});
