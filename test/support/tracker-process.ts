/** A real tracker in a process of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeProcess } from './node-process.ts';
import { until } from './programs.ts';

/** `dockyard tracker …`, listening. End it with `await using`, or by its process. */
export class TrackerProcess implements AsyncDisposable {
  readonly process: NodeProcess;
  readonly port: number;
  readonly adminPort: number;
  /** A data folder that goes with it. */
  readonly #ownFolder: string | undefined;

  private constructor(process: NodeProcess, ports: { port: number; adminPort: number }, ownFolder?: string) {
    this.process = process;
    this.port = ports.port;
    this.adminPort = ports.adminPort;
    this.#ownFolder = ownFolder;
  }

  /** Starts it on free ports of 127.0.0.1 and over a folder of its own unless the flags say otherwise, and waits until it listens. */
  static async start(flags: readonly string[] = []): Promise<TrackerProcess> {
    const ownFolder = flags.includes('--data') ? undefined : await mkdtemp(join(tmpdir(), 'dockyard-tracker-'));
    const data = ownFolder === undefined ? [] : ['--data', ownFolder];
    const args = [
      'tracker',
      ...data,
      '--listen',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      '--log-format',
      'json',
      ...flags,
    ];
    const process = new NodeProcess(args, { facade: 0, admin: 0 });
    try {
      const { port, adminPort } = await until(
        () => `the tracker listens:\n${process.err}`,
        () => {
          if (process.child.exitCode !== null) throw new Error(`the tracker ended: ${process.err}`);
          return process.log().find(({ msg }) => msg === 'tracker listening');
        },
      );
      return new TrackerProcess(process, { port: Number(port), adminPort: Number(adminPort) }, ownFolder);
    } catch (error) {
      await process[Symbol.asyncDispose]();
      await removeFolder(ownFolder);
      throw error;
    }
  }

  /** An announce URL. */
  url(scheme: string, host = '127.0.0.1'): string {
    return `${scheme}://${host}:${this.port}/announce`;
  }

  /** What an admin page says. */
  async admin(path: string, init: RequestInit = {}): Promise<Response> {
    return await fetch(`http://127.0.0.1:${this.adminPort}${path}`, init);
  }

  /** Torrents and peers. */
  async stats(): Promise<Record<string, number>> {
    return (await (await this.admin('/stats')).json()) as Record<string, number>;
  }

  /** Ends it as a machine that loses its power does. */
  async kill(): Promise<void> {
    this.process.child.kill('SIGKILL');
    await this.process.exited();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    await removeFolder(this.#ownFolder);
  }
}

async function removeFolder(path: string | undefined): Promise<void> {
  if (path !== undefined) await rm(path, { recursive: true, force: true });
}
