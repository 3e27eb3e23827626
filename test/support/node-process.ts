/** A real node in a process of its own, for tests from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort, until } from './programs.ts';

/** The program that is run: the node from the checkout, or another that benchmarks name. */
export const MAIN = process.env['BENCHED_PROGRAM'] || fileURLToPath(new URL('../../node/main.ts', import.meta.url));

/** As `scripts/dockyard` and the installed command start it. */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=4', '--heap-growing-percent=60'];

/** Several nodes may be started at once, on a machine that has other work. */
const READY_MS = 45_000;

/** A line of the log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** `dockyard …` in a process of its own. */
export class NodeProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  /** `HOST:PORT` of the registry for clients. */
  readonly facade: string;
  readonly admin: string;
  out = '';
  err = '';
  readonly #exited: Promise<number | null>;

  constructor(
    args: readonly string[],
    ports: { facade: number; admin: number },
    environment: Record<string, string> = {},
  ) {
    this.facade = `127.0.0.1:${ports.facade}`;
    this.admin = `127.0.0.1:${ports.admin}`;
    this.child = spawn(process.execPath, [...NODE_FLAGS, MAIN, ...args], {
      env: { ...process.env, MALLOC_ARENA_MAX: '2', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
    this.#exited = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** Starts a node with free ports and waits until it is ready. */
  static async start(args: readonly string[], environment: Record<string, string> = {}): Promise<NodeProcess> {
    return await NodeProcess.#start('node', args, environment);
  }

  /** Starts a seed likewise. `facadePort` is that of an earlier one that takes up its work again. */
  static async startSeed(
    args: readonly string[],
    facadePort?: number,
    environment: Record<string, string> = {},
  ): Promise<NodeProcess> {
    return await NodeProcess.#start('seed', args, environment, facadePort);
  }

  static async #start(
    role: 'node' | 'seed',
    args: readonly string[],
    environment: Record<string, string>,
    facadePort?: number,
  ): Promise<NodeProcess> {
    const ports = { facade: facadePort ?? (await freePort()), admin: await freePort() };
    const addresses = [
      '--listen',
      `127.0.0.1:${ports.facade}`,
      '--admin',
      `127.0.0.1:${ports.admin}`,
      '--swarm',
      '127.0.0.1:0',
    ];
    const node = new NodeProcess([role, ...addresses, '--swarm-mdns=false', ...args], ports, environment);
    try {
      if (await node.#isReady()) return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
    // Someone took a port between choice and use: that is nothing of the node's.
    return await NodeProcess.#start(role, args, environment, facadePort);
  }

  /** Waits until the node is ready; false when it ended because a port was taken. @throws {Error} when it ended otherwise, or never is */
  async #isReady(): Promise<boolean> {
    await until(
      () => `the node is ready\n${this.err}`,
      async () => {
        if (this.child.exitCode !== null || this.child.signalCode !== null) {
          if (this.err.includes('EADDRINUSE')) return true;
          throw new Error(`the node ended: ${this.err}`);
        }
        return await fetch(`http://${this.admin}/readyz`).then(
          (response) => response.ok,
          () => false,
        );
      },
      READY_MS,
    );
    return this.child.exitCode === null;
  }

  /** The exit code, once the process has ended. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  /** The log, one object to a line. */
  log(): LogLine[] {
    const lines = this.err.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** Waits for a message in the log. */
  async logged(message: string): Promise<LogLine> {
    return await until(
      () => `"${message}" in the log:\n${this.err}`,
      () => this.log().find(({ msg }) => msg === message),
    );
  }

  /** `HOST:PORT` where other nodes meet this one. */
  async swarm(): Promise<string> {
    const { addresses } = (await this.logged('node started')) as {
      addresses: { swarm: { host: string; port: number } };
    };
    return `${addresses.swarm.host}:${addresses.swarm.port}`;
  }

  /** Waits until this node knows so many nodes, itself included. */
  async untilMembers(count: number): Promise<void> {
    await until(`${count} nodes know each other`, async () => {
      const peers = (await this.report('peers')) as unknown[];
      return peers.length === count;
    });
  }

  /** What the admin server tells: `status`, `peers`, `blobs`, `pulls`. */
  async report(name: string): Promise<unknown> {
    return await (await fetch(`http://${this.admin}/${name}`)).json();
  }

  /** The sum of a metric over the label values that are not given; 0 when it was never counted. */
  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const text = await (await fetch(`http://${this.admin}/metrics`)).text();
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    const matching = lines.filter((line) => wanted.every((label) => line.includes(label)));
    return matching.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process is ended by SIGKILL too.
    this.child.kill('SIGKILL');
    await this.#exited;
  }
}
