/** What the facade of a seed needs from below, beside what every facade needs: repositories that were pushed here. */
import type { Digest } from '../oci/digest.ts';
import type { ManifestReference, RepositoryName, Tag } from '../oci/name.ts';
import type { BlobService, ListService, ManifestService, PassedDocument, RequestContext } from './ports.ts';

/** Where an upload stands. */
export interface HostedUpload {
  readonly id: string;
  readonly offsetBytes: number;
}

/** Bytes that a client sends, and where it says that they begin. */
export interface HostedChunk {
  readonly body: AsyncIterable<Uint8Array>;
  readonly start?: number | undefined;
  /** Told of each chunk of the body that will not be read again, so that its memory can serve again. Not told of every one. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
}

/** A blob that was taken. */
export interface HostedBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Uploads; all may be refused with the errors of SEED_ERRORS and STORAGE_ERRORS. */
export interface UploadService {
  begin(context: RequestContext): Promise<HostedUpload>;
  status(id: string, context: RequestContext): Promise<HostedUpload>;
  append(id: string, chunk: HostedChunk, context: RequestContext): Promise<HostedUpload>;
  finish(id: string, digest: Digest, chunk: HostedChunk | undefined, context: RequestContext): Promise<HostedBlob>;
  put(digest: Digest, chunk: HostedChunk, context: RequestContext): Promise<HostedBlob>;
  cancel(id: string, context: RequestContext): Promise<void>;
  mount(digest: Digest, from: RepositoryName | undefined, context: RequestContext): Promise<HostedBlob | undefined>;
}

/** A manifest from a client. */
export interface HostedPush {
  readonly reference: ManifestReference;
  /** Further tags. */
  readonly tags: readonly Tag[];
  readonly contentType: string | undefined;
  readonly bytes: Buffer;
}

/** A manifest that was kept. */
export interface HostedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly subject: Digest | undefined;
}

/** Repositories that were pushed here. */
export interface HostedRegistry {
  /** True for a name that this seed answers for; any other may mean a repository at an upstream. */
  answersFor(nameText: string): Promise<boolean>;
  readonly blobs: BlobService & { delete(digest: Digest, context: RequestContext): Promise<void> };
  readonly manifests: ManifestService & {
    put(push: HostedPush, context: RequestContext): Promise<HostedManifest>;
    delete(
      reference: ManifestReference,
      context: RequestContext,
    ): Promise<{ readonly digest: Digest; readonly tag: Tag | undefined }>;
  };
  readonly lists: ListService & { repositories(search: string): Promise<PassedDocument> };
  readonly uploads: UploadService;
}
