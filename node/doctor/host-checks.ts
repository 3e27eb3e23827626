/** The checks of the doctor that are made on the host: ports, and whether clients are pointed at the node. */
import { connect } from 'node:net';
import { asError } from '../../src/oci/error.ts';
import type { CheckReport, StatusReport } from '../admin/reports.ts';
import { parseHostPort, type HostPort } from '../config/address.ts';
import { reachable } from '../composition/admin-subject.ts';
import { ALL_REGISTRIES } from '../mirror/containerd.ts';
import { readContainerdConfig } from '../mirror/containerd-config.ts';
import { listRegistryMirrors } from '../mirror/daemon-json.ts';
import { RootedFiles } from '../mirror/files.ts';
import { hasHost } from '../mirror/hosts-toml.ts';
import { podmanDropIn } from '../mirror/podman.ts';
import { listMirrors, mirrorLocation } from '../mirror/registries-conf.ts';
import type { MirrorScope } from '../mirror/scope.ts';

const CONNECT_TIMEOUT_MS = 2_000;

/** Tries the ports that a node says it listens on, from this host. */
export async function checkPorts(addresses: StatusReport['addresses']): Promise<CheckReport[]> {
  const ports = [
    ['registry port', addresses.facade],
    ['swarm port', addresses.swarm],
    ['data port', addresses.data],
  ] as const;
  const given = ports.flatMap(([name, text]) => {
    const address = text === undefined ? undefined : parseHostPort(text);
    return address === undefined ? [] : [{ name, address: reachable(address) }];
  });
  return await Promise.all(given.map(async ({ name, address }) => await checkPort(name, address)));
}

async function checkPort(name: string, address: HostPort): Promise<CheckReport> {
  const place = `${address.host} port ${address.port}`;
  try {
    await tryConnect(address);
    return { name, state: 'ok', seen: `${place} answers` };
  } catch (error) {
    const remedy = 'Check that the node runs and that no local firewall is in the way.';
    return { name, state: 'fail', seen: `${place}: ${asError(error).message}`, remedy };
  }
}

function tryConnect(address: HostPort): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address.host, port: address.port, timeout: CONNECT_TIMEOUT_MS });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(new Error('it takes too long')));
    socket.once('error', reject);
  });
}

/**
 * Looks into the configuration of the clients of this host.
 * @param scopes the clients of the system, and those of the user who asks
 * @param url the node's registry
 */
export async function checkClients(root: string, scopes: readonly MirrorScope[], url: string): Promise<CheckReport[]> {
  const files = new RootedFiles(root);
  const findings: CheckReport[] = [];
  for (const scope of scopes) {
    const suffix = scope.name === 'user' ? ' (rootless)' : '';
    const found = [
      await checked(`containerd${suffix}`, () => findInContainerd(files, scope, url)),
      await checked(`docker${suffix}`, () => findInDocker(files, scope, url)),
      await checked(`podman${suffix}`, () => findInPodman(files, scope, url)),
    ];
    findings.push(...found.filter((finding) => finding !== undefined));
  }
  if (findings.length > 0) return findings;
  const remedy = 'Run: dockyard mirror install containerd|docker|podman (with --user for clients without root)';
  return [{ name: 'clients', state: 'warn', seen: `no client of this host is pointed at ${url}`, remedy }];
}

async function checked(
  client: string,
  find: () => Promise<Omit<CheckReport, 'name'> | undefined>,
): Promise<CheckReport | undefined> {
  try {
    const finding = await find();
    return finding === undefined ? undefined : { name: `client ${client}`, ...finding };
  } catch (error) {
    const remedy = 'Correct the file; the client itself may refuse to start with it.';
    return { name: `client ${client}`, state: 'fail', seen: asError(error).message, remedy };
  }
}

type Finding = Omit<CheckReport, 'name'> | undefined;

async function findInContainerd(files: RootedFiles, scope: MirrorScope, url: string): Promise<Finding> {
  const text = await files.readText(scope.containerdConfig);
  const { certsDirectory } = readContainerdConfig(text, scope.containerdConfig);
  const directory = certsDirectory ?? scope.containerdCerts;
  const registries = await registriesWith(files, directory, url);
  if (registries.length === 0) return undefined;
  const seen = `${directory} sends ${registries.join(', ')} to ${url}`;
  // nerdctl, which users run without root, looks there by itself.
  if (certsDirectory !== undefined || scope.name === 'user') return { state: 'ok', seen };
  const remedy = `Kubernetes needs config_path in ${scope.containerdConfig}: dockyard mirror install containerd --config-path, then restart containerd.`;
  return { state: 'warn', seen: `${seen}, but config_path is not set`, remedy };
}

async function findInDocker(files: RootedFiles, scope: MirrorScope, url: string): Promise<Finding> {
  const mirrors = listRegistryMirrors(await files.readText(scope.dockerConfig), scope.dockerConfig);
  const registries = await registriesWith(files, scope.dockerCerts, url);
  const hub = mirrors.some((mirror) => mirror.replace(/\/+$/, '') === url) ? ['registry-mirrors'] : [];
  const found = [...hub, ...registries.map((name) => `certs.d/${name}`)];
  return found.length === 0 ? undefined : { state: 'ok', seen: `${found.join(', ')} name ${url}` };
}

async function findInPodman(files: RootedFiles, scope: MirrorScope, url: string): Promise<Finding> {
  const path = podmanDropIn(scope);
  const text = await files.readText(path);
  if (text === undefined) return undefined;
  const file = { path, text };
  const names = [...text.matchAll(/^prefix = "([^"]+)"/gm)].map(([, name = '']) => name);
  const found = names.filter((name) => listMirrors(file, name).includes(mirrorLocation(url, name)));
  return found.length === 0 ? undefined : { state: 'ok', seen: `${path} sends ${found.join(', ')} to ${url}` };
}

async function registriesWith(files: RootedFiles, directory: string, url: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(directory)) {
    const path = `${directory}/${name}/hosts.toml`;
    const text = await files.readText(path);
    if (text !== undefined && hasHost(text, path, url)) found.push(name === ALL_REGISTRIES ? 'all registries' : name);
  }
  return found;
}
