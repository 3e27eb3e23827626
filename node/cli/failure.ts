/** How a command that failed says so: one line for what, one for what to do, and an exit code. */
import { CommanderError } from 'commander';
import { APPC_ERRORS } from '../../src/appc/errors.ts';
import { CONTENT_ERRORS } from '../../src/content/errors.ts';
import { IMAGE_ERRORS } from '../../src/images/errors.ts';
import { asError, isAbortError, isDockyardError, type ErrorDescription } from '../../src/oci/error.ts';
import { OCI_VALUE_ERRORS } from '../../src/oci/errors.ts';
import { ORIGIN_ERRORS } from '../../src/origin/errors.ts';
import { SWARM_ERRORS } from '../../src/swarm/errors.ts';
import { TORRENT_ERRORS } from '../../src/torrent/errors.ts';
import { TRANSFER_ERRORS } from '../../src/transfer/errors.ts';
import { TRACKER_ERRORS } from '../../tracker/errors.ts';
import { FETCH_ERRORS, NODE_ERRORS } from '../errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

const DESCRIPTIONS: Readonly<Record<string, ErrorDescription>> = {
  ...NODE_ERRORS,
  ...FETCH_ERRORS,
  ...CONTENT_ERRORS,
  ...OCI_VALUE_ERRORS,
  ...ORIGIN_ERRORS,
  ...IMAGE_ERRORS,
  ...SWARM_ERRORS,
  ...TRANSFER_ERRORS,
  ...TRACKER_ERRORS,
  ...TORRENT_ERRORS,
  ...APPC_ERRORS,
  ...OCI_VALUE_ERRORS,
};

/** What a code comes to; those that are not here are plain failures. */
const EXIT_OF_CODE: ReadonlyMap<string, ExitCode> = new Map(
  (
    [
      [EXIT.usage, 'ERR_CONFIG_INVALID ERR_CONFIG_UNREADABLE ERR_DATA_ABSENT ERR_USAGE ERR_OUTPUT_EXISTS'],
      [EXIT.usage, 'ERR_DIGEST_INVALID ERR_NAME_INVALID ERR_REFERENCE_INVALID ERR_UPSTREAM_INVALID'],
      [EXIT.unreachable, 'ERR_ADMIN_UNREACHABLE'],
      [EXIT.absent, 'ERR_FETCH_ABSENT ERR_FETCH_UNSUPPORTED ERR_ORIGIN_DENIED'],
      [EXIT.mismatch, 'ERR_FETCH_MISMATCH ERR_CONTENT_MISMATCH ERR_MANIFEST_INVALID ERR_ORIGIN_BAD_ANSWER'],
      [EXIT.mismatch, 'ERR_METAINFO_INVALID ERR_METAINFO_TOO_LARGE ERR_METAINFO_UNSAFE ERR_METAINFO_EMPTY'],
      [EXIT.mismatch, 'ERR_TORRENT_MISMATCH ERR_ACI_INVALID ERR_ACI_UNSAFE ERR_ACI_TOO_LARGE ERR_ACI_MISMATCH'],
      [EXIT.mismatch, 'ERR_ACI_MANIFEST_INVALID ERR_SIGNATURE_INVALID ERR_SIGNATURE_MISSING'],
      [EXIT.absent, 'ERR_ACI_UNKNOWN ERR_DISCOVERY_FAILED ERR_IMAGE_UNKNOWN'],
      [EXIT.usage, 'ERR_AC_NAME_INVALID ERR_KEY_INVALID'],
      [EXIT.unavailable, 'ERR_ACI_DOWNLOAD'],
      [EXIT.usage, 'ERR_MAGNET_INVALID ERR_TORRENT_LISTEN'],
      [
        EXIT.unavailable,
        'ERR_ORIGIN_UNAVAILABLE ERR_ORIGIN_STALLED ERR_ORIGIN_RATE_LIMITED ERR_FETCH_BUSY ERR_FETCH_STALLED',
      ],
      [EXIT.interrupted, 'ERR_FETCH_INTERRUPTED'],
    ] as const
  ).flatMap(([exit, codes]) => codes.split(' ').map((code) => [code, exit] as const)),
);

/** Tells of an error and answers the exit code. Stacks are shown with `--debug` (or DOCKYARD_DEBUG) alone. */
export function reportFailure(error: unknown, terminal: Terminal, options: { readonly debug: boolean }): ExitCode {
  // Commander has written its message already; `--help` and `--version` come this way too, with the code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (options.debug) terminal.err.write(`${asError(error).stack ?? ''}\n${showCauses(error)}`);
  else terminal.err.write(`dockyard: ${describe(error)}\n`);
  if (!isDockyardError(error)) return EXIT.failed;
  const remedy = DESCRIPTIONS[error.code]?.remedy;
  if (remedy !== undefined) terminal.err.write(`  ${remedy}\n`);
  return EXIT_OF_CODE.get(error.code) ?? EXIT.failed;
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
