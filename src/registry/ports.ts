/** What the facade needs from below. It never knows where bytes come from. */
import type { ByteRange } from '../oci/byte-range.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestReference } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';

/** Facts of the request on whose behalf something is done. */
export interface RequestContext {
  readonly repository: Repository;
  /** Ends the work for this client alone. */
  readonly signal: AbortSignal;
  readonly requestId: string;
}

/** A blob that can be delivered: its first bytes are at hand or surely on their way. Whoever opens it closes it. */
export interface BlobReading extends AsyncDisposable {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /**
   * Verified bytes of the range, in order. The last bytes of the blob come only when the whole was found right.
   * Ends with an error (ERR_TRANSFER_BROKEN …) when no source can go on; then the response is to end short.
   */
  read(range: ByteRange): AsyncIterable<Uint8Array>;
  /** Tells that a chunk of `read` was used up and its memory may serve again. Chunks that are never told do no harm. */
  recycle?(chunk: Uint8Array): void;
  close(): Promise<void>;
}

/** Blobs by digest, wherever they come from. */
export interface BlobService {
  /** `undefined` when no peer and no origin has it. @throws {DockyardError} when it cannot be delivered now */
  open(digest: Digest, context: RequestContext): Promise<BlobReading | undefined>;
  /** The size, without fetching. `undefined` as above. */
  stat(digest: Digest, context: RequestContext): Promise<{ sizeBytes: number } | undefined>;
  /** Where a client is to fetch it by itself; `undefined`, or left out, where it is given it here. */
  directUrl?(digest: Digest, context: RequestContext): Promise<string | undefined>;
}

/** A manifest for a client. */
export interface ServedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** Set when a tag could not be checked with its origin: how long ago it was last checked. */
  readonly staleForMs?: number | undefined;
}

/** Manifests by tag and digest. */
export interface ManifestService {
  get(reference: ManifestReference, context: RequestContext): Promise<ServedManifest | undefined>;
}

/** A document that is passed on from an upstream as it is. */
export interface PassedDocument {
  readonly status: number;
  readonly contentType: string;
  /** `Link`, `OCI-Filters-Applied`, and the like; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** Lists that a node does not keep itself. */
export interface ListService {
  /** `search` is the query string as the client sent it, without `ns` and without `?`. */
  tags(search: string, context: RequestContext): Promise<PassedDocument | undefined>;
  referrers(digest: Digest, search: string, context: RequestContext): Promise<PassedDocument | undefined>;
}
