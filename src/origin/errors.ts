/** The codes of the origin layer: what can go wrong between this node and an upstream registry. */
import { DockyardError, isDockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

export const ORIGIN_ERRORS = {
  ERR_UPSTREAM_UNKNOWN: {
    meaning: 'A request names an upstream registry that is not configured.',
    remedy: 'Add the registry with `--upstream NAME=URL` or under `upstreams` in the configuration file.',
  },
  ERR_UPSTREAM_INVALID: {
    meaning: 'The configuration of an upstream registry contradicts itself or cannot be read.',
    remedy: 'Correct the entry that the message names.',
  },
  ERR_ORIGIN_UNAVAILABLE: {
    meaning: 'An upstream registry cannot be reached, breaks off, or answers 5xx.',
    remedy: 'Check the network, the proxy settings and the registry; a node tries again by itself.',
  },
  ERR_ORIGIN_UNTRUSTED: {
    meaning: 'The TLS certificate of an upstream registry, or of a host that it points to, cannot be verified.',
    remedy:
      'Give the certificate of its authority (`caFile` of the upstream, `--ca` of commands for images), or renew the certificate.',
  },
  ERR_ORIGIN_DENIED: {
    meaning: 'An upstream registry refuses access (401 or 403).',
    remedy: 'Check the credentials of the upstream. Some registries answer so for repositories that do not exist.',
  },
  ERR_ORIGIN_RATE_LIMITED: {
    meaning: 'An upstream registry refuses for load (429), for longer than a pull can wait.',
    remedy: 'Wait, or configure credentials with a higher limit.',
  },
  ERR_ORIGIN_STALLED: {
    meaning: 'An upstream registry accepted a request and then gave no bytes for the time that is allowed.',
    remedy: 'Check the network; for a slow registry raise `upstreams.NAME.stallTimeout`.',
  },
  ERR_ORIGIN_BAD_ANSWER: {
    meaning:
      'An upstream registry answered against the protocol: a wrong digest or length, no length, an encoding, HTML.',
    remedy: 'Check that the URL is that of a registry, and that no captive portal or proxy changes its answers.',
  },
  ERR_ORIGIN_UNSAFE_TARGET: {
    meaning:
      'An upstream registry points to a place where this node must not go: from https to http, to a private address, or ' +
      'with credentials to a foreign token server.',
    remedy: 'If the place is right, name it in `tokenHosts` or set `allowPrivateRedirects` for the upstream.',
  },
  ERR_CREDENTIALS_UNREADABLE: {
    meaning: "Docker's config.json or a credential helper named in it cannot be read or answers nonsense.",
    remedy: 'Correct the file, or run `docker-credential-<name> list` to see what is wrong with the helper.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type OriginErrorCode = keyof typeof ORIGIN_ERRORS;

/** Makes an error of this layer. */
export function originError(
  code: OriginErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<OriginErrorCode> {
  return new DockyardError(code, message, options);
}

const TROUBLE_CODES: ReadonlySet<string> = new Set<OriginErrorCode>([
  'ERR_ORIGIN_UNAVAILABLE',
  'ERR_ORIGIN_UNTRUSTED',
  'ERR_ORIGIN_RATE_LIMITED',
  'ERR_ORIGIN_STALLED',
  'ERR_ORIGIN_BAD_ANSWER',
]);

/** True when an error says that the upstream cannot answer now, and so that an older answer may stand in for it. */
export function isOriginTrouble(error: unknown): error is DockyardError {
  return isDockyardError(error) && TROUBLE_CODES.has(error.code);
}
