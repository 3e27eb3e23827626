/** The codes of the facade. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors that the facade itself finds. What clients are told of them stands in error-table.ts. */
export const REGISTRY_ERRORS = {
  ERR_ROUTE_UNKNOWN: {
    meaning: 'The path is none of the distribution specification that this node serves.',
    remedy:
      'Ask for manifests, blobs, tags or referrers below `/v2/<name>/`; `_catalog` is served by seeds alone, V1 by none.',
  },
  ERR_TARGET_INVALID: {
    meaning:
      'The request target is not a plain path: it has percent-encodings, backslashes or characters beyond ASCII.',
    remedy: 'Send names, tags and digests as they are; none of them needs an encoding.',
  },
  ERR_METHOD_UNSUPPORTED: {
    meaning:
      'A push or a deletion was sent to a node that only serves pulls, or for a repository of an upstream; or an upload was asked in a way that is not defined.',
    remedy: 'Push to the upstream registry itself, or to a seed under a name without a host.',
  },
  ERR_NS_INVALID: {
    meaning: 'The `ns` query parameter stands twice, is empty, or is not a registry host.',
    remedy: 'Send one `ns=<registry host>`, as containerd does.',
  },
  ERR_UPSTREAM_NOT_CONFIGURED: {
    meaning: 'The request names a registry that is not among the upstreams of this node.',
    remedy: 'Add it with `--upstream NAME=URL` or under `upstreams` in the configuration file.',
  },
  ERR_BLOB_UNKNOWN: {
    meaning: 'No peer and no upstream has the blob.',
    remedy: 'Check the digest and the repository; the client goes on to its next host.',
  },
  ERR_MANIFEST_UNKNOWN: {
    meaning: 'No peer and no upstream has the manifest, or the tag is gone.',
    remedy: 'Check the tag or digest and the repository.',
  },
  ERR_LIST_UNKNOWN: {
    meaning: 'The upstream does not know the repository whose tags or referrers were asked for.',
    remedy: 'Check the name of the repository.',
  },
  ERR_BODY_SLOW: {
    meaning: 'The body of a request came too slowly, or stopped coming.',
    remedy: 'Look at the link of the client. What had come of an upload is kept, and it may go on from there.',
  },
  ERR_BODY_TOO_LARGE: {
    meaning: 'A pushed manifest is larger than 4 MiB.',
    remedy: 'Keep large content in blobs, and name it in the manifest.',
  },
  ERR_CONTENT_RANGE: {
    meaning: 'The `Content-Range` of a chunk is not `<first>-<last>`.',
    remedy: 'Send plain byte positions, both included, without a unit: `0-1023`.',
  },
  ERR_CONTENT_LENGTH: {
    meaning: 'A chunk is announced with two different lengths.',
    remedy: 'Send a `Content-Length` that is last - first + 1 of the `Content-Range`.',
  },
  ERR_DIGEST_MISSING: {
    meaning: 'An upload was to be finished without saying which digest it has.',
    remedy: 'Finish with `PUT <location>?digest=sha256:…`.',
  },
  ERR_DIGEST_ALGORITHM: {
    meaning: 'An upload was announced for a digest algorithm that is not supported.',
    remedy: 'Use sha256 or sha512.',
  },
  ERR_QUERY_DOUBLED: {
    meaning: 'A query parameter that has one meaning stands twice.',
    remedy: 'Send it once.',
  },
  ERR_TAG_INVALID: {
    meaning: 'Something was to be tagged with what is not a tag.',
    remedy: 'A tag has up to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`.',
  },
  ERR_BODY_LENGTH: {
    meaning: 'A source gave more or fewer bytes than it had promised.',
    remedy:
      'This is a fault in Dockyard: report it with the log entry. The client resumes or goes on to its next host.',
  },
  ERR_FACADE_STOPPING: {
    meaning: 'The node is shutting down and ended a request that outlasted the grace time.',
    remedy: 'Nothing: the client goes on to its next host. Give a longer grace time if pulls are cut off often.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type RegistryLayerErrorCode = keyof typeof REGISTRY_ERRORS;

/** Makes an error of this layer. */
export function registryError(
  code: RegistryLayerErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<RegistryLayerErrorCode> {
  return new DockyardError(code, message, options);
}
