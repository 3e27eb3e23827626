/** A dockerd with its own root, state and socket, and no network of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { endProcess, isInstalled, run, until, type ProgramResult } from './programs.ts';

/** True when dockerd and docker can be run; states the requirement otherwise. */
export function requireDockerd(): boolean {
  const isThere = process.getuid?.() === 0 && isInstalled('dockerd') && isInstalled('docker');
  return requirement('dockerd', isThere, 'apt-get install docker.io, and run as root');
}

/** Start it with `open`, close it with `await using`. */
export class TestDockerd implements AsyncDisposable {
  readonly #directory: string;
  readonly #configFile: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, configFile: string, process: ChildProcess) {
    this.#directory = directory;
    this.#configFile = configFile;
    this.#process = process;
  }

  /** @param configFile a daemon.json; default: an empty one */
  static async open(configFile?: string): Promise<TestDockerd> {
    const directory = await mkdtemp(join(tmpdir(), 'dockyard-dockerd-'));
    const config = configFile ?? join(directory, 'daemon.json');
    if (configFile === undefined) await writeFile(config, '{}');
    const args = [
      `--config-file=${config}`,
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false',
      '--ip-forward=false',
      '--storage-driver=vfs',
      `--host=unix://${directory}/docker.sock`,
      `--data-root=${directory}/root`,
      `--exec-root=${directory}/exec`,
      `--pidfile=${directory}/docker.pid`,
    ];
    const child = spawn('dockerd', args, { stdio: 'ignore' });
    const dockerd = new TestDockerd(directory, config, child);
    try {
      await until(
        'dockerd answers',
        async () => {
          if (child.exitCode !== null) throw new Error('dockerd ended at its start');
          return (await dockerd.docker('info')).exitCode === 0;
        },
        30_000,
      );
    } catch (error) {
      await dockerd[Symbol.asyncDispose]();
      throw error;
    }
    return dockerd;
  }

  /** Runs `docker`, the client of dockerd. */
  docker(...args: string[]): Promise<ProgramResult> {
    return run('docker', ['--host', `unix://${this.#directory}/docker.sock`, ...args]);
  }

  /** Lets dockerd ask these, each `http://HOST:PORT`, before Docker Hub, as after `systemctl reload docker`. */
  async useMirrors(urls: readonly string[]): Promise<void> {
    await writeFile(this.#configFile, JSON.stringify({ 'registry-mirrors': urls }));
    await this.reload(urls);
  }

  /** Has dockerd read its configuration again, and waits until it has these mirrors. */
  async reload(urls: readonly string[]): Promise<void> {
    this.#process.kill('SIGHUP');
    const wanted = JSON.stringify(urls.map((url) => `${url}/`));
    await until(`dockerd has the mirrors ${wanted}`, async () => {
      const { output } = await this.docker('info', '--format', '{{json .RegistryConfig.Mirrors}}');
      return output.split('\n')[0] === wanted || (urls.length === 0 && output.startsWith('null'));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#process);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
