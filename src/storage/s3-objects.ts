/**
 * The bucket as storage of record needs it: objects by key, and multipart uploads. The SDK repeats what failed for load or
 * the network, with growing pauses; what still fails is an error of this layer. Absence is `undefined`.
 */
import { Readable } from 'node:stream';
import { getCACertificates } from 'node:tls';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { ByteRange } from '../oci/byte-range.ts';
import { certificatesOf } from '../origin/trusted-certificates.ts';
import type { StorageOptions } from './blob-storage.ts';
import { storageError } from './errors.ts';
import type { S3StorageConfig } from './s3-config.ts';
import { isAbsentObject, s3Failure } from './s3-failure.ts';

/** Connections at once. Parts, readings and lists share them; further requests wait. */
const MAX_SOCKETS = 128;

/** The most that one copy may take; larger blobs are copied in parts. */
const MAX_COPY_BYTES = 5 * 1024 ** 3;
const COPY_PART_BYTES = 1024 ** 3;

const CONTENT_TYPE = 'application/octet-stream';

/** Facts of an object. */
export interface ObjectFacts {
  readonly key: string;
  readonly sizeBytes: number;
  readonly changedAtMs: number;
  /** Absent in lists. */
  readonly etag?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** A part that is stored. */
export interface StoredPart {
  readonly number: number;
  readonly etag: string;
  readonly sizeBytes: number;
}

/** A multipart upload. */
export interface Multipart {
  readonly key: string;
  readonly id: string;
}

/** One bucket. Whoever opens it closes it. All methods throw {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO. */
export class S3Objects {
  readonly #client: S3Client;
  readonly #config: S3StorageConfig;
  readonly #bucket: { readonly Bucket: string };

  private constructor(client: S3Client, config: S3StorageConfig) {
    this.#client = client;
    this.#config = config;
    this.#bucket = { Bucket: config.bucket };
  }

