/**
 * A node as a process: started, told of on the terminal, ended by signals, reloaded by SIGHUP. A fault that nobody caught
 * ends it, since what it left behind cannot be trusted; the service manager starts it again.
 */
import type { Logger } from 'pino';
import { asError } from '../../src/oci/error.ts';
import { formatHostPort, reachable } from '../config/address.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { NodeConfig } from '../config/schema.ts';
import { pullHint } from './pull-hint.ts';
import { createLog } from './log.ts';
import type { NodeRole } from './part-configs.ts';
import { startNode, type RunningNode } from './start-node.ts';

/** Parts that hang must not keep the process: after the grace time, so long and no longer. */
const CLOSE_MARGIN_MS = 5_000;

/** Collaborators of the process. */
export interface RunNodeDeps {
  readonly version: string;
  readonly role: NodeRole;
  /** Loads the configuration anew, from the same file, variables and flags. */
  readonly loadConfig: () => LoadedConfig;
  /** For the lines that people read. */
  readonly tell: (line: string) => void;
}

/** Runs a node until a signal ends it; answers the exit code. @throws {DockyardError} when it cannot start */
export async function runNode(deps: RunNodeDeps): Promise<number> {
  const { config, file } = deps.loadConfig();
  const log = createLog(config.log);
  log.info({ version: deps.version, pid: process.pid, file, data: config.data }, 'node starting');
  // Heard from the very start: a signal during the start ends the node as soon as it can be ended.
  const signals = listenToSignals();
  const faults = endOnFault(log);
  const node = await startNode({ log, version: deps.version, role: deps.role }, config).catch((error: unknown) => {
    signals.stop();
    faults.stop();
    throw error;
  });
  for (const line of summaryLines(node, deps.role)) deps.tell(line);
  log.info({ addresses: node.addresses, peerId: node.peerId }, 'node started');
  signals.onReload(() => void reload(node, deps, log));
  const first = await signals.ended;
  return await stop(node, first, signals, log);
}

async function stop(node: RunningNode, first: string, signals: Signals, log: Logger): Promise<number> {
  const { shutdownGraceMs } = node.config().http;
  log.info({ signal: first, graceMs: shutdownGraceMs }, 'node stopping');
  const closing = node.close();
  signals.onSecond((second) => {
    log.warn({ signal: second }, 'node stopping at once');
    node.close(0).catch(() => undefined);
  });
  const hanging = setTimeout(() => {
    log.fatal('node did not stop in time');
    process.exit(1);
  }, shutdownGraceMs + CLOSE_MARGIN_MS);
  hanging.unref();
  try {
    await closing;
  } catch (error) {
    log.error({ err: error }, 'node did not stop cleanly');
    return 1;
  }
  clearTimeout(hanging);
  signals.stop();
  log.info('node stopped');
  return 0;
}

async function reload(node: RunningNode, deps: RunNodeDeps, log: Logger): Promise<void> {
  try {
    const { applied, waiting } = await node.reload(deps.loadConfig().config);
    log.info({ applied }, 'configuration reloaded');
    if (waiting.length > 0) log.warn({ waiting }, 'changed options that need a restart; their old values stay');
  } catch (error) {
    log.error({ err: error }, 'configuration not reloaded; the old one stays');
  }
}

interface Signals {
  /** The first SIGTERM or SIGINT. */
  readonly ended: Promise<string>;
  onSecond(listener: (signal: string) => void): void;
  onReload(listener: () => void): void;
  stop(): void;
}

function listenToSignals(): Signals {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  let isEnding = false;
  let onSecond: (signal: string) => void = () => undefined;
  let onReload: () => void = () => undefined;
  const end = (signal: string): void => {
    if (isEnding) onSecond(signal);
    isEnding = true;
    resolve(signal);
  };
  const hangUp = (): void => onReload();
  process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', hangUp);
  return {
    ended,
    onSecond: (listener) => {
      onSecond = listener;
    },
    onReload: (listener) => {
      onReload = listener;
    },
    stop: () => void process.off('SIGTERM', end).off('SIGINT', end).off('SIGHUP', hangUp),
  };
}

function endOnFault(log: Logger): { stop(): void } {
  const end = (fault: unknown): void => {
    log.fatal({ err: asError(fault) }, 'fault that nobody caught');
    process.exit(1);
  };
  process.on('uncaughtException', end).on('unhandledRejection', end);
  return { stop: () => void process.off('uncaughtException', end).off('unhandledRejection', end) };
}

/** What a person who starts a node wants to know. */
function summaryLines(node: RunningNode, role: NodeRole): string[] {
  const config = node.config();
  const registry = formatHostPort(reachable(node.addresses.facade));
  const [first, ...others] = config.upstreams.map(({ name }) => name);
  const also = others.length === 0 ? '' : `; also ${others.join(', ')}`;
  const push = role === 'seed' ? [`Push here: docker push ${registry}/NAME:TAG`] : [];
  return [
    `Dockyard serves ${first ?? ''}${also} on http://${formatHostPort(node.addresses.facade)} · ${describeSwarm(node, config)} · ` +
      `admin http://${formatHostPort(node.addresses.admin)} · data ${config.data}`,
    `Try: ${pullHint(registry, first ?? '')} · Point all pulls here: dockyard mirror install containerd|docker|podman${mirrorFlags(registry)}`,
    ...push,
  ];
}

function mirrorFlags(registry: string): string {
  return registry === '127.0.0.1:5000' ? '' : ` --url http://${registry}`;
}

function describeSwarm(node: RunningNode, config: NodeConfig): string {
  const { swarm } = node.addresses;
  if (swarm === undefined) return 'no swarm';
  const access =
    config.swarm.key !== undefined
      ? 'closed by a key'
      : config.swarm.open
        ? 'OPEN to whoever reaches it'
        : 'this machine alone';
  return `swarm ${formatHostPort(swarm)}, ${access}`;
}
