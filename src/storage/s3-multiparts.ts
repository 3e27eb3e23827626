/** Multipart uploads to a bucket: objects that are put together of parts, and copies of what is too large to be copied at once. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import type { StorageOptions } from './blob-storage.ts';
import { storageError } from './errors.ts';
import { absentAsUndefined, CONTENT_TYPE, sendOptions, type S3Connection } from './s3-connection.ts';
import { s3Failure } from './s3-failure.ts';

const COPY_PART_BYTES = 1024 ** 3;

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

/** All methods throw {DockyardError} ERR_STORAGE_FULL, ERR_STORAGE_IO. */
export class S3Multiparts {
  readonly #connection: S3Connection;

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  async create(key: string, options: StorageOptions = {}): Promise<Multipart> {
    const command = new CreateMultipartUploadCommand({
      ...this.#connection.bucket,
      Key: key,
      ContentType: CONTENT_TYPE,
    });
    const { UploadId } = await s3Failure(key, options.signal, () =>
      this.#connection.client.send(command, sendOptions(options)),
    );
    if (UploadId === undefined) throw storageError('ERR_STORAGE_IO', `${key}: the service named no upload id`);
    return { key, id: UploadId };
  }

  async putPart(multipart: Multipart, number: number, body: Buffer, options: StorageOptions = {}): Promise<StoredPart> {
    const command = new UploadPartCommand({ ...this.#part(multipart), PartNumber: number, Body: body });
    const { ETag } = await s3Failure(multipart.key, options.signal, () =>
      this.#connection.client.send(command, sendOptions(options)),
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
      CopySource: this.#connection.copySource(fromKey),
    });
    const { CopyPartResult } = await s3Failure(multipart.key, options.signal, () =>
      this.#connection.client.send(command, this.#connection.assembling(options)),
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
        const page = await absentAsUndefined(this.#connection.client.send(command, sendOptions(options)));
        if (page === undefined) return undefined;
        for (const { PartNumber, ETag, Size } of page.Parts ?? [])
          parts.push({ number: PartNumber ?? 0, etag: ETag ?? '', sizeBytes: Size ?? 0 });
        // Not the SDK's own paging: some services name a next page for ever where there is no part.
        if (page.IsTruncated !== true || parts.at(-1)?.number === after) return parts;
      }
    });
  }

  /** Makes one object of the parts. */
  async complete(multipart: Multipart, parts: readonly StoredPart[], options: StorageOptions = {}): Promise<void> {
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
    const command = new CompleteMultipartUploadCommand({ ...this.#part(multipart), MultipartUpload: { Parts } });
    await s3Failure(multipart.key, options.signal, () =>
      this.#connection.client.send(command, this.#connection.assembling(options)),
    );
  }

  /** Gives up the parts; an upload that has ended is left as it is. */
  async abort(multipart: Multipart): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#part(multipart));
    await s3Failure(multipart.key, undefined, () => absentAsUndefined(this.#connection.client.send(command)));
  }

  /** Copies an object inside the service by parts, for what is too large to be copied at once. */
  async copyObject(
    from: { readonly key: string; readonly sizeBytes: number },
    toKey: string,
    options: StorageOptions,
  ): Promise<void> {
    const multipart = await this.create(toKey, options);
    try {
      const parts: StoredPart[] = [];
      for (let start = 0; start < from.sizeBytes; start += COPY_PART_BYTES) {
        const end = Math.min(from.sizeBytes, start + COPY_PART_BYTES);
        const number = parts.length + 1;
        const command = new UploadPartCopyCommand({
          ...this.#part(multipart),
          PartNumber: number,
          CopySource: this.#connection.copySource(from.key),
          CopySourceRange: `bytes=${start}-${end - 1}`,
        });
        const { CopyPartResult } = await s3Failure(toKey, options.signal, () =>
          this.#connection.client.send(command, this.#connection.assembling(options)),
        );
        parts.push({ number, etag: etagOf(CopyPartResult?.ETag, multipart), sizeBytes: end - start });
      }
      await this.complete(multipart, parts, options);
    } catch (error) {
      // The first failure is what counts; parts that stay are cleared by the bucket's rule for incomplete uploads.
      await this.abort(multipart).catch(() => undefined);
      throw error;
    }
  }

  #part(multipart: Multipart): { Bucket: string; Key: string; UploadId: string } {
    return { ...this.#connection.bucket, Key: multipart.key, UploadId: multipart.id };
  }
}

function etagOf(etag: string | undefined, { key }: Multipart): string {
  if (etag !== undefined) return etag;
  throw storageError('ERR_STORAGE_IO', `${key}: the service named no ETag of a part`);
}
