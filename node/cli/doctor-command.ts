/** `doctor`: checks the node, its swarm, its upstreams and the clients of this host, and says what to do. */
import type { Command } from 'commander';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import type { CheckReport, CheckState } from '../admin/reports.ts';
import { formatHostPort, parseHostPort, reachable } from '../config/address.ts';
import { checkClients, checkPorts } from '../doctor/host-checks.ts';
import type { AdminClient } from './admin-client.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { SYSTEM_SCOPE, userScope, type MirrorScope } from '../mirror/scope.ts';
import { EXIT } from './exit-codes.ts';
import { existingRoot } from './mirror-command.ts';
import { print, printJson } from './terminal.ts';

const MARKS: Readonly<Record<CheckState, string>> = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' };

/** Adds the command. */
export function addDoctorCommand(program: Command, context: CommandContext): void {
  addReadFlags(
    program.command('doctor').description('check everything that can be wrong, a test blob through a peer included'),
  )
    .option('--root <DIR>', "look for the clients' configuration below DIR", '/')
    .action(async (options: ReadOptions & { root: string }) => {
      const host = {
        root: existingRoot(options.root, context.facts),
        scopes: [SYSTEM_SCOPE, userScope(context.facts)],
      };
      const checks = await examine(adminClient(options, context.facts), host);
      if (options.json === true) printJson(context.terminal, checks);
      else for (const line of checkLines(checks)) print(context.terminal, line);
      context.exitWith(checks.some(({ state }) => state === 'fail') ? EXIT.failed : EXIT.ok);
    });
}

/** All checks that can be made; without a node, those of the host alone. */
async function examine(
  client: AdminClient,
  host: { readonly root: string; readonly scopes: readonly MirrorScope[] },
): Promise<CheckReport[]> {
  try {
    const status = await client.status();
    const facade = parseHostPort(status.addresses.facade);
    const url = `http://${facade === undefined ? status.addresses.facade : formatHostPort(reachable(facade))}`;
    const [readiness, ports, own, clients] = await Promise.all([
      client.readiness(),
      checkPorts(status.addresses),
      client.examine(),
      checkClients(host.root, host.scopes, { url, served: status.upstreams.map(({ name }) => name) }),
    ]);
    const answers: CheckReport = {
      name: 'node',
      state: 'ok',
      seen: `dockyard ${status.version} answers at ${client.url}`,
    };
    const unready = readiness.checks
      .filter(({ ready }) => !ready)
      .map(({ name, seen }): CheckReport => ({
        name: `ready: ${name}`,
        state: 'fail',
        seen,
        remedy: 'Look into the log of the node.',
      }));
    return [answers, ...unready, ...ports, ...own, ...clients];
  } catch (error) {
    if (!isDockyardError(error)) throw error;
    const remedy = 'Start it (dockyard node, systemctl start dockyard), or give its admin address with --admin.';
    const silent: CheckReport = { name: 'node', state: 'fail', seen: asError(error).message, remedy };
    return [
      silent,
      ...(await checkClients(host.root, host.scopes, { url: 'http://127.0.0.1:5000', served: undefined })),
    ];
  }
}

/** The checks as people read them: what to do stands below what was seen. */
export function checkLines(checks: readonly CheckReport[]): string[] {
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks.flatMap(({ name, state, seen, remedy }) => [
    `${MARKS[state]}  ${name.padEnd(width)}  ${seen}`,
    ...(remedy === undefined ? [] : [`${' '.repeat(width + 8)}→ ${remedy}`]),
  ]);
}
