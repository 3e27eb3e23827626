/** Defaults that depend on the machine or on other options. */
import { join } from 'node:path';
import type { HostPort } from './address.ts';
import type { DefaultContext } from './option.ts';

const GIB = 1024 ** 3;

const SYSTEM_DATA_DIRECTORY = '/var/lib/dockyard';

/** Where data is kept: by custom of the system as root, in the home folder otherwise. */
export function defaultDataDirectory({ facts }: DefaultContext): string {
  if (facts.isRoot) return SYSTEM_DATA_DIRECTORY;
  const dataHome = facts.environment['XDG_DATA_HOME'] || join(facts.homeDirectory, '.local', 'share');
  return join(dataHome, 'dockyard');
}

/** Beyond this machine only in a swarm that is closed, or open on purpose. */
export function defaultSwarmListen(context: DefaultContext): HostPort {
  const hasKey = context.earlier('swarm.key') !== undefined;
  return { host: hasKey || context.earlier('swarm.open') === true ? '0.0.0.0' : '127.0.0.1', port: 5002 };
}

/** Beside the swarm port. */
export function defaultSwarmData(context: DefaultContext): HostPort {
  const swarm = context.earlier('swarm.listen') as HostPort;
  // A swarm port of 65535 has no neighbour above it.
  const port = swarm.port === 0 || swarm.port === 65_535 ? 0 : swarm.port + 1;
  return { host: swarm.host, port };
}

/** A node shares its disk with the images that its clients unpack. */
export function defaultStoreSizeBytes(context: DefaultContext): number {
  const fileSystemBytes = context.facts.fileSystemSizeBytes(context.earlier('data') as string);
  return Math.min(50 * GIB, Math.floor(fileSystemBytes / 2));
}

/** Far less than the kubelet starts to evict at, so that a full disk of others does not end sharing. */
export function defaultFreeDiskBytes(context: DefaultContext): number {
  const fileSystemBytes = context.facts.fileSystemSizeBytes(context.earlier('data') as string);
  return Math.min(10 * GIB, Math.floor(fileSystemBytes / 20));
}

/** Where Docker's own client looks, if something is there. */
export function defaultDockerConfig({ facts }: DefaultContext): string | undefined {
  const directory = facts.environment['DOCKER_CONFIG'] || join(facts.homeDirectory, '.docker');
  const file = join(directory, 'config.json');
  return facts.fileExists(file) ? file : undefined;
}
