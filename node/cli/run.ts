/** The command line: `dockyard <command>`. */
import { Command } from 'commander';
import { packageVersion } from '../composition/version.ts';
import type { ProcessFacts } from '../config/option.ts';
import type { CommandContext } from './context.ts';
import { addCopyCommand } from './copy-command.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from './exit-codes.ts';
import { reportFailure } from './failure.ts';
import { addFetchCommand } from './fetch-command.ts';
import { addGcCommand } from './gc-command.ts';
import { HELP_LAYOUT } from './help-layout.ts';
import { addImageCommands } from './image-commands.ts';
import { addInspectCommand } from './inspect-command.ts';
import { addMirrorCommands } from './mirror-command.ts';
import { addPreheatCommand } from './preheat-command.ts';
import { addProcessCommands } from './process-commands.ts';
import { addReadCommands } from './read-commands.ts';
import type { Terminal } from './terminal.ts';
import { addTrackerCommands } from './tracker-command.ts';
import { addTorrentCommands } from './torrent-command.ts';
import { addReplicationCommands } from './replication-command.ts';
import { addWebhookCommands } from './webhook-command.ts';
import { addVerifyCommand } from './verify-command.ts';

/**
 * Runs a command.
 * @param args what stands after the name of the program
 * @returns the exit code; see EXIT
 */
export async function runCommandLine(
  args: readonly string[],
  terminal: Terminal,
  facts: ProcessFacts,
): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok;
  const exitWith = (code: ExitCode): void => {
    exitCode = code;
  };
  const program = createProgram({ terminal, facts, version: packageVersion(), exitWith });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    const debug = args.includes('--debug') || (facts.environment['DOCKYARD_DEBUG'] ?? '') !== '';
    return reportFailure(error, terminal, { debug });
  }
}

function createProgram(context: CommandContext): Command {
  const { terminal, version } = context;
  const program = new Command('dockyard');
  program
    .description(
      'Container images for every host of a cluster, from one copy: a registry on each host, layers shared between hosts.',
    )
    .version(version, '--version', 'print the version')
    .option('--debug', 'show stacks of errors')
    .addHelpText('after', EXIT_CODES_HELP)
    .configureHelp(HELP_LAYOUT)
    .configureOutput({
      writeOut: (text) => void terminal.out.write(text),
      writeErr: (text) => void terminal.err.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'dockyard: ')),
    })
    .showHelpAfterError('  `dockyard --help` lists the commands.')
    .exitOverride();
  addProcessCommands(program, context);
  addTrackerCommands(program, context);
  addReadCommands(program, context);
  addVerifyCommand(program, context);
  addImageCommands(program, context);
  addInspectCommand(program, context);
  addCopyCommand(program, context);
  addPreheatCommand(program, context);
  addFetchCommand(program, context);
  addTorrentCommands(program, context);
  addGcCommand(program, context);
  addReplicationCommands(program, context);
  addWebhookCommands(program, context);
  addDoctorCommand(program, context);
  addMirrorCommands(program, context);
  inherit(program);
  return program;
}

/** Commander copies settings to commands that are made after them only in part: each command is set up by hand. */
function inherit(command: Command, path = 'dockyard'): void {
  for (const child of command.commands) {
    const childPath = `${path} ${child.name()}`;
    child.copyInheritedSettings(command);
    child.option('--debug', 'show stacks of errors');
    child.showHelpAfterError(`  \`${childPath} --help\` shows what it takes.`);
    inherit(child, childPath);
  }
}
