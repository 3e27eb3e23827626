/** `node` and `tracker`: the commands that run until they are stopped. `key` and `config check`, which prepare them. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { pino } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { isDockyardError } from '../../src/oci/error.ts';
import { generateSwarmKey } from '../../src/swarm/swarm-key.ts';
import { openTracker, TRACKER_DEFAULTS } from '../../tracker/tracker.ts';
import { createLog } from '../composition/log.ts';
import { readNamedFiles } from '../composition/preflight.ts';
import { runNode } from '../composition/run-node.ts';
import { formatHostPort, parseHostPort } from '../config/address.ts';
import type { LoadedConfig } from '../config/load.ts';
import { effectiveYaml } from '../config/effective.ts';
import { nodeError } from '../errors.ts';
import { listenFailure } from '../listen-failure.ts';
import type { CommandContext } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { addNodeFlags, loadGivenConfig } from './node-flags.ts';
import { print } from './terminal.ts';

const DEFAULT_TRACKER_LISTEN = '0.0.0.0:6969';

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
      const code = await runNode({ version, role, loadConfig, tell });
      context.exitWith(code === 0 ? EXIT.ok : EXIT.failed);
    });
  }
  program
    .command('tracker')
    .description('run a tracker: a second way for nodes to find each other')
    .option('--listen <HOST:PORT>', 'where it listens, over TCP and UDP', DEFAULT_TRACKER_LISTEN)
    .action(async ({ listen }: { listen: string }) => await runTracker(listen, context));
  program
    .command('key')
    .description('print a new swarm key: dockyard key > swarm.key')
    .action(() => {
      terminal.out.write(generateSwarmKey(randomBytes).toFileText());
    });
  const check = program.command('config').description('the configuration').command('check');
  check.description('say what is wrong with the configuration, or print what a node would use');
  addNodeFlags(check).action(async () => {
    const loaded = loadGivenConfig(check, facts);
    await readNamedFiles(loaded.config, pino({ level: 'silent' }));
    print(terminal, effectiveYaml(loaded).trimEnd());
  });
}

async function runTracker(listen: string, { terminal, facts }: CommandContext): Promise<void> {
  const address = parseHostPort(listen);
  if (address === undefined) throw nodeError('ERR_USAGE', `--listen: '${listen}' is not HOST:PORT`);
  const metrics = new Registry();
  collectDefaultMetrics({ register: metrics });
  const log = createLog({ level: 'info', format: facts.isTerminal ? 'pretty' : 'json' });
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  process.once('SIGTERM', end).once('SIGINT', end);
  await using tracker = await openTracker({ log, metrics }, { listen: address, ...TRACKER_DEFAULTS }).catch(
    (error: unknown) => {
      throw isDockyardError(error, 'ERR_TRACKER_LISTEN') ? listenFailure('tracker', address, error.cause) : error;
    },
  );
  const place = formatHostPort({ host: address.host, port: tracker.port });
  print(
    terminal,
    `Dockyard tracker on http://${place}/announce and udp://${place} · give nodes --tracker http://<this host>:${tracker.port}/announce`,
  );
  const signal = await ended;
  log.info({ signal, ...tracker.stats() }, 'tracker stopping');
}
