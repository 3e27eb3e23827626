/**
 * Where everything lies in a bucket, below the configured prefix.
 *
 *   owner               which seed keeps things here (s3-owner.ts)
 *   blobs/<alg>/<hex>   a complete blob, verified before it came here; keys are in the order of digests as text
 *   uploads/<id>        an upload that is under way: as its body the bytes behind the last whole part; as its metadata
 *                       `part-size`, `start` (where its body begins in the upload) and `multipart` (the upload id of S3,
 *                       once there are parts). One PUT changes all of that at once.
 *   staging/<id>        where the parts of an upload are put together, before they are verified and copied to blobs/
 *   damaged/<alg>/<hex> what was a blob and is not what its digest says, for inspection; nothing here reads it
 *   pieces/<alg>/<hex>  the piece hashes of a blob (s3-piece-notes.ts); made again when they are lost
 *
 * A part that was stored after `uploads/<id>` was last written contains the bytes of its body, and more. So the offset is
 * `start` and the length of the body where the whole parts end at `start`, and the end of the parts where they go further.
 */
import { digestAlgorithm, digestHex, isDigest, type Digest } from '../oci/digest.ts';
import { isUploadId, type UploadId } from './blob-storage.ts';

/** The keys of one storage. */
export class S3Keys {
  readonly #prefix: string;

  /** @param prefix empty, or with a slash at its end */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get owner(): string {
    return `${this.#prefix}owner`;
  }

  get blobs(): string {
    return `${this.#prefix}blobs/`;
  }

  get uploads(): string {
    return `${this.#prefix}uploads/`;
  }

  blob(digest: Digest): string {
    return `${this.blobs}${digestAlgorithm(digest)}/${digestHex(digest)}`;
  }

  damaged(digest: Digest): string {
    return `${this.#prefix}damaged/${digestAlgorithm(digest)}/${digestHex(digest)}`;
  }

  pieces(digest: Digest): string {
    return `${this.#prefix}pieces/${digestAlgorithm(digest)}/${digestHex(digest)}`;
  }

  upload(id: UploadId): string {
    return this.uploads + id;
  }

  staging(id: UploadId): string {
    return `${this.#prefix}staging/${id}`;
  }

  /** The digest of a blob's key; `undefined` for what someone else put there. */
  digestOf(key: string): Digest | undefined {
    const text = key.slice(this.blobs.length).replace('/', ':');
    return isDigest(text) ? text : undefined;
  }

  /** The id of an upload's key; `undefined` likewise. */
  uploadOf(key: string): UploadId | undefined {
    const text = key.slice(this.uploads.length);
    return isUploadId(text) ? text : undefined;
  }
}
