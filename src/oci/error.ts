/**
 * The one error base of the project.
 *
 * Every layer keeps a table of its codes (`content/errors.ts`, `origin/errors.ts`, …) and makes its errors from it.
 * Callers compare `code`, never the message or the class. Absence is not an error: look-ups answer `undefined`.
 * An abort keeps its own `AbortError` and is never translated.
 */

/** Facts that belong to an error: digests, names, counts. Never credentials. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | undefined>>;

/** What a table says of one code. */
export interface ErrorDescription {
  /** What the code means, for docs/ERRORS.md. */
  readonly meaning: string;
  /** What an operator or a client can do about it, for docs/ERRORS.md. */
  readonly remedy: string;
}

/** An error with a stable `code`; `cause` holds what led to it. */
export class DockyardError<Code extends string = string> extends Error {
  override readonly name = 'DockyardError';
  readonly code: Code;
  readonly details: ErrorDetails;

  constructor(code: Code, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** True when `error` is one of ours and, if `code` is given, carries that code. */
export function isDockyardError(error: unknown, code?: string): error is DockyardError {
  return error instanceof DockyardError && (code === undefined || error.code === code);
}

/** True for the error that an `AbortSignal` raises, a timeout of one included. */
export function isAbortError(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

/** An unknown thrown value as an `Error`, unchanged if it is one. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('a value that is no Error was thrown', { cause: thrown });
}
