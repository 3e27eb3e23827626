/** How a command that failed says so: one line for what, one for what to do, and an exit code. */
import { CommanderError } from 'commander';
import { CONTENT_ERRORS } from '../../src/content/errors.ts';
import { IMAGE_ERRORS } from '../../src/images/errors.ts';
import { asError, isAbortError, isDockyardError, type ErrorDescription } from '../../src/oci/error.ts';
import { OCI_VALUE_ERRORS } from '../../src/oci/errors.ts';
import { ORIGIN_ERRORS } from '../../src/origin/errors.ts';
import { SWARM_ERRORS } from '../../src/swarm/errors.ts';
import { TRANSFER_ERRORS } from '../../src/transfer/errors.ts';
import { TRACKER_ERRORS } from '../../tracker/errors.ts';
import { NODE_ERRORS } from '../errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

const DESCRIPTIONS: Readonly<Record<string, ErrorDescription>> = {
  ...NODE_ERRORS,
  ...CONTENT_ERRORS,
  ...OCI_VALUE_ERRORS,
  ...ORIGIN_ERRORS,
  ...IMAGE_ERRORS,
  ...SWARM_ERRORS,
  ...TRANSFER_ERRORS,
  ...TRACKER_ERRORS,
};

const USAGE_CODES: ReadonlySet<string> = new Set([
  'ERR_CONFIG_INVALID',
  'ERR_CONFIG_UNREADABLE',
  'ERR_DATA_ABSENT',
  'ERR_NAME_INVALID',
  'ERR_REFERENCE_INVALID',
  'ERR_USAGE',
]);

/** Tells of an error and answers the exit code. Stacks are shown with `--debug` (or DOCKYARD_DEBUG) alone. */
export function reportFailure(error: unknown, terminal: Terminal, options: { readonly debug: boolean }): ExitCode {
  // Commander has written its message already; `--help` and `--version` come this way too, with the code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (options.debug) terminal.err.write(`${asError(error).stack ?? ''}\n${showCauses(error)}`);
  else terminal.err.write(`dockyard: ${describe(error)}\n`);
  if (!isDockyardError(error)) return EXIT.failed;
  const remedy = DESCRIPTIONS[error.code]?.remedy;
  if (remedy !== undefined) terminal.err.write(`  ${remedy}\n`);
  if (error.code === 'ERR_ADMIN_UNREACHABLE') return EXIT.unreachable;
  return USAGE_CODES.has(error.code) ? EXIT.usage : EXIT.failed;
}

function describe(error: unknown): string {
  if (isDockyardError(error)) return `${error.message} (${error.code})`;
  if (isAbortError(error)) return 'interrupted';
  return `${asError(error).message} (this is a fault in Dockyard: run again with --debug and report what it shows)`;
}

function showCauses(error: unknown): string {
  const { cause } = asError(error);
  return cause === undefined ? '' : `caused by: ${asError(cause).stack ?? ''}\n${showCauses(cause)}`;
}
