/** A node of a chaos lab. */
import { once } from 'node:events';
import { LabNode } from '../support/lab-node.ts';
import type { LabHost, NetworkLab } from '../support/network-lab.ts';
import { mustRun } from '../support/programs.ts';
import { LeakWatch, sumOfMetric, withCollector, type WatchedNode } from './leak-watch.ts';

const ADMIN = 'http://127.0.0.1:5001';

export class ChaosNode implements WatchedNode {
  readonly lab: LabNode;
  readonly data: string;
  readonly role: 'node' | 'seed';
  readonly peerId: string;
  readonly facadePort = 5000;
  #watch: LeakWatch | undefined;

  private constructor(lab: LabNode, data: string, role: 'node' | 'seed', peerId: string) {
    this.lab = lab;
    this.data = data;
    this.role = role;
    this.peerId = peerId;
  }

  /** Starts a node. @param options `before`: the node that it takes the place of */
  static async start(
    net: NetworkLab,
    host: LabHost,
    options: { data: string; args: readonly string[]; role: 'node' | 'seed'; before?: ChaosNode | undefined },
  ): Promise<ChaosNode> {
    const { data, args, role } = options;
    const lab = await withCollector(async () => await LabNode.start(net, host, data, args, role));
    const status = JSON.parse(await lab.get(`${ADMIN}/status`)) as { swarm: { peerId?: string } };
    const node = new ChaosNode(lab, data, role, status.swarm.peerId ?? '');
    if (options.before !== undefined) node.#watch = options.before.#watch?.for(node);
    return node;
  }

  get host(): LabHost {
    return this.lab.host;
  }

  get name(): string {
    return this.host.name;
  }

  get isRegistry(): boolean {
    return this.role === 'seed';
  }

  get pid(): number {
    return this.lab.child.pid ?? 0;
  }

  /** Sends a signal to the process. */
  signal(signal: NodeJS.Signals): void {
    this.lab.child.kill(signal);
  }

  /** Ends it, by default in good order, and waits for that; answers its exit code. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const { child } = this.lab;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }

  /** How many files it may have open from now on; no more than when it was started. */
  async limitFiles(count: number): Promise<void> {
    await mustRun('prlimit', ['--pid', `${this.pid}`, `--nofile=${count}:`]);
  }

  async page(name: string): Promise<string> {
    return await this.lab.get(`${ADMIN}/${name}`);
  }

  /** The sum of a metric over the label values that are not given. */
  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    return sumOfMetric(await this.page('metrics'), name, labels);
  }

  /** Takes what this node holds now for what it holds when all is well. */
  async beginWatch(): Promise<void> {
    this.#watch = await LeakWatch.begin(this);
  }

  /** @throws {Error} when this node holds more than when all was well, and goes on to */
  async expectNothingLeft(peerCount: number): Promise<void> {
    if (this.#watch === undefined) throw new Error('the watch was not begun');
    await this.#watch.expectNothingLeft(peerCount);
  }
}
