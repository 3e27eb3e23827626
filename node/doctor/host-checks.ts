/** The checks of the doctor that are made on the host: ports, and whether clients are pointed at the node. */
import { connect } from 'node:net';
import { canonicalUpstream } from '../../src/oci/docker-hub.ts';
import { asError } from '../../src/oci/error.ts';
import type { CheckReport, StatusReport } from '../admin/reports.ts';
import { parseHostPort, reachable, type HostPort } from '../config/address.ts';
import { ALL_REGISTRIES } from '../mirror/containerd.ts';
import { readContainerdConfig } from '../mirror/containerd-config.ts';
import { listRegistryMirrors } from '../mirror/daemon-json.ts';
import { RootedFiles } from '../mirror/files.ts';
import { hasHost } from '../mirror/hosts-toml.ts';
import { podmanDropIn } from '../mirror/podman.ts';
import { listMirrors, mirrorLocation } from '../mirror/registries-conf.ts';
import type { MirrorScope } from '../mirror/scope.ts';

const CONNECT_TIMEOUT_MS = 2_000;
/** How a file for all registries is told of. */
const EVERY_REGISTRY = 'all registries';

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

/** The node that clients should be pointed at. */
export interface PointedAt {
  /** Of its registry. */
  readonly url: string;
  /** Names of its upstreams; `undefined` when it did not tell. */
  readonly served: readonly string[] | undefined;
}

/**
 * Looks into the configuration of the clients of this host.
 * @param scopes the clients of the system, and those of the user who asks
 */
export async function checkClients(
  root: string,
  scopes: readonly MirrorScope[],
  node: PointedAt,
): Promise<CheckReport[]> {
  const { url } = node;
  const files = new RootedFiles(root);
  const findings: CheckReport[] = [];
  for (const scope of scopes) {
    const suffix = scope.name === 'user' ? ' (rootless)' : '';
    const found = [
      await checked(`containerd${suffix}`, () => findInContainerd(files, scope, node)),
      await checked(`docker${suffix}`, () => findInDocker(files, scope, node)),
      await checked(`podman${suffix}`, () => findInPodman(files, scope, node)),
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

async function findInContainerd(files: RootedFiles, scope: MirrorScope, node: PointedAt): Promise<Finding> {
  const { url } = node;
  const text = await files.readText(scope.containerdConfig);
  const { certsDirectory } = readContainerdConfig(text, scope.containerdConfig);
  const directory = certsDirectory ?? scope.containerdCerts;
  const registries = await registriesWith(files, directory, url);
  if (registries.length === 0) return undefined;
  const seen = `${directory} sends ${registries.join(', ')} to ${url}`;
  // nerdctl, which users run without root, looks there by itself.
  if (certsDirectory !== undefined || scope.name === 'user') return finding(seen, registries, node);
  const remedy = `Kubernetes needs config_path in ${scope.containerdConfig}: dockyard mirror install containerd --config-path, then restart containerd.`;
  return { state: 'warn', seen: `${seen}, but config_path is not set`, remedy };
}

async function findInDocker(files: RootedFiles, scope: MirrorScope, node: PointedAt): Promise<Finding> {
  const { url } = node;
  const mirrors = listRegistryMirrors(await files.readText(scope.dockerConfig), scope.dockerConfig);
  const registries = await registriesWith(files, scope.dockerCerts, url);
  const hub = mirrors.some((mirror) => mirror.replace(/\/+$/, '') === url) ? ['registry-mirrors'] : [];
  const found = [...hub, ...registries.map((name) => `certs.d/${name}`)];
  return found.length === 0 ? undefined : finding(`${found.join(', ')} name ${url}`, registries, node);
}

async function findInPodman(files: RootedFiles, scope: MirrorScope, node: PointedAt): Promise<Finding> {
  const { url } = node;
  const path = podmanDropIn(scope);
  const text = await files.readText(path);
  if (text === undefined) return undefined;
  const file = { path, text };
  const names = [...text.matchAll(/^prefix = "([^"]+)"/gm)].map(([, name = '']) => name);
  const found = names.filter((name) => listMirrors(file, name).includes(mirrorLocation(url, name)));
  return found.length === 0 ? undefined : finding(`${path} sends ${found.join(', ')} to ${url}`, found, node);
}

/** What a client sends to the node is of use where the node serves it; else the client goes on to the registry itself. */
function finding(seen: string, registries: readonly string[], { served }: PointedAt): Finding {
  const known = new Set(served?.map(canonicalUpstream));
  const lacking = registries.filter((name) => {
    const [host = ''] = name.split('/');
    return name !== EVERY_REGISTRY && served !== undefined && !known.has(canonicalUpstream(host));
  });
  if (lacking.length === 0) return { state: 'ok', seen };
  const flags = lacking.map((name) => `--upstream ${name}=https://${name}`).join(' ');
  const remedy = `Start the node with ${flags}, or point the client at it for other registries.`;
  return { state: 'warn', seen: `${seen}, which does not serve ${lacking.join(', ')}`, remedy };
}

async function registriesWith(files: RootedFiles, directory: string, url: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(directory)) {
    const path = `${directory}/${name}/hosts.toml`;
    const text = await files.readText(path);
    if (text !== undefined && hasHost(text, path, url)) found.push(name === ALL_REGISTRIES ? EVERY_REGISTRY : name);
  }
  return found;
}
