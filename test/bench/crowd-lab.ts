/**
 * A cluster on one machine: hosts with network namespaces and shaped links, a node on each, docker-registry on a host of its
 * own. All folders are new and empty, and gone afterwards.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Digest } from '../../src/oci/digest.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import { startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts';
import { NetworkLab, processUsage, type LabHost } from '../support/network-lab.ts';
import { CrowdNode, SELDOM_MS } from './crowd-node.ts';
import { onInterruption } from './interruption.ts';
import { until } from '../support/programs.ts';

/** The name under which nodes know the origin. */
export const UPSTREAM = 'bench.local';
/** Where everything is. */
export const REPOSITORY = 'team/app';

const CAPPED_ORIGIN = fileURLToPath(new URL('capped-origin-child.ts', import.meta.url));
const REGISTRY_PORT = 5000;
const CAPPED_PORT = 5001;
const START_TIMEOUT_MS = 60_000;

/** What the cluster is like. */
export interface CrowdLabOptions {
  readonly nodes: number;
  /** Of every link, the origin's too, each way. */
  readonly rateBits: number;
  /** What the origin gives to each connection; undefined: whatever the link does. */
  readonly connectionRateBits?: number | undefined;
  /** Where nodes write CPU profiles when they end; undefined for none. */
  readonly profileFolder?: string | undefined;
}

/** Made by `open`; `await using` ends all processes and removes all namespaces and files. */
export class CrowdLab implements AsyncDisposable {
  readonly net: NetworkLab;
  readonly originHost: LabHost;
  /** Where nodes find the origin. */
  readonly originUrl: string;
  readonly nodes: readonly CrowdNode[];
  /** For what clients write. */
  readonly folder: string;
  readonly #origins: ChildProcess[];
  readonly #close: () => Promise<void>;

  private constructor(parts: {
    net: NetworkLab;
    originHost: LabHost;
    originUrl: string;
    nodes: readonly CrowdNode[];
    folder: string;
    origins: ChildProcess[];
    close: () => Promise<void>;
  }) {
    this.net = parts.net;
    this.originHost = parts.originHost;
    this.originUrl = parts.originUrl;
    this.nodes = parts.nodes;
    this.folder = parts.folder;
    this.#origins = parts.origins;
    this.#close = parts.close;
  }

