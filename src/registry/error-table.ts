/**
 * What clients are told of every error: an OCI code, an HTTP status, a message. All codes of all layers stand here; a
 * test holds the table to that.
 *
 * The status decides what a client does next. 404 and 503 send containerd to its next host at once; 408 and 429 would be
 * retried at this node, so load is answered by 503 and never by 429. 401 would make docker ask for a login at this node,
 * so an upstream that denies is a 403.
 * @see OCI distribution-spec v1.1, "Error Codes"
 */
import { isDockyardError, type DockyardError } from '../oci/error.ts';
import type { RegistryErrorCode } from '../oci/errors.ts';

/** How one error looks to clients. */
export interface PublicError {
  readonly status: number;
  readonly code: RegistryErrorCode;
  /** What clients read; absent where the error's own message is about what the client sent, and safe to show. */
  readonly message?: string;
  readonly retryAfterSeconds?: number;
}

const BUSY = { status: 503, code: 'UNAVAILABLE', retryAfterSeconds: 5 } as const;
const BAD_UPSTREAM = { status: 502, code: 'UNAVAILABLE' } as const;
const SWARM_FAILED: PublicError = { ...BUSY, message: 'the peers of this node cannot deliver now' };
const STORE_FAILED: PublicError = {
  ...BUSY,
  message: "the storage of this node cannot deliver now; see the node's log",
};
const TORRENT_FAILED: PublicError = {
  ...BUSY,
  message: "this node cannot make or share torrents now; see the node's log",
};
// What cannot be made a torrent of has none.
const TORRENT_REFUSED: PublicError = { status: 404, code: 'UNSUPPORTED' };

