/**
 * The bucket as storage of record needs it: objects by key. The SDK repeats what failed for load or
 * the network, with growing pauses; what still fails is an error of this layer. Absence is `undefined`.
 */
import { Readable } from 'node:stream';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { ByteRange } from '../oci/byte-range.ts';
import type { StorageOptions } from './blob-storage.ts';
import type { S3StorageConfig } from './s3-config.ts';
import { absentAsUndefined, CONTENT_TYPE, S3Connection, sendOptions } from './s3-connection.ts';
import { isChangedObject, isUnknownToService, s3Failure } from './s3-failure.ts';
import { S3Multiparts } from './s3-multiparts.ts';

/** The most that one copy may take; larger blobs are copied in parts. */
const MAX_COPY_BYTES = 5 * 1024 ** 3;

/** Facts of an object. */
export interface ObjectFacts {
  readonly key: string;
  readonly sizeBytes: number;
  readonly changedAtMs: number;
  /** Absent in lists. */
  readonly etag?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** One bucket. Whoever opens it closes it. All methods throw {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO. */
export class S3Objects {
  readonly multiparts: S3Multiparts;
  readonly #connection: S3Connection;

  private constructor(connection: S3Connection) {
    this.#connection = connection;
    this.multiparts = new S3Multiparts(connection);
  }

  /** Makes sure that the bucket can be reached: what is wrong is to be told at the start, not at the first push. */
  static async open(config: S3StorageConfig): Promise<S3Objects> {
    const connection = new S3Connection(config);
    const objects = new S3Objects(connection);
    const where = config.endpoint ?? `AWS in ${config.region}`;
    try {
      await s3Failure(`bucket '${config.bucket}' at ${where}`, undefined, () => objects.#tryBucket());
    } catch (error) {
      connection.close();
      throw error;
    }
    return objects;
  }

  close(): void {
    this.#connection.close();
  }

  async head(key: string, options: StorageOptions = {}): Promise<ObjectFacts | undefined> {
    return await s3Failure(key, options.signal, async () => {
      const found = await absentAsUndefined(
        this.#connection.client.send(
          new HeadObjectCommand({ ...this.#connection.bucket, Key: key }),
          sendOptions(options),
        ),
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
      ...this.#connection.bucket,
      Key: key,
      Range: `bytes=${range.start}-${range.end - 1}`,
      IfMatch: facts.etag,
    });
    const { Body } = await this.#connection.client.send(command, sendOptions(facts));
    if (!(Body instanceof Readable)) throw new TypeError('the SDK gave a body that is no stream');
    return Body;
  }

  /** All bytes of a small object, or `undefined`. */
  async getWhole(key: string, options: StorageOptions = {}): Promise<Buffer | undefined> {
    const command = new GetObjectCommand({ ...this.#connection.bucket, Key: key });
    return await s3Failure(key, options.signal, async () => {
      const found = await absentAsUndefined(this.#connection.client.send(command, sendOptions(options)));
      return found?.Body === undefined ? undefined : Buffer.from(await found.Body.transformToByteArray());
    });
  }

  async put(
    key: string,
    body: Buffer,
    options: StorageOptions & { metadata?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const command = new PutObjectCommand({
      ...this.#connection.bucket,
      Key: key,
      Body: body,
      ContentType: CONTENT_TYPE,
      Metadata: { ...options.metadata },
    });
    await s3Failure(key, options.signal, () => this.#connection.client.send(command, sendOptions(options)));
  }

  /** Puts an object where there is none, and leaves one that is there as it is. A service that knows no conditions replaces it. */
  async putNew(key: string, body: Buffer): Promise<void> {
    const command = new PutObjectCommand({ ...this.#connection.bucket, Key: key, Body: body, IfNoneMatch: '*' });
    await s3Failure(key, undefined, async () => {
      try {
        await this.#connection.client.send(command);
      } catch (error) {
        if (isUnknownToService(error)) await this.put(key, body);
        else if (!isChangedObject(error)) throw error;
      }
    });
  }

  async delete(key: string, options: StorageOptions = {}): Promise<void> {
    const command = new DeleteObjectCommand({ ...this.#connection.bucket, Key: key });
    await s3Failure(key, options.signal, () =>
      absentAsUndefined(this.#connection.client.send(command, sendOptions(options))),
    );
  }

  /** Objects whose key begins with a prefix, in the order of their keys, a page of the service at a time. */
  async *list(
    prefix: string,
    options: StorageOptions & { after?: string | undefined } = {},
  ): AsyncGenerator<ObjectFacts> {
    let after = options.after;
    for (;;) {
      const command = new ListObjectsV2Command({ ...this.#connection.bucket, Prefix: prefix, StartAfter: after });
      const page = await s3Failure(prefix, options.signal, () =>
        this.#connection.client.send(command, sendOptions(options)),
      );
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
      await this.multiparts.copyObject(from, toKey, options);
      return;
    }
    const command = new CopyObjectCommand({
      ...this.#connection.bucket,
      Key: toKey,
      CopySource: this.#connection.copySource(from.key),
      MetadataDirective: 'REPLACE',
      ContentType: CONTENT_TYPE,
    });
    await s3Failure(toKey, options.signal, () =>
      this.#connection.client.send(command, this.#connection.assembling(options)),
    );
  }

  /** A URL that gets an object without credentials, for some time. */
  async directUrl(key: string, options: StorageOptions = {}): Promise<string> {
    const command = new GetObjectCommand({ ...this.#connection.bucket, Key: key });
    const expiresIn = Math.floor(this.#connection.config.directUrlTtlMs / 1000);
    return await s3Failure(key, options.signal, () => getSignedUrl(this.#connection.client, command, { expiresIn }));
  }

  /** By a list and not by HEAD, whose answer cannot say why it refuses. */
  async #tryBucket(): Promise<void> {
    await this.#connection.client.send(
      new ListObjectsV2Command({ ...this.#connection.bucket, Prefix: this.#connection.config.prefix, MaxKeys: 1 }),
    );
  }
}

/** HEAD tells seconds, lists may tell more: the time of a blob is to be the same from both. */
function wholeSeconds(date: Date | undefined): number {
  return Math.floor((date?.getTime() ?? 0) / 1000) * 1000;
}
