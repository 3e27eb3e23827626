/** A real node in a process of its own, for tests from outside. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url));
const DEADLINE_MS = 20_000;

/** True when a program is installed. */
export function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`));
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until `check` answers something, or throws after a deadline. */
export async function until<Result>(
  what: string,
  check: () => Promise<Result | undefined> | Result | undefined,
): Promise<Result> {
  const endsAtMs = Date.now() + DEADLINE_MS;
  while (Date.now() < endsAtMs) {
    const result = await check();
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain: ${what}`);
}

/** `dockyard …` in a process of its own. */
export class NodeProcess implements AsyncDisposable {
  readonly child: ChildProcess;
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
    this.child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
    this.#exited = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** Starts a node with free ports and waits until it is ready. */
  static async start(args: readonly string[], environment: Record<string, string> = {}): Promise<NodeProcess> {
    const ports = { facade: await freePort(), admin: await freePort() };
    const addresses = [
      '--listen',
      `127.0.0.1:${ports.facade}`,
      '--admin',
      `127.0.0.1:${ports.admin}`,
      '--swarm',
      '127.0.0.1:0',
    ];
    const node = new NodeProcess(['node', ...addresses, '--swarm-mdns=false', ...args], ports, environment);
    await until(`the node is ready\n${node.err}`, async () => {
      if (node.child.exitCode !== null) throw new Error(`the node ended: ${node.err}`);
      return await fetch(`http://${node.admin}/readyz`).then(
        (response) => (response.ok ? true : undefined),
        () => undefined,
      );
    });
    return node;
  }

  /** The exit code, once the process has ended. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  /** The log, one object to a line. */
  log(): Record<string, unknown>[] {
    const lines = this.err.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits for a message in the log. */
  async logged(message: string): Promise<Record<string, unknown>> {
    return await until(`"${message}" in the log:\n${this.err}`, () => this.log().find(({ msg }) => msg === message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#exited;
  }
}