  /**
   * Starts everything; resolves when all nodes know each other.
   * @param fill puts into the origin what will be pulled, before there are links
   */
  static async open(
    options: CrowdLabOptions,
    fill: (registry: DockerRegistry, folder: string) => Promise<void>,
    log: (line: string) => void,
  ): Promise<CrowdLab> {
    const resources = new AsyncDisposableStack();
    let closing: Promise<void> | undefined;
    // Whoever comes second waits for the end too.
    const close = async (): Promise<void> => await (closing ??= resources.disposeAsync());
    resources.use(onInterruption(close));
    try {
      const folder = await mkdtemp(join(tmpdir(), 'dockyard-crowd-'));
      resources.defer(async () => await rm(folder, { recursive: true, force: true }));
      await fillRegistry(folder, fill);
      const net = resources.use(await NetworkLab.open());
      const originHost = await net.addHost('origin', { rateBits: options.rateBits });
      const { origins, originUrl } = await startOrigin(net, originHost, folder, options.connectionRateBits);
      const nodes = await startNodes(net, originUrl, folder, options);
      await untilAllKnowAll(nodes);
      log(`  ${nodes.length} nodes know each other`);
      return new CrowdLab({ net, originHost, originUrl, nodes, folder, origins, close });
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** The node that is home to a digest, as the nodes themselves compute it. */
  async homeOf(digest: Digest): Promise<CrowdNode> {
    const ids = await Promise.all(
      this.nodes.map(async (node) => (await node.peers()).find(({ isSelf }) => isSelf)?.peerId ?? ''),
    );
    const members = ids.map((peerId) => ({ peerId, dataAddresses: [], topology: '' }));
    const [home] = rankHomes(digest, members, 1);
    const node = this.nodes[ids.indexOf(home?.peerId ?? '')];
    if (node === undefined) throw new Error('no node is home');
    return node;
  }

  /** Bytes that have left the origin's link so far. */
  async originSentBytes(): Promise<number> {
    return (await this.net.traffic(this.originHost)).sentBytes;
  }

  /** Processor seconds of the origin so far, a line in front of it included. */
  async originCpuSeconds(): Promise<number> {
    const usages = this.#origins.map(async ({ pid }) => (await processUsage(pid ?? 0)).cpuSeconds);
    return (await Promise.all(usages)).reduce((sum, seconds) => sum + seconds, 0);
  }

  /** Takes the origin away for good. */
  killOrigin(): void {
    for (const origin of this.#origins.splice(0)) origin.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** Through loopback, since what a push takes is not of interest. */
async function fillRegistry(
  folder: string,
  fill: (registry: DockerRegistry, folder: string) => Promise<void>,
): Promise<void> {
  await using registry = await startDockerRegistry(folder);
  await fill(registry, folder);
}

async function startOrigin(
  net: NetworkLab,
  host: LabHost,
  folder: string,
  connectionRateBits: number | undefined,
): Promise<{ origins: ChildProcess[]; originUrl: string }> {
  // What has a capped line in front of it is not to be reached beside it.
  const address = connectionRateBits === undefined ? '0.0.0.0' : '127.0.0.1';
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'storage') } },
    http: { addr: `${address}:${REGISTRY_PORT}` },
  };
  const path = join(folder, 'origin.yml');
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config));
  const origins = [net.start(host, 'docker-registry', ['serve', path], { stdio: 'ignore' })];
  let port = REGISTRY_PORT;
  if (connectionRateBits !== undefined) {
    port = CAPPED_PORT;
    const args = [CAPPED_ORIGIN, port, REGISTRY_PORT, connectionRateBits].map(String);
    origins.push(net.start(host, process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] }));
  }
  await until(
    'the origin answers',
    async () => {
      const asked = net.exec(host, 'curl', ['-sf', '-o', '/dev/null', `http://127.0.0.1:${port}/v2/`]);
      return await asked.then(
        () => true,
        () => false,
      );
    },
    START_TIMEOUT_MS,
    SELDOM_MS,
  );
  return { origins, originUrl: `http://${host.address}:${port}` };
}

async function startNodes(
  net: NetworkLab,
  originUrl: string,
  folder: string,
  options: CrowdLabOptions,
): Promise<CrowdNode[]> {
  const key = join(folder, 'swarm.key');
  await writeFile(key, `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  const hosts: LabHost[] = [];
  while (hosts.length < options.nodes)
    hosts.push(await net.addHost(`n${hosts.length}`, { rateBits: options.rateBits }));
  const start = async (host: LabHost, args: readonly string[]): Promise<CrowdNode> => {
    const own = join(folder, host.name);
    await mkdir(own);
    const common = ['--swarm-key', key, '--upstream', `${UPSTREAM}=${originUrl}`];
    return await CrowdNode.start(net, host, {
      folder: own,
      args: [...common, ...args],
      profileFolder: options.profileFolder,
    });
  };
  const [firstHost, ...others] = hosts;
  if (firstHost === undefined) return [];
  const first = await start(firstHost, []);
  const bootstrap = ['--bootstrap', `${firstHost.address}:5002`];
  return [first, ...(await Promise.all(others.map(async (host) => await start(host, bootstrap))))];
}

async function untilAllKnowAll(nodes: readonly CrowdNode[]): Promise<void> {
  for (const node of nodes) {
    await until(
      `${node.host.name} knows ${nodes.length} members`,
      async () => (await node.peers()).length === nodes.length,
      START_TIMEOUT_MS,
      SELDOM_MS,
    );
  }
}
