/** Whose clients are pointed at the node: those of the system, or those that one user runs without root. */
import { join } from 'node:path';
import type { ProcessFacts } from '../config/option.ts';

/** Where the clients of a scope keep their configuration, and how they are told to read it again. */
export interface MirrorScope {
  readonly name: 'system' | 'user';
  /** What `mirror install` and `mirror remove` need to be told to mean this scope. */
  readonly flag: '' | ' --user';
  readonly containerdConfig: string;
  readonly containerdCerts: string;
  readonly dockerConfig: string;
  readonly dockerCerts: string;
  readonly podman: PodmanPlaces;
  /** The folder of the records of what was changed. */
  readonly ledgers: string;
  readonly restartContainerd: string;
  readonly reloadDocker: string;
}

/** @see containers-registries.conf.d(5), "Directories" */
export interface PodmanPlaces {
  /** The one file that is read where it exists, with the folder of our drop-in and no other. */
  readonly ownFile: string | undefined;
  /** The file that is read otherwise. */
  readonly commonFile: string;
  /** Folders of drop-ins beside the common file, in the order in which they are read; ours goes to the last. */
  readonly dropInFolders: readonly [string, ...string[]];
}

const SYSTEM_DROP_INS = '/etc/containers/registries.conf.d';
const SYSTEM_REGISTRIES = '/etc/containers/registries.conf';

/** The clients of the system. */
export const SYSTEM_SCOPE: MirrorScope = {
  name: 'system',
  flag: '',
  containerdConfig: '/etc/containerd/config.toml',
  containerdCerts: '/etc/containerd/certs.d',
  dockerConfig: '/etc/docker/daemon.json',
  dockerCerts: '/etc/docker/certs.d',
  podman: { ownFile: undefined, commonFile: SYSTEM_REGISTRIES, dropInFolders: [SYSTEM_DROP_INS] },
  ledgers: '/var/lib/dockyard/mirror',
  restartContainerd: 'systemctl restart containerd',
  reloadDocker: 'systemctl reload docker',
};

/**
 * The clients that a user runs without root. Docker and containerd follow XDG_CONFIG_HOME; Podman and its kin always look into
 * `~/.config/containers`.
 */
export function userScope({
  environment,
  homeDirectory,
}: Pick<ProcessFacts, 'environment' | 'homeDirectory'>): MirrorScope {
  const config = environment['XDG_CONFIG_HOME'] || join(homeDirectory, '.config');
  const data = environment['XDG_DATA_HOME'] || join(homeDirectory, '.local', 'share');
  const containers = join(homeDirectory, '.config', 'containers');
  return {
    name: 'user',
    flag: ' --user',
    containerdConfig: join(config, 'containerd', 'config.toml'),
    containerdCerts: join(config, 'containerd', 'certs.d'),
    dockerConfig: join(config, 'docker', 'daemon.json'),
    dockerCerts: join(config, 'docker', 'certs.d'),
    podman: {
      ownFile: join(containers, 'registries.conf'),
      commonFile: SYSTEM_REGISTRIES,
      dropInFolders: [SYSTEM_DROP_INS, join(containers, 'registries.conf.d')],
    },
    ledgers: join(data, 'dockyard', 'mirror'),
    restartContainerd: 'systemctl --user restart containerd',
    // A signal to the service reaches rootlesskit, not dockerd.
    reloadDocker: 'systemctl --user restart docker',
  };
}
