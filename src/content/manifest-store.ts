/** What is kept of manifests: their exact bytes by digest, and the last known answer for each tag. */
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';

/** A manifest as it was pushed, to the byte. */
export interface StoredManifest {
  readonly digest: Digest;
  /** The Content-Type under which the origin gave it, without parameters. */
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** The last answer to "what is this tag". */
export interface StoredTag {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** When the origin last said so; milliseconds since the epoch. */
  readonly checkedAtMs: number;
}

/** Bounded: beyond its limit the manifests used least recently go. */
export interface ManifestStore extends AsyncDisposable {
  getManifest(digest: Digest): Promise<StoredManifest | undefined>;
  /** @throws {DockyardError} ERR_CONTENT_MISMATCH when the bytes are not what the digest says */
  putManifest(manifest: StoredManifest): Promise<void>;
  getTag(repository: Repository, tag: Tag): Promise<StoredTag | undefined>;
  putTag(repository: Repository, tag: Tag, stored: StoredTag): Promise<void>;
  removeTag(repository: Repository, tag: Tag): Promise<void>;
  close(): Promise<void>;
}
