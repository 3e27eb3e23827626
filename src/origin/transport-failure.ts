/** What a failed connection means: which code it has for callers, and whether trying again makes sense. */
import { asError, isDockyardError, type DockyardError } from '../oci/error.ts';
import { originError } from './errors.ts';

const CONNECT_TIMEOUT_CODES: ReadonlySet<unknown> = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);

/** A failure after which the same request may succeed. Never leaves this layer: `final` does, when patience ends. */
export class TransientFailure extends Error {
  override readonly name = 'TransientFailure';
  /** What callers get if no further attempt helps. */
  readonly final: DockyardError;
  /** The upstream never answered: counts for the circuit breaker. */
  readonly isUnreachable: boolean;
  /** What the upstream asked to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(final: DockyardError, facts: { isUnreachable: boolean; retryAfterMs?: number | undefined }) {
    super(final.message, { cause: final });
    this.final = final;
    this.isUnreachable = facts.isUnreachable;
    this.retryAfterMs = facts.retryAfterMs;
  }

  /** It took all the time that it was given, as the next attempt may. */
  get isTimeout(): boolean {
    const { code, details } = this.final;
    return code === 'ERR_ORIGIN_STALLED' || CONNECT_TIMEOUT_CODES.has(details['causeCode']);
  }

  /** The same failure, of a host other than the upstream's own: it says nothing of the upstream. */
  elsewhere(): TransientFailure {
    return new TransientFailure(this.final, { isUnreachable: false, retryAfterMs: this.retryAfterMs });
  }
}

const CERTIFICATE_CODE =
  /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET|VERIFY|DECRYPT|DECODE)_|ERR_TLS_CERT_|CRL_|INVALID_(?:CA|PURPOSE)|PATH_LENGTH|HOSTNAME_MISMATCH)/;

/** The parser's words for bytes that are no HTTP. An early end (INVALID_EOF_STATE) is a broken connection instead. */
const MALFORMED_CODE = /^(?:HPE_(?!INVALID_EOF_STATE)|UND_ERR_HEADERS_OVERFLOW)/;

function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** What the codes say that people meet most, in words. */
const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'no name server answers',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was reset',
  EHOSTUNREACH: 'there is no way to its host',
  ENETUNREACH: 'there is no way to its network',
  ETIMEDOUT: 'no connection came about in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection came about in time',
  UND_ERR_SOCKET: 'the connection was closed',
  EPROTO: 'TLS failed; does it speak plain HTTP?',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS; is its URL http://?',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS; is its URL http://?',
};

function explained(code: string, message: string): string {
  const words = WORDS[code];
  if (words !== undefined) return `${code} (${words})`;
  return code === '' ? message : code;
}

/** Our own error, where a connection failed because of it (a guarded look-up), however deep it lies. */
function ownError(error: unknown): DockyardError | undefined {
  for (
    let current: unknown = error, depth = 0;
    current instanceof Error && depth < 5;
    current = current.cause, depth += 1
  ) {
    if (isDockyardError(current)) return current;
  }
  return undefined;
}

/**
 * An error of undici, net or tls as one of this layer: a `TransientFailure`, or a `DockyardError` that no repetition cures.
 * @param facts.isConnected true when the head of an answer had come
 */
export function transportFailure(
  thrown: unknown,
  upstream: string,
  facts: { isConnected: boolean },
): TransientFailure | DockyardError {
  if (thrown instanceof TransientFailure) return thrown;
  const own = ownError(thrown);
  if (own?.code === 'ERR_ORIGIN_STALLED') return new TransientFailure(own, { isUnreachable: !facts.isConnected });
  if (own !== undefined) return own;
  const cause = asError(thrown);
  const code = errorCode(thrown);
  const details = { upstream, causeCode: code === '' ? undefined : code };
  if (CERTIFICATE_CODE.test(code)) {
    return originError(
      'ERR_ORIGIN_UNTRUSTED',
      `the certificate of upstream '${upstream}' cannot be verified: ${code}`,
      { cause, details },
    );
  }
  if (MALFORMED_CODE.test(code) || (cause.name === 'HTTPParserError' && code === '')) {
    return originError('ERR_ORIGIN_BAD_ANSWER', `upstream '${upstream}' does not speak HTTP: ${cause.message}`, {
      cause,
      details,
    });
  }
  const what = facts.isConnected ? 'broke off' : 'cannot be reached';
  const final = originError(
    'ERR_ORIGIN_UNAVAILABLE',
    `upstream '${upstream}' ${what}: ${explained(code, cause.message)}`,
    {
      cause,
      details,
    },
  );
  return new TransientFailure(final, { isUnreachable: !facts.isConnected });
}