/** From the code of an error to its public form. */
export const ERROR_TABLE: Readonly<Record<string, PublicError>> = {
  // oci
  ERR_DIGEST_INVALID: { status: 400, code: 'DIGEST_INVALID' },
  ERR_NAME_INVALID: { status: 400, code: 'NAME_INVALID' },
  // The conformance suite asks for the tag `.INVALID_MANIFEST_NAME` and counts on 404: what cannot be, is not there.
  ERR_REFERENCE_INVALID: { status: 404, code: 'MANIFEST_UNKNOWN' },
  ERR_MANIFEST_INVALID: { status: 502, code: 'MANIFEST_INVALID', message: 'the upstream gave an invalid manifest' },
  ERR_RANGE_INVALID: { status: 416, code: 'RANGE_INVALID' },
  // registry
  ERR_ROUTE_UNKNOWN: { status: 404, code: 'UNSUPPORTED' },
  ERR_TARGET_INVALID: { status: 400, code: 'NAME_INVALID' },
  ERR_METHOD_UNSUPPORTED: { status: 405, code: 'UNSUPPORTED' },
  ERR_NS_INVALID: { status: 400, code: 'NAME_INVALID' },
  ERR_UPSTREAM_NOT_CONFIGURED: { status: 404, code: 'NAME_UNKNOWN' },
  ERR_BLOB_UNKNOWN: { status: 404, code: 'BLOB_UNKNOWN' },
  ERR_MANIFEST_UNKNOWN: { status: 404, code: 'MANIFEST_UNKNOWN' },
  ERR_LIST_UNKNOWN: { status: 404, code: 'NAME_UNKNOWN' },
  // The connection is of no use any more; what was kept of an upload is.
  ERR_BODY_SLOW: { status: 408, code: 'BLOB_UPLOAD_INVALID' },
  ERR_BODY_TOO_LARGE: { status: 413, code: 'MANIFEST_INVALID' },
  ERR_CONTENT_RANGE: { status: 416, code: 'BLOB_UPLOAD_INVALID' },
  ERR_CONTENT_LENGTH: { status: 400, code: 'SIZE_INVALID' },
  ERR_DIGEST_MISSING: { status: 400, code: 'DIGEST_INVALID' },
  ERR_DIGEST_ALGORITHM: { status: 400, code: 'DIGEST_INVALID' },
  ERR_QUERY_DOUBLED: { status: 400, code: 'DIGEST_INVALID' },
  ERR_TAG_INVALID: { status: 400, code: 'TAG_INVALID' },
  ERR_BODY_LENGTH: { ...BUSY, message: 'the blob cannot be delivered now' },
  ERR_FACADE_STOPPING: { ...BUSY, message: 'this node is shutting down' },
  // origin
  ERR_UPSTREAM_UNKNOWN: { status: 404, code: 'NAME_UNKNOWN', message: 'the registry is not an upstream of this node' },
  ERR_UPSTREAM_INVALID: { ...BUSY, message: 'the upstream registry is not configured rightly at this node' },
  ERR_CREDENTIALS_UNREADABLE: {
    ...BUSY,
    message: "this node cannot read its credentials for the upstream registry; see the node's log",
  },
  ERR_ORIGIN_DENIED: {
    status: 403,
    code: 'DENIED',
    message:
      "the upstream registry denied this node; give the node credentials for it under 'upstreams' in its configuration",
  },
  ERR_ORIGIN_UNAVAILABLE: { ...BUSY, message: 'the upstream registry cannot be reached now' },
  ERR_ORIGIN_UNTRUSTED: {
    ...BUSY,
    message: 'the certificate of the upstream registry cannot be verified by this node',
  },
  ERR_ORIGIN_RATE_LIMITED: {
    ...BUSY,
    retryAfterSeconds: 30,
    message: 'the upstream registry refuses this node for load; credentials may raise its limit',
  },
  ERR_ORIGIN_STALLED: { ...BUSY, message: 'the upstream registry stopped answering' },
  ERR_ORIGIN_BAD_ANSWER: { ...BAD_UPSTREAM, message: 'the upstream registry gave a wrong answer' },
  ERR_ORIGIN_UNSAFE_TARGET: {
    ...BAD_UPSTREAM,
    message: 'the upstream registry points to a place where this node must not go',
  },
  // transfer
  ERR_TRANSFER_UNAVAILABLE: { ...BUSY, message: 'no source can deliver the blob now' },
  ERR_TRANSFER_BROKEN: { ...BUSY, message: 'every source of the blob failed' },
  ERR_TRANSFER_CORRUPT: { ...BAD_UPSTREAM, message: 'the blob is damaged at its origin' },
  ERR_PREHEAT_UNKNOWN: { status: 404, code: 'MANIFEST_UNKNOWN' },
  ERR_PREHEAT_NODE_UNKNOWN: { status: 404, code: 'UNSUPPORTED' },
  ERR_PREHEAT_BUSY: { ...BUSY, message: 'the node has much to preheat already' },
  ERR_PREHEAT_NOT_KEPT: { ...BUSY, message: 'the node has no room' },
  ERR_PREHEAT_STALLED: { ...BUSY, message: 'the node gets no further' },
  // appc
  ERR_AC_NAME_INVALID: { status: 400, code: 'NAME_INVALID' },
  ERR_ACI_INVALID: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_ACI_UNSAFE: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_ACI_TOO_LARGE: { status: 413, code: 'SIZE_INVALID' },
  ERR_ACI_MANIFEST_INVALID: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_ACI_MISMATCH: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_ACI_UNKNOWN: { status: 404, code: 'MANIFEST_UNKNOWN' },
  ERR_SIGNATURE_INVALID: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_SIGNATURE_MISSING: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_KEY_INVALID: { ...BUSY, message: 'this node cannot read the keys that it trusts' },
  ERR_PUSHERS_INVALID: { ...BUSY, message: 'this node cannot read who may push to it' },
  ERR_UPLOAD_STEP: { status: 400, code: 'BLOB_UPLOAD_INVALID' },
  ERR_DISCOVERY_FAILED: { ...BAD_UPSTREAM, message: 'no page says where the image is to be had' },
  ERR_ACI_DOWNLOAD: { ...BAD_UPSTREAM, message: 'the image cannot be fetched from where it is' },
  // seed
  ERR_NAME_NOT_ALLOWED: { status: 403, code: 'DENIED' },
  ERR_TAG_IMMUTABLE: { status: 403, code: 'DENIED' },
  ERR_DELETE_FORBIDDEN: { status: 405, code: 'UNSUPPORTED' },
  ERR_UPLOAD_UNKNOWN: { status: 404, code: 'BLOB_UPLOAD_UNKNOWN' },
  ERR_UPLOAD_OFFSET: { status: 416, code: 'BLOB_UPLOAD_INVALID' },
  ERR_BLOB_NOT_IN_REPOSITORY: { status: 404, code: 'BLOB_UNKNOWN' },
  ERR_MANIFEST_NOT_IN_REPOSITORY: { status: 404, code: 'MANIFEST_UNKNOWN' },
  ERR_MANIFEST_REFUSED: { status: 400, code: 'MANIFEST_INVALID' },
  ERR_MANIFEST_DIGEST: { status: 400, code: 'DIGEST_INVALID' },
  ERR_MANIFEST_NEEDS: { status: 404, code: 'MANIFEST_BLOB_UNKNOWN' },
  ERR_PAGE_INVALID: { status: 400, code: 'PAGINATION_NUMBER_INVALID' },
  ERR_COLLECTION_RUNNING: { ...BUSY, message: 'garbage is being collected' },
  // replication
  ERR_REPLICATION_NOT_A_SEED: { ...BAD_UPSTREAM, message: 'another seed does not tell its changes' },
  ERR_REPLICATION_ITSELF: { ...BAD_UPSTREAM, message: 'another seed does not tell its changes' },
  ERR_REPLICATION_ANSWER: { ...BAD_UPSTREAM, message: 'another seed does not tell its changes' },
  ERR_REPLICATION_NEEDS: { ...BUSY, message: 'an image of another seed is not whole yet' },
  // storage
  ERR_STORAGE_FULL: { status: 507, code: 'UNAVAILABLE', message: 'the storage of this registry is full' },
  ERR_STORAGE_IO: STORE_FAILED,
  ERR_STORAGE_DAMAGED: STORE_FAILED,
  ERR_STORAGE_CLOSED: STORE_FAILED,
  ERR_STORAGE_TAKEN: STORE_FAILED,
  ERR_DIGEST_MISMATCH: { status: 400, code: 'DIGEST_INVALID' },
  // The client asks where the upload stands, and goes on from there.
  ERR_UPLOAD_BUSY: { status: 416, code: 'BLOB_UPLOAD_INVALID', message: 'another request is writing to this upload' },
  ERR_UPLOAD_ENDED: { status: 404, code: 'BLOB_UPLOAD_UNKNOWN', message: 'the upload has ended; begin another' },
  // catalog
  ERR_CATALOG_FULL: { status: 507, code: 'UNAVAILABLE', message: 'the storage of this registry is full' },
  ERR_CATALOG_LOCKED: STORE_FAILED,
  ERR_CATALOG_DAMAGED: STORE_FAILED,
  ERR_CATALOG_IO: STORE_FAILED,
  ERR_CATALOG_CLOSED: STORE_FAILED,
  // swarm: a peer that fails is replaced, so these reach a client only where nothing else is left
  ERR_SWARM_KEY_INVALID: SWARM_FAILED,
  ERR_SWARM_OPEN: SWARM_FAILED,
  ERR_IDENTITY_INVALID: SWARM_FAILED,
  ERR_SWARM_IDENTITY_TWICE: SWARM_FAILED,
  ERR_SWARM_LISTEN: SWARM_FAILED,
  ERR_SWARM_ADDRESS_INVALID: SWARM_FAILED,
  ERR_SWARM_UNREACHABLE: SWARM_FAILED,
  ERR_SWARM_KEY_MISMATCH: SWARM_FAILED,
  ERR_MEMBERS_PROTOCOL: SWARM_FAILED,
  ERR_TRACKER_FAILED: SWARM_FAILED,
  ERR_LINK_FAILED: SWARM_FAILED,
  ERR_LINK_REFUSED: SWARM_FAILED,
  ERR_LINK_PROTOCOL: SWARM_FAILED,
  ERR_LINK_TIMEOUT: SWARM_FAILED,
  // torrent
  ERR_METAINFO_INVALID: TORRENT_REFUSED,
  ERR_METAINFO_TOO_LARGE: TORRENT_REFUSED,
  ERR_METAINFO_UNSAFE: TORRENT_REFUSED,
  ERR_METAINFO_EMPTY: TORRENT_REFUSED,
  ERR_MAGNET_INVALID: TORRENT_REFUSED,
  ERR_TORRENT_UNSUITABLE: TORRENT_REFUSED,
  ERR_TORRENT_LISTEN: TORRENT_FAILED,
  ERR_TORRENT_FAILED: TORRENT_FAILED,
  ERR_TORRENT_CLOSED: TORRENT_FAILED,
  ERR_TORRENT_MISMATCH: TORRENT_FAILED,
  // content
  ERR_CONTENT_MISMATCH: { ...BAD_UPSTREAM, message: 'the content did not match its digest' },
  ERR_STORE_FULL: { ...BUSY, retryAfterSeconds: 30, message: 'the storage of this node is full' },
  ERR_PARTIAL_BUSY: { ...BUSY, message: 'the blob is being written by another task' },
  ERR_STORE_LOCKED: STORE_FAILED,
  ERR_STORE_VERSION: STORE_FAILED,
  ERR_STORE_CLOSED: STORE_FAILED,
  ERR_STORE_IO: STORE_FAILED,
  ERR_PIECE_MISSING: STORE_FAILED,
  ERR_BLOB_DAMAGED: STORE_FAILED,
  ERR_BLOB_NOT_HELD: STORE_FAILED,
};

