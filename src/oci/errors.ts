/** The codes of the value layer, and the codes that the distribution specification gives to clients. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from './error.ts';

/** Errors of parsing names, digests and documents. */
export const OCI_VALUE_ERRORS = {
  ERR_DIGEST_INVALID: {
    meaning: 'A digest is not `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits.',
    remedy: 'Correct the digest; other algorithms are not supported.',
  },
  ERR_NAME_INVALID: {
    meaning:
      'A repository name breaks the grammar of the distribution specification, or is longer than 255 characters.',
    remedy: 'Use lower-case letters, digits and the separators `.`, `_`, `__`, `-` and `/`.',
  },
  ERR_REFERENCE_INVALID: {
    meaning: 'A tag or an image reference breaks the grammar of the distribution specification.',
    remedy: 'A tag has up to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`.',
  },
  ERR_MANIFEST_INVALID: {
    meaning: 'A manifest is not valid JSON, contradicts itself, or is larger than 4 MiB.',
    remedy: 'Build and push the image again; `details` says what is wrong.',
  },
  ERR_RANGE_INVALID: {
    meaning: 'A `Range` header asks for bytes outside the content.',
    remedy: 'Ask for a range that begins before the end of the content.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type OciValueErrorCode = keyof typeof OCI_VALUE_ERRORS;

/** Makes an error of this layer. */
export function ociError(
  code: OciValueErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<OciValueErrorCode> {
  return new DockyardError(code, message, options);
}

/**
 * Error codes that registry clients know.
 * @see OCI distribution-spec v1.1, "Error Codes"
 */
export const REGISTRY_ERROR_CODES = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
  // Not in the specification's table, but sent by the reference implementation and understood by clients.
  'TAG_INVALID',
  'RANGE_INVALID',
  'PAGINATION_NUMBER_INVALID',
  'UNAVAILABLE',
  'UNKNOWN',
] as const;

export type RegistryErrorCode = (typeof REGISTRY_ERROR_CODES)[number];
