/** What the server of app container images needs from below: somewhere to keep them. */
import type { ByteRange } from '../../oci/byte-range.ts';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/name.ts';
import type { ImageId } from '../values/image-id.ts';
import type { AciKey } from './aci-key.ts';
import type { DatedVersion } from './version-order.ts';

/** What the parts of the artifact are called. */
export const ACI_MEDIA_TYPES = {
  artifact: 'application/vnd.appc.image',
  manifest: 'application/vnd.appc.image.manifest+json',
  aci: 'application/vnd.appc.aci',
  signature: 'application/pgp-signature',
} as const;

/** Bytes that are kept. */
export interface KeptBytes {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** The artifact that an image is kept as. */
export interface ShelvedArtifact {
  readonly repository: RepositoryName;
  readonly tag: Tag;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** An image that is kept. */
export interface ShelvedAci {
  readonly key: AciKey;
  readonly imageId: ImageId;
  readonly aci: KeptBytes;
  /** Absent where it was pushed unsigned. */
  readonly signature: KeptBytes | undefined;
  readonly artifact: ShelvedArtifact;
}

/** What is published beside the bytes of an image. */
export interface AciRecord {
  readonly key: AciKey;
  readonly imageId: ImageId;
  /** SHA-256 of the file. */
  readonly digest: Digest;
  readonly manifest: Buffer;
  readonly signature: Buffer | undefined;
}

/** Bytes of an image that nobody can see yet. It ends with `publish` or `drop`. */
export interface StagedAci {
  /** Takes all of the file. What the source throws is thrown on; `drop` is still needed then. */
  append(body: AsyncIterable<Uint8Array>, options: ShelfOptions): Promise<void>;
  /** Makes the image seen in the place of an older one, at once and durably. */
  publish(record: AciRecord, options: ShelfOptions): Promise<ShelvedAci>;
  /** Idempotent. */
  drop(): Promise<void>;
}

/** Open for reading. Whoever opens it closes it. */
export interface AciReading extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;
  read(range: ByteRange): AsyncIterable<Uint8Array>;
  recycle?(chunk: Uint8Array): void;
  close(): Promise<void>;
}

/** What every call takes. */
export interface ShelfOptions {
  readonly signal: AbortSignal;
}

/** Keeps images. All may throw the errors of SEED_ERRORS, STORAGE_ERRORS and CATALOG_ERRORS. */
export interface AciShelf {
  find(key: AciKey, options: ShelfOptions): Promise<ShelvedAci | undefined>;
  /** The latest version of a name for a platform. */
  latest(place: Omit<AciKey, 'version'>, options: ShelfOptions): Promise<DatedVersion | undefined>;
  open(key: AciKey, digest: Digest, options: ShelfOptions): Promise<AciReading | undefined>;
  stage(key: Pick<AciKey, 'name'>, options: ShelfOptions): Promise<StagedAci>;
  /** Adds a signature to an image that is kept. */
  sign(found: ShelvedAci, signature: Buffer, options: ShelfOptions): Promise<ShelvedAci>;
  delete(key: AciKey, options: ShelfOptions): Promise<void>;
}
