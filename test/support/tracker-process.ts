/** A real tracker in a process of its own. */
import { NodeProcess } from './node-process.ts';
import { until } from './programs.ts';

/** `dockyard tracker …`, listening. End it with `await using`, or by its process. */
export class TrackerProcess implements AsyncDisposable {
  readonly process: NodeProcess;
  readonly port: number;
  readonly adminPort: number;

  private constructor(process: NodeProcess, port: number, adminPort: number) {
    this.process = process;
    this.port = port;
    this.adminPort = adminPort;
  }

  /** Starts it on free ports of 127.0.0.1 unless the flags say otherwise, and waits until it listens. */
  static async start(flags: readonly string[] = []): Promise<TrackerProcess> {
    const args = ['tracker', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-format', 'json', ...flags];
    const process = new NodeProcess(args, { facade: 0, admin: 0 });
    try {
      const { port, adminPort } = await until(
        () => `the tracker listens:\n${process.err}`,
        () => {
          if (process.child.exitCode !== null) throw new Error(`the tracker ended: ${process.err}`);
          return process.log().find(({ msg }) => msg === 'tracker listening');
        },
      );
      return new TrackerProcess(process, Number(port), Number(adminPort));
    } catch (error) {
      await process[Symbol.asyncDispose]();
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
  }
}
