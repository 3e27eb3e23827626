/** Failures of an S3 service in the terms of storage of record. */
import { asError, isAbortError, isDockyardError } from '../oci/error.ts';
import { storageError, type StorageErrorCode } from './errors.ts';

/** What the SDK throws: the service's code as the name, and facts of the answer. */
interface S3Thrown extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string; readonly attempts?: number };
  readonly code?: string;
}

/** Codes by which services say that there is no room. */
const FULL = new Set(['QuotaExceeded', 'InsufficientStorage', 'XMinioStorageFull', 'EntityTooLarge', 'SlowDownWrite']);

/** What an operator can do about the codes that are met most. */
const HINTS: Readonly<Record<string, string>> = {
  NoSuchBucket: 'there is no such bucket; make it, or correct the name',
  AccessDenied: 'the account may not do this; it needs to get, put, list and delete objects and multipart uploads',
  Forbidden: 'the account is refused; check its keys and what it is allowed to do',
  InvalidAccessKeyId: 'the service does not know the access key',
  // As versitygw says it.
  XAdminUserNotFound: 'the service does not know the access key',
  SignatureDoesNotMatch: 'the secret key is wrong, or a proxy changes requests',
  RequestTimeTooSkewed: 'the clock of this machine differs too much from that of the service',
  PermanentRedirect: 'the bucket is in another region',
  AuthorizationHeaderMalformed: 'the region is wrong',
  CredentialsProviderError:
    'no credentials were found in the configuration, the environment or the role of the machine',
  SlowDown: 'the service asked to slow down, again and again',
  ENOTFOUND: 'the name of the service cannot be resolved',
  ECONNREFUSED: 'nothing listens there',
  TimeoutError: 'the service gave no answer in time',
};

/** True when the service says that an object, or a multipart upload, is not there. */
export function isAbsentObject(error: unknown): boolean {
  const { name, $metadata } = error as S3Thrown;
  return name === 'NoSuchKey' || name === 'NoSuchUpload' || (name === 'NotFound' && $metadata?.httpStatusCode === 404);
}

/** True when the object is another one than the condition wants: changed since, there already, or being written just now. */
export function isChangedObject(error: unknown): boolean {
  const status = (error as S3Thrown).$metadata?.httpStatusCode;
  return status === 412 || status === 409;
}

/** True when the service does not know what it was asked for. */
export function isUnknownToService(error: unknown): boolean {
  return (error as S3Thrown).$metadata?.httpStatusCode === 501;
}

/**
 * Runs a step for `what`, and translates its failure.
 * @throws {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO; aborts of `signal` and programming mistakes as they are
 */
export async function s3Failure<Result>(
  what: string,
  signal: AbortSignal | undefined,
  step: () => Promise<Result>,
): Promise<Result> {
  signal?.throwIfAborted();
  try {
    return await step();
  } catch (error) {
    // The SDK has an error of its own for an abort.
    signal?.throwIfAborted();
    throw translated(what, error);
  }
}

/** The failure of a step as an error of this layer. */
export function translated(what: string, error: unknown): Error {
  if (isDockyardError(error) || error instanceof RangeError || error instanceof TypeError) return error;
  if (isAbortError(error) && asError(error).name === 'AbortError') return asError(error);
  const thrown = asError(error) as S3Thrown;
  const { httpStatusCode: status, requestId, attempts } = thrown.$metadata ?? {};
  const s3Code = codeOf(thrown);
  const code: StorageErrorCode = FULL.has(s3Code) || status === 507 ? 'ERR_STORAGE_FULL' : 'ERR_STORAGE_IO';
  const said = [s3Code, hintFor(thrown, s3Code)].filter((part) => part !== '').join(', ');
  return storageError(code, `${what}: ${said}`, { cause: error, details: { s3Code, status, requestId, attempts } });
}

/** The service's or the system's code; empty where the answer named none, as the answer to a HEAD does. */
function codeOf(thrown: S3Thrown): string {
  if (thrown.name === 'Unknown' || thrown.message === 'UnknownError') return '';
  return thrown.name === 'Error' ? (thrown.code ?? '') : thrown.name;
}

function hintFor(thrown: S3Thrown, s3Code: string): string {
  const status = thrown.$metadata?.httpStatusCode;
  const hint = HINTS[s3Code] ?? HINTS[thrown.code ?? ''] ?? (status === 403 ? HINTS['Forbidden'] : undefined);
  if (hint !== undefined) return hint;
  return s3Code === '' && status !== undefined ? `it answered ${status}` : thrown.message;
}
