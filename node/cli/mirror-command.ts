/** `mirror install` and `mirror remove`: point the clients of this host at the node, and back. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Argument, type Command } from 'commander';
import type { ProcessFacts } from '../config/option.ts';
import { nodeError } from '../errors.ts';
import { installMirror, removeMirror, type MirrorOutcome } from '../mirror/install.ts';
import { MIRROR_CLIENTS, type MirrorClient } from '../mirror/plan.ts';
import { SYSTEM_SCOPE, userScope, type MirrorScope } from '../mirror/scope.ts';
import type { CommandContext } from './context.ts';
import { print, printJson } from './terminal.ts';

const USER_FLAG = 'of clients that you run without root, below ~/.config';

interface MirrorOptions {
  readonly root: string;
  readonly user?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addMirrorCommands(program: Command, context: CommandContext): void {
  const mirror = program
    .command('mirror')
    .description("write the node into the clients' configuration, or take it out");
  const clientArgument = (): Argument => new Argument('<client>', 'the client').choices(MIRROR_CLIENTS);
  mirror
    .command('install')
    .description('put the node in front of registries; keeps what was there, and doing it again changes nothing')
    .addArgument(clientArgument())
    .option('--registry <HOST...>', 'registries to put the node in front of (default: all; for podman docker.io)')
    .option('--url <URL>', "the node's registry", 'http://127.0.0.1:5000')
    .option('--config-path', "also set config_path in containerd's config.toml where it is not set")
    .option('--user', USER_FLAG)
    .option('--root <DIR>', 'work on a file system below DIR', '/')
    .option('--json', 'write JSON for programs')
    .action(
      async (
        client: MirrorClient,
        options: MirrorOptions & { registry?: string[]; url: string; configPath?: boolean },
      ) => {
        const request = {
          url: checkUrl(options.url),
          registries: options.registry ?? [],
          setConfigPath: options.configPath === true,
        };
        const root = existingRoot(options.root, context.facts);
        const outcome = await installMirror(client, root, request, scopeOf(options, context.facts));
        printOutcome(outcome, options, context);
      },
    );
  mirror
    .command('remove')
    .description('restore what was there before, byte for byte')
    .addArgument(clientArgument())
    .option('--force', 'where others have changed a file since: take out our lines, and keep their changes')
    .option('--user', USER_FLAG)
    .option('--root <DIR>', 'work on a file system below DIR', '/')
    .option('--json', 'write JSON for programs')
    .action(async (client: MirrorClient, options: MirrorOptions & { force?: boolean }) => {
      const root = existingRoot(options.root, context.facts);
      const scope = scopeOf(options, context.facts);
      const outcome = await removeMirror(client, root, { force: options.force === true }, scope);
      const nothing = { client, changed: [], unchanged: [], notes: [`nothing was installed for ${client}`] };
      printOutcome(outcome ?? nothing, options, context);
    });
}

function scopeOf({ user }: MirrorOptions, facts: ProcessFacts): MirrorScope {
  return user === true ? userScope(facts) : SYSTEM_SCOPE;
}

/** The folder that `--root` names. A mistyped one must not become a file system of its own. */
export function existingRoot(root: string, facts: ProcessFacts): string {
  const path = resolve(facts.workingDirectory, root);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return path;
  throw nodeError('ERR_USAGE', `--root: there is no folder ${path}`);
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    url.search === '' &&
    url.username === '';
  if (!isPlain)
    throw nodeError('ERR_USAGE', `--url: '${text}' is not the address of a node, such as http://127.0.0.1:5000`);
  return text.replace(/\/+$/, '');
}

function printOutcome(outcome: MirrorOutcome, options: MirrorOptions, { terminal }: CommandContext): void {
  if (options.json === true) {
    printJson(terminal, outcome);
    return;
  }
  for (const path of outcome.changed) print(terminal, `changed    ${path}`);
  for (const path of outcome.unchanged) print(terminal, `unchanged  ${path}`);
  for (const note of outcome.notes) print(terminal, note);
}
