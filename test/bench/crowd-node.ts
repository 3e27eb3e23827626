/** A node of a crowd: a real process with an empty folder, on a host of its own. */
import { open, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import type { PeerReport } from '../../node/admin/reports.ts';
import { MAIN, NODE_FLAGS } from '../support/node-process.ts';
import { processUsage, type LabHost, type NetworkLab } from '../support/network-lab.ts';
import { until } from '../support/programs.ts';

const ADMIN = 'http://127.0.0.1:5001';
const START_TIMEOUT_MS = 120_000;
/** How often is asked: so seldom that it costs nothing of what is measured. */
export const SELDOM_MS = 200;
/** How long a node that is asked to end may take, so that it can write its profile. */
const END_TIMEOUT_MS = 20_000;
const TOLD_LOG_CHARACTERS = 2000;

/** How a node is started. */
export interface CrowdNodeOptions {
  /** Holds its data and its log; its own, and empty. */
  readonly folder: string;
  readonly args: readonly string[];
  /** Where it writes a CPU profile when it ends; undefined for none. */
  readonly profileFolder: string | undefined;
}

/** What a node has used so far. */
export interface NodeUsage {
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export class CrowdNode {
  /** `HOST:PORT` of its registry, for clients on its host. */
  static readonly facade = '127.0.0.1:5000';

  readonly host: LabHost;
  readonly child: ChildProcess;
  readonly #lab: NetworkLab;
  readonly #logPath: string;

  private constructor(lab: NetworkLab, host: LabHost, child: ChildProcess, logPath: string) {
    this.#lab = lab;
    this.host = host;
    this.child = child;
    this.#logPath = logPath;
  }

  /** Starts a node and waits until it is ready. @throws {Error} with the end of its log when it does not get ready */
  static async start(lab: NetworkLab, host: LabHost, options: CrowdNodeOptions): Promise<CrowdNode> {
    const data = join(options.folder, 'data');
    await mkdir(data, { recursive: true });
    const logPath = join(options.folder, 'log');
    await using output = await open(logPath, 'w');
    const addresses = ['--listen', CrowdNode.facade, '--admin', '127.0.0.1:5001', '--swarm', `${host.address}:5002`];
    const profile =
      options.profileFolder === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${options.profileFolder}`, '--cpu-prof-interval=500'];
    const child = lab.start(
      host,
      process.execPath,
      [...NODE_FLAGS, ...profile, MAIN, 'node', '--data', data, ...addresses, ...options.args],
      // Explained in node/main.ts.
      { stdio: ['ignore', output.fd, output.fd], env: { ...process.env, MALLOC_ARENA_MAX: '2' } },
    );
    const node = new CrowdNode(lab, host, child, logPath);
    try {
      await until(`the node on ${host.name} is ready`, async () => await node.#isReady(), START_TIMEOUT_MS, SELDOM_MS);
    } catch (error) {
      throw new Error(`a node did not start: ${await node.logEnd()}`, { cause: error });
    }
    return node;
  }

  /** The members that this node thinks alive, itself included. */
  async peers(): Promise<readonly PeerReport[]> {
    return JSON.parse(await this.#get('/peers')) as readonly PeerReport[];
  }

  /** Blob bytes that it took in by source, and that it gave to peers, so far. */
  async bytes(): Promise<{ fromPeers: number; fromOrigin: number; toPeers: number }> {
    const text = await this.#get('/metrics');
    const value = (name: string, label: string): number =>
      text
        .split('\n')
        .filter((line) => line.startsWith(`${name}{`) && line.includes(label))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    return {
      fromPeers: value('dockyard_received_bytes_total', 'source="peer"'),
      fromOrigin: value('dockyard_received_bytes_total', 'source="origin"'),
      toPeers: value('dockyard_served_bytes_total', 'to="peer"'),
    };
  }

  /** What it has used; undefined once it has ended. */
  async usage(): Promise<NodeUsage | undefined> {
    if (this.child.pid === undefined || this.#hasEnded) return undefined;
    return await processUsage(this.child.pid);
  }

  /** The last lines of its log. */
  async logEnd(): Promise<string> {
    return (await readFile(this.#logPath, 'utf8')).slice(-TOLD_LOG_CHARACTERS);
  }

  /** Asks the node to end, so that it can write what it writes at its end. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGCONT');
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), END_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  }

  get #hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async #isReady(): Promise<boolean> {
    if (this.#hasEnded) throw new Error(`the node on ${this.host.name} ended at its start`);
    return await this.#get('/readyz').then(
      () => true,
      () => false,
    );
  }

  async #get(path: string): Promise<string> {
    return await this.#lab.exec(this.host, 'curl', ['-sSf', '--max-time', '20', `${ADMIN}${path}`]);
  }
}

/** What nodes have used so far, under their names; without those that have ended. */
export async function usageOf(nodes: readonly CrowdNode[]): Promise<Record<string, NodeUsage>> {
  const usages = await Promise.all(nodes.map(async (node) => [node.host.name, await node.usage()] as const));
  return Object.fromEntries(usages.flatMap(([name, usage]) => (usage === undefined ? [] : [[name, usage]])));
}