  /** Makes sure that the bucket can be reached: what is wrong is to be told at the start, not at the first push. */
  static async open(config: S3StorageConfig): Promise<S3Objects> {
    const client = new S3Client({
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
    const objects = new S3Objects(client, config);
    const where = config.endpoint ?? `AWS in ${config.region}`;
    try {
      await s3Failure(`bucket '${config.bucket}' at ${where}`, undefined, () => objects.#tryBucket());
    } catch (error) {
      client.destroy();
      throw error;
    }
    return objects;
  }

  close(): void {
    this.#client.destroy();
  }

  async head(key: string, options: StorageOptions = {}): Promise<ObjectFacts | undefined> {
    return await s3Failure(key, options.signal, async () => {
      const found = await absentAsUndefined(
        this.#client.send(new HeadObjectCommand({ ...this.#bucket, Key: key }), sendOptions(options)),
      );
      if (found === undefined) return undefined;
      return {
        key,
        sizeBytes: found.ContentLength ?? 0,
        changedAtMs: wholeSeconds(found.LastModified),
        etag: found.ETag,
        metadata: found.Metadata,
      };
    });
  }

  /** A stream of a range that is not empty. @throws the SDK's own error, so that the caller may go on after some */
  async get(key: string, range: ByteRange, facts: StorageOptions & { etag?: string | undefined }): Promise<Readable> {
    const command = new GetObjectCommand({
      ...this.#bucket,
      Key: key,
      Range: `bytes=${range.start}-${range.end - 1}`,
      IfMatch: facts.etag,
    });
    const { Body } = await this.#client.send(command, sendOptions(facts));
    if (!(Body instanceof Readable)) throw new TypeError('the SDK gave a body that is no stream');
    return Body;
  }

  /** All bytes of a small object, or `undefined`. */
  async getWhole(key: string, options: StorageOptions = {}): Promise<Buffer | undefined> {
    const command = new GetObjectCommand({ ...this.#bucket, Key: key });
    return await s3Failure(key, options.signal, async () => {
      const found = await absentAsUndefined(this.#client.send(command, sendOptions(options)));
      return found?.Body === undefined ? undefined : Buffer.from(await found.Body.transformToByteArray());
    });
  }

  async put(
    key: string,
    body: Buffer,
    options: StorageOptions & { metadata?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const command = new PutObjectCommand({
      ...this.#bucket,
      Key: key,
      Body: body,
      ContentType: CONTENT_TYPE,
      Metadata: { ...options.metadata },
    });
    await s3Failure(key, options.signal, () => this.#client.send(command, sendOptions(options)));
  }

  async delete(key: string, options: StorageOptions = {}): Promise<void> {
    const command = new DeleteObjectCommand({ ...this.#bucket, Key: key });
    await s3Failure(key, options.signal, () => absentAsUndefined(this.#client.send(command, sendOptions(options))));
  }

  /** Objects whose key begins with a prefix, in the order of their keys, a page of the service at a time. */
  async *list(
    prefix: string,
    options: StorageOptions & { after?: string | undefined } = {},
  ): AsyncGenerator<ObjectFacts> {
    let after = options.after;
    for (;;) {
      const command = new ListObjectsV2Command({ ...this.#bucket, Prefix: prefix, StartAfter: after });
      const page = await s3Failure(prefix, options.signal, () => this.#client.send(command, sendOptions(options)));
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        options.signal?.throwIfAborted();
        if (Key !== undefined) yield { key: Key, sizeBytes: Size ?? 0, changedAtMs: wholeSeconds(LastModified) };
      }
      const last = page.Contents?.at(-1)?.Key;
      // By the last key and not by the service's token, which some forget when the list is read slowly.
      if (page.IsTruncated !== true || last === undefined) return;
      after = last;
    }
  }

  /** Copies inside the service, whatever the size. */
  async copy(from: ObjectFacts, toKey: string, options: StorageOptions = {}): Promise<void> {
    if (from.sizeBytes > MAX_COPY_BYTES) {
      await this.#copyInParts(from, toKey, options);
      return;
    }
    const command = new CopyObjectCommand({
      ...this.#bucket,
      Key: toKey,
      CopySource: this.#copySource(from.key),
      MetadataDirective: 'REPLACE',
      ContentType: CONTENT_TYPE,
    });
    await s3Failure(toKey, options.signal, () => this.#client.send(command, this.#assembling(options)));
  }

  async createMultipart(key: string, options: StorageOptions = {}): Promise<Multipart> {
    const command = new CreateMultipartUploadCommand({ ...this.#bucket, Key: key, ContentType: CONTENT_TYPE });
    const { UploadId } = await s3Failure(key, options.signal, () => this.#client.send(command, sendOptions(options)));
    if (UploadId === undefined) throw storageError('ERR_STORAGE_IO', `${key}: the service named no upload id`);
    return { key, id: UploadId };
  }

  async putPart(multipart: Multipart, number: number, body: Buffer, options: StorageOptions = {}): Promise<StoredPart> {
    const command = new UploadPartCommand({ ...this.#part(multipart), PartNumber: number, Body: body });
    const { ETag } = await s3Failure(multipart.key, options.signal, () =>
      this.#client.send(command, sendOptions(options)),
    );
    return { number, etag: etagOf(ETag, multipart), sizeBytes: body.length };
  }

  /** Stores an object as a part, inside the service. */
  async copyPart(
    multipart: Multipart,
    number: number,
    fromKey: string,
    sizeBytes: number,
    options: StorageOptions = {},
  ): Promise<StoredPart> {
    const command = new UploadPartCopyCommand({
      ...this.#part(multipart),
      PartNumber: number,
      CopySource: this.#copySource(fromKey),
    });
    const { CopyPartResult } = await s3Failure(multipart.key, options.signal, () =>
      this.#client.send(command, this.#assembling(options)),
    );
    return { number, etag: etagOf(CopyPartResult?.ETag, multipart), sizeBytes };
  }

  /** The parts that are stored, by number; `undefined` when the multipart upload has ended. */
  async listParts(multipart: Multipart, options: StorageOptions = {}): Promise<StoredPart[] | undefined> {
    return await s3Failure(multipart.key, options.signal, async () => {
      const parts: StoredPart[] = [];
      for (;;) {
        const after = parts.at(-1)?.number;
        const command = new ListPartsCommand({ ...this.#part(multipart), PartNumberMarker: after?.toString() });
        const page = await absentAsUndefined(this.#client.send(command, sendOptions(options)));
        if (page === undefined) return undefined;
        for (const { PartNumber, ETag, Size } of page.Parts ?? [])
          parts.push({ number: PartNumber ?? 0, etag: ETag ?? '', sizeBytes: Size ?? 0 });
        // Not the SDK's own paging: some services name a next page for ever where there is no part.
        if (page.IsTruncated !== true || parts.at(-1)?.number === after) return parts;
      }
    });
  }

  /** Makes one object of the parts. */
  async completeMultipart(
    multipart: Multipart,
    parts: readonly StoredPart[],
    options: StorageOptions = {},
  ): Promise<void> {
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
    const command = new CompleteMultipartUploadCommand({ ...this.#part(multipart), MultipartUpload: { Parts } });
    await s3Failure(multipart.key, options.signal, () => this.#client.send(command, this.#assembling(options)));
  }

  /** Gives up the parts; an upload that has ended is left as it is. */
  async abortMultipart(multipart: Multipart): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#part(multipart));
    await s3Failure(multipart.key, undefined, () => absentAsUndefined(this.#client.send(command)));
  }

  /** A URL that gets an object without credentials, for some time. */
  async directUrl(key: string, options: StorageOptions = {}): Promise<string> {
    const command = new GetObjectCommand({ ...this.#bucket, Key: key });
    const expiresIn = Math.floor(this.#config.directUrlTtlMs / 1000);
    return await s3Failure(key, options.signal, () => getSignedUrl(this.#client, command, { expiresIn }));
  }

  /** By a list and not by HEAD, whose answer cannot say why it refuses. */
  async #tryBucket(): Promise<void> {
    await this.#client.send(new ListObjectsV2Command({ ...this.#bucket, Prefix: this.#config.prefix, MaxKeys: 1 }));
  }

  async #copyInParts(from: ObjectFacts, toKey: string, options: StorageOptions): Promise<void> {
    const multipart = await this.createMultipart(toKey, options);
    try {
      const parts: StoredPart[] = [];
      for (let start = 0; start < from.sizeBytes; start += COPY_PART_BYTES) {
        const end = Math.min(from.sizeBytes, start + COPY_PART_BYTES);
        const number = parts.length + 1;
        const command = new UploadPartCopyCommand({
          ...this.#part(multipart),
          PartNumber: number,
          CopySource: this.#copySource(from.key),
          CopySourceRange: `bytes=${start}-${end - 1}`,
        });
        const { CopyPartResult } = await s3Failure(toKey, options.signal, () =>
          this.#client.send(command, this.#assembling(options)),
        );
        parts.push({ number, etag: etagOf(CopyPartResult?.ETag, multipart), sizeBytes: end - start });
      }
      await this.completeMultipart(multipart, parts, options);
    } catch (error) {
      // The first failure is what counts; parts that stay are cleared by the bucket's rule for incomplete uploads.
      await this.abortMultipart(multipart).catch(() => undefined);
      throw error;
    }
  }

  #part(multipart: Multipart): { Bucket: string; Key: string; UploadId: string } {
    return { ...this.#bucket, Key: multipart.key, UploadId: multipart.id };
  }

  #copySource(key: string): string {
    return encodeURIComponent(`${this.#config.bucket}/${key}`).replaceAll('%2F', '/');
  }

  /** For what takes the service as long as there are bytes. */
  #assembling({ signal }: StorageOptions): { abortSignal?: AbortSignal; requestTimeout: number } {
    return { ...sendOptions({ signal }), requestTimeout: this.#config.assemblyTimeoutMs };
  }
}

function sendOptions({ signal }: StorageOptions): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

/** HEAD tells seconds, lists may tell more: the time of a blob is to be the same from both. */
function wholeSeconds(date: Date | undefined): number {
  return Math.floor((date?.getTime() ?? 0) / 1000) * 1000;
}

async function absentAsUndefined<Answer>(asked: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isAbsentObject(error)) return undefined;
    throw error;
  }
}

function etagOf(etag: string | undefined, { key }: Multipart): string {
  if (etag !== undefined) return etag;
  throw storageError('ERR_STORAGE_IO', `${key}: the service named no ETag of a part`);
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
