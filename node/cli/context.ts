/** What every command is given. */
import { Option, type Command } from 'commander';
import type { ProcessFacts } from '../config/option.ts';
import { parseHostPort } from '../config/address.ts';
import { nodeError } from '../errors.ts';
import { AdminClient } from './admin-client.ts';
import type { ExitCode } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** The surroundings of a command. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly facts: ProcessFacts;
  readonly version: string;
  /** Sets the code with which the command ends when it is done. */
  readonly exitWith: (code: ExitCode) => void;
}

/** Options of commands that ask a running node. */
export interface ReadOptions {
  readonly admin?: string;
  readonly json?: boolean;
}

/** Adds `--admin` and `--json`. */
export function addReadFlags(command: Command): Command {
  command.addOption(new Option('--admin <URL>', 'the admin address of the node').env('DOCKYARD_ADMIN_URL'));
  return command.option('--json', 'write JSON for programs');
}

/** The node that a command was pointed at: `--admin`, DOCKYARD_ADMIN_URL, DOCKYARD_ADMIN, or the usual address. */
export function adminClient(options: ReadOptions, facts: ProcessFacts): AdminClient {
  const given = options.admin ?? (facts.environment['DOCKYARD_ADMIN'] || '127.0.0.1:5001');
  const url = parseHostPort(given) === undefined ? given : `http://${given}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw nodeError('ERR_USAGE', `--admin: '${given}' is neither a URL nor HOST:PORT`);
  }
  return new AdminClient(url.replace(/\/+$/, ''));
}
