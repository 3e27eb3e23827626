/** `node` and `seed`: the commands that run until they are stopped. `key` and `config check`, which prepare them. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load.ts';
import { effectiveYaml } from '../config/effective.ts';
import type { CommandContext } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { addNodeFlags, loadGivenConfig } from './node-flags.ts';
import { print } from './terminal.ts';

/** Adds the commands. */
export function addProcessCommands(program: Command, context: CommandContext): void {
  const { terminal, facts, version } = context;
  const roles = {
    node: 'run a node: a registry for this host that shares layers with other nodes',
    seed: 'run a seed: a node that also takes pushes, and keeps what it is given',
  } as const;
  for (const role of ['node', 'seed'] as const) {
    const command = program.command(role).description(roles[role]);
    addNodeFlags(command).action(async () => {
      const tell = (line: string): void => void terminal.out.write(`${line}\n`);
      const loadConfig = (): LoadedConfig => loadGivenConfig(command, facts);
      const { runNode } = await import('../composition/run-node.ts');
      const code = await runNode({ version, role, loadConfig, tell });
      context.exitWith(code === 0 ? EXIT.ok : EXIT.failed);
    });
  }
  program
    .command('key')
    .description('print a new swarm key: dockyard key > swarm.key')
    .action(async () => {
      const { generateSwarmKey } = await import('../../src/swarm/swarm-key.ts');
      terminal.out.write(generateSwarmKey(randomBytes).toFileText());
    });
  const check = program.command('config').description('the configuration').command('check');
  check.description('say what is wrong with the configuration, or print what a node would use');
  addNodeFlags(check).action(async () => {
    const loaded = loadGivenConfig(check, facts);
    const { pino } = await import('pino');
    const { readNamedFiles } = await import('../composition/preflight.ts');
    await readNamedFiles(loaded.config, pino({ level: 'silent' }));
    print(terminal, effectiveYaml(loaded).trimEnd());
  });
}
