/** A containerd with its own root, state and socket. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '../../src/oci/digest.ts';
import { requirement } from '../skip-reasons.ts';
import { HOST_ARCHITECTURE } from './image-builder.ts';
import { endProcess, isInstalled, run, until, type ProgramResult } from './programs.ts';

/** True when containerd and ctr can be run; states the requirement otherwise. */
export function requireContainerd(): boolean {
  const isThere = process.getuid?.() === 0 && isInstalled('containerd') && isInstalled('ctr');
  return requirement('containerd', isThere, 'apt-get install containerd, and run as root');
}

const UNUSED_PLUGINS = [
  'io.containerd.grpc.v1.cri',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.zfs',
];

/** Start it with `open`, close it with `await using`. */
export class TestContainerd implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#directory = directory;
    this.#process = process;
  }

  static async open(): Promise<TestContainerd> {
    const directory = await mkdtemp(join(tmpdir(), 'dockyard-containerd-'));
    const config = [
      'version = 2',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      `disabled_plugins = ${JSON.stringify(UNUSED_PLUGINS)}`,
      '[grpc]',
      `  address = "${directory}/containerd.sock"`,
      '[plugins."io.containerd.internal.v1.opt"]',
      `  path = "${directory}/opt"`,
    ];
    await writeFile(join(directory, 'config.toml'), config.join('\n'));
    const child = spawn('containerd', ['--config', join(directory, 'config.toml')], { stdio: 'ignore' });
    const containerd = new TestContainerd(directory, child);
    try {
      await until('containerd answers', async () => {
        if (child.exitCode !== null) throw new Error('containerd ended at its start');
        return (await containerd.ctr('version')).exitCode === 0;
      });
    } catch (error) {
      await containerd[Symbol.asyncDispose]();
      throw error;
    }
    return containerd;
  }

  /** Runs `ctr`, the client of containerd. */
  ctr(...args: string[]): Promise<ProgramResult> {
    return run('ctr', ['--address', join(this.#directory, 'containerd.sock'), '-n', 'test', ...args]);
  }

  /**
   * Pulls an image from mirrors in their order, and then from the server, as `hosts.toml` says.
   * @param mirrors each `http://HOST:PORT`
   * @param server likewise; default: the host of the reference itself
   */
  async pull(reference: string, mirrors: readonly string[], server?: string): Promise<ProgramResult> {
    const hosts = join(this.#directory, 'hosts');
    const registry = reference.slice(0, reference.indexOf('/'));
    await mkdir(join(hosts, registry), { recursive: true });
    const tables = mirrors.map((mirror) => `[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n`);
    const first = server === undefined ? '' : `server = "${server}"\n`;
    await writeFile(join(hosts, registry, 'hosts.toml'), `${first}${tables.join('')}`);
    return await this.pullWithHosts(reference, hosts);
  }

  /** Pulls an image by a folder with `hosts.toml` files. */
  async pullWithHosts(reference: string, hosts: string): Promise<ProgramResult> {
    const options = ['--snapshotter', 'native', '--platform', `linux/${HOST_ARCHITECTURE}`, '--plain-http'];
    return await this.ctr('images', 'pull', ...options, '--hosts-dir', hosts, reference);
  }

  /** Removes all images and all that belongs to them. */
  async forgetAll(): Promise<void> {
    const images = await this.ctr('images', 'ls', '-q');
    for (const reference of linesOf(images.output)) await this.ctr('images', 'rm', '--sync', reference);
    // Blobs outlive their image for as long as a lease of the pull is there.
    const blobs = await this.ctr('content', 'ls', '-q');
    await this.ctr('content', 'rm', ...linesOf(blobs.output));
  }

  /** The SHA-256 of a blob as containerd holds it. */
  async digestOfHeld(digest: Digest): Promise<string> {
    const path = join(
      this.#directory,
      'root/io.containerd.content.v1.content/blobs/sha256',
      digest.slice('sha256:'.length),
    );
    const { output } = await run('sha256sum', [path]);
    return `sha256:${output.slice(0, 64)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#process);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function linesOf(output: string): string[] {
  return output.split('\n').filter((line) => line !== '');
}
