/** A real node on a host of a network lab. */
import type { ChildProcess } from 'node:child_process';
import { MAIN, NODE_FLAGS } from './node-process.ts';
import type { LabHost, NetworkLab } from './network-lab.ts';
import { until } from './programs.ts';

/** Each look at a node is a program started on its host: more often would take the processors from what is waited for. */
const POLL_MS = 150;
/** As long as others wait. */
const DEADLINE_MS = 20_000;
/** Several nodes may be started at once, on a machine that has other work. */
const READY_MS = 45_000;

export class LabNode {
  readonly host: LabHost;
  readonly child: ChildProcess;
  readonly #lab: NetworkLab;
  #log = '';

  private constructor(lab: NetworkLab, host: LabHost, child: ChildProcess) {
    this.#lab = lab;
    this.host = host;
    this.child = child;
    child.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
  }

  /** Starts a node with the default ports of its host, and waits until it is ready. A seed answers the other hosts too. */
  static async start(
    lab: NetworkLab,
    host: LabHost,
    data: string,
    args: readonly string[],
    role: 'node' | 'seed' = 'node',
  ): Promise<LabNode> {
    const facade = role === 'seed' ? '0.0.0.0:5000' : '127.0.0.1:5000';
    const addresses = ['--listen', facade, '--admin', '127.0.0.1:5001', '--swarm', `${host.address}:5002`];
    const child = lab.start(
      host,
      process.execPath,
      [...NODE_FLAGS, MAIN, role, '--data', data, ...addresses, ...args],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const node = new LabNode(lab, host, child);
    await until(
      () => `the node on ${host.name} is ready\n${node.#log}`,
      async () => await node.#answers('/readyz'),
      READY_MS,
      POLL_MS,
    );
    return node;
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  /** How many members this node thinks alive, itself included. */
  async memberCount(): Promise<number> {
    const peers: unknown = JSON.parse(await this.get('http://127.0.0.1:5001/peers'));
    return Array.isArray(peers) ? peers.length : 0;
  }

  /** Waits until this node knows so many members. */
  async untilMembers(count: number): Promise<void> {
    await until(
      () => `${this.host.name} knows ${count} members\n${this.#log.slice(-2000)}`,
      async () => (await this.memberCount()) === count,
      DEADLINE_MS,
      POLL_MS,
    );
  }

  /** The body of a GET made on the node's host; an error when the status is not 2xx. */
  async get(url: string): Promise<string> {
    return await this.#lab.exec(this.host, 'curl', ['-sSf', '--max-time', '60', url]);
  }

  async #answers(path: string): Promise<boolean> {
    return await this.get(`http://127.0.0.1:5001${path}`).then(
      () => true,
      () => false,
    );
  }
}
