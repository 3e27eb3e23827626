/** What benchmarks run against: a docker-registry with random blobs, and nodes in processes of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '../../src/oci/digest.ts';
import { startDockerRegistry, type DockerRegistry, type DockerRegistryOptions } from '../support/docker-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, run } from '../support/programs.ts';
import { onInterruption } from './interruption.ts';
import { pushRandomBlob } from './random-blob.ts';

/** The name under which nodes know the registry. */
export const UPSTREAM = 'bench.local';
/** Where all blobs are. */
export const REPOSITORY = 'team/app';

const MAX_START_ATTEMPTS = 5;
/** How long a node that is asked to end may take, so that it can write its profile. */
const END_TIMEOUT_MS = 20_000;

/** How a node is started. */
export interface NodeOptions {
  /** Default: the registry of this net. */
  readonly upstreamUrl?: string | undefined;
  /** The node to meet the others through. */
  readonly bootstrap?: BenchNode | undefined;
}

/** A node and its folder. */
export interface BenchNode {
  readonly process: NodeProcess;
  readonly folder: string;
}

/** Made by `BenchNet.open`; `await using` ends all processes and removes all files. */
export class BenchNet implements AsyncDisposable {
  readonly #folder: string;
  readonly #profileFolder: string | undefined;
  readonly #nodes = new Set<BenchNode>();
  readonly registry: DockerRegistry;
  #closing: Promise<void> | undefined;
  readonly #interruption = onInterruption(async () => await (this.#closing ??= this.#close('SIGKILL')));
  #nextNode = 1;

  private constructor(folder: string, registry: DockerRegistry, profileFolder: string | undefined) {
    this.#folder = folder;
    this.registry = registry;
    this.#profileFolder = profileFolder;
  }

  /**
   * @param profileFolder where nodes write a CPU profile when they end; default: they write none
   * @param registryOptions how the registry is started
   * @throws {Error} when a program is not installed
   */
  static async open(profileFolder?: string, registryOptions: DockerRegistryOptions = {}): Promise<BenchNet> {
    for (const program of ['docker-registry', 'curl', 'openssl']) {
      if (!isInstalled(program))
        throw new Error(`${program} is not installed: apt-get install docker-registry curl openssl`);
    }
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-bench-'));
    try {
      return new BenchNet(folder, await startDockerRegistry(folder, registryOptions), profileFolder);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Puts a blob of random bytes into the registry. */
  async pushBlob(sizeBytes: number): Promise<Digest> {
    return await pushRandomBlob(this.registry.url, REPOSITORY, this.#folder, sizeBytes);
  }

  /** Where the registry serves a blob. */
  registryUrl(digest: Digest): string {
    return `${this.registry.url}/v2/${REPOSITORY}/blobs/${digest}`;
  }

  /** Where a node serves a blob. */
  nodeUrl(node: BenchNode, digest: Digest): string {
    return `http://${node.process.facade}/v2/${UPSTREAM}/${REPOSITORY}/blobs/${digest}`;
  }

  /** Starts a node with an empty folder; answers when it is ready and knows the node that it meets the others through. */
  async startNode(options: NodeOptions = {}): Promise<BenchNode> {
    const folder = join(this.#folder, `node-${this.#nextNode++}`);
    await mkdir(folder);
    const flags = ['--data', folder, '--upstream', `${UPSTREAM}=${options.upstreamUrl ?? this.registry.url}`];
    if (options.bootstrap !== undefined) flags.push('--bootstrap', await options.bootstrap.process.swarm());
    const node = { process: await startProcess(flags, this.#environment()), folder };
    this.#nodes.add(node);
    if (options.bootstrap !== undefined) {
      await node.process.untilMembers(2);
      await options.bootstrap.process.untilMembers(2);
    }
    return node;
  }

  /**
   * Starts a seed with an empty folder. What is pushed to it may be collected at once.
   * @param fill puts into the folder what a seed would have
   */
  async startSeed(fill: (folder: string) => Promise<void> = async () => await Promise.resolve()): Promise<BenchNode> {
    const folder = join(this.#folder, `node-${this.#nextNode++}`);
    await mkdir(folder);
    await fill(folder);
    const flags = ['--data', folder, '--gc-grace', '1ms'];
    const seed = { process: await NodeProcess.startSeed(flags, undefined, this.#environment()), folder };
    this.#nodes.add(seed);
    return seed;
  }

  /** Removes all that the registry keeps. */
  async clearRegistry(): Promise<void> {
    await rm(join(this.#folder, 'storage'), { recursive: true, force: true });
  }

  /** Ends a node; its files stay until `removeFiles`. */
  async stopNode(node: BenchNode, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.#nodes.delete(node);
    node.process.child.kill(signal);
    const timer = setTimeout(() => node.process.child.kill('SIGKILL'), END_TIMEOUT_MS);
    await node.process.exited();
    clearTimeout(timer);
  }

  /** Removes what an ended node kept. */
  async removeFiles(node: BenchNode): Promise<void> {
    await rm(node.folder, { recursive: true, force: true });
  }

  /** Brings a blob to a node through the front door. */
  async warm(node: BenchNode, digest: Digest): Promise<void> {
    const { exitCode, output } = await run('curl', ['-sfS', '-o', '/dev/null', this.nodeUrl(node, digest)]);
    if (exitCode !== 0) throw new Error(`the node did not get ${digest}: ${output}\n${node.process.err.slice(-4000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#closing ??= this.#close('SIGTERM'));
  }

  #environment(): Record<string, string> {
    if (this.#profileFolder === undefined) return {};
    return { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${this.#profileFolder} --cpu-prof-interval=500` };
  }

  async #close(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    for (const node of this.#nodes) await this.stopNode(node, signal);
    await this.registry.stop();
    await rm(this.#folder, { recursive: true, force: true });
    this.#interruption[Symbol.dispose]();
  }
}

/** A port that was free a moment ago may be taken when the node listens; then it starts with others. */
async function startProcess(flags: readonly string[], environment: Record<string, string>): Promise<NodeProcess> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await NodeProcess.start(flags, environment);
    } catch (error) {
      const isTaken = error instanceof Error && error.message.includes('EADDRINUSE');
      if (!isTaken || attempt === MAX_START_ATTEMPTS) throw error;
    }
  }
}

/** A URL at which nobody answers: an origin that is gone. */
export async function deadUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port');
  return `http://127.0.0.1:${address.port}`;
}

/** Seconds that a shell command takes; its standard output has to contain `expected`. */
export async function timeCommand(command: string, expected: string): Promise<number> {
  const startMs = performance.now();
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  const seconds = (performance.now() - startMs) / 1000;
  if (!output.includes(expected)) throw new Error(`${command} wrote ${JSON.stringify(output)}, not ${expected}`);
  return seconds;
}

/** Seconds that curl takes for a whole blob. */
export async function timeCurl(url: string, sizeBytes: number): Promise<number> {
  return await timeCommand(`curl -s -o /dev/null -w '%{http_code} %{size_download}' '${url}'`, `200 ${sizeBytes}`);
}

/** The most memory that a process had resident so far. */
export async function peakResidentBytes(node: BenchNode): Promise<number> {
  const status = await readFile(`/proc/${node.process.child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** Hundredths of a second are what Linux counts processor time in, on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time that a node took so far, all threads and the kernel on their behalf included. */
export async function processorSeconds(node: BenchNode): Promise<number> {
  const stat = await readFile(`/proc/${node.process.child.pid}/stat`, 'utf8');
  // The second field is the name in parentheses, which may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