/** What is told of an error that is none of ours: nothing of its inside. */
export const UNKNOWN_ERROR: PublicError = {
  status: 500,
  code: 'UNKNOWN',
  message: 'an internal error; see the log of this node',
};

/** The public form of anything that was thrown, its message filled in. */
export function toPublicError(thrown: unknown): PublicError & { readonly message: string } {
  const unknownMessage = UNKNOWN_ERROR.message ?? '';
  if (!isDockyardError(thrown)) return { ...UNKNOWN_ERROR, message: unknownMessage };
  const entry = Object.hasOwn(ERROR_TABLE, thrown.code) ? ERROR_TABLE[thrown.code] : undefined;
  if (entry === undefined) return { ...UNKNOWN_ERROR, message: unknownMessage };
  return { ...entry, message: entry.message === undefined ? thrown.message : entry.message + whyUpstream(thrown) };
}

/**
 * Which upstream failed and how, in words that show nothing else of the network: a code of the system or of TLS, or a status.
 * An error of the layers between holds that of the origin as its cause.
 */
function whyUpstream(thrown: DockyardError): string {
  let current: unknown = thrown;
  for (let depth = 0; depth < 5 && isDockyardError(current); depth += 1) {
    const { upstream, causeCode, status } = current.details;
    const why = causeCode ?? (status === undefined ? undefined : `status ${status}`);
    if (upstream !== undefined && why !== undefined) return ` (${upstream}: ${why})`;
    current = current.cause;
  }
  return '';
}
