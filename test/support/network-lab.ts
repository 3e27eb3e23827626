/**
 * Several hosts on one machine: network namespaces joined by a bridge, each behind a link whose rate is shaped both ways.
 * Needs root, `ip` and `tc`. Everything it makes is gone after `close`; names carry the process id, so runs do not meet.
 */
import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A host of the lab. */
export interface LabHost {
  readonly name: string;
  readonly address: string;
  readonly namespace: string;
  readonly device: string;
}

/** What a link can be given beyond its rate. */
export interface LinkShape {
  /** Bits per second, each way. */
  readonly rateBits: number;
  /** One way, added by netem where the kernel has it. */
  readonly delayMs?: number;
}

const PREFIX = `dk${process.pid}`;
/** Labs of this process so far. */
let labCount = 0;

export class NetworkLab implements AsyncDisposable {
  readonly #prefix: string;
  readonly #hosts: LabHost[] = [];
  readonly #children = new Set<ChildProcess>();
  #closing: Promise<void> | undefined;

  private constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** True when this process may make namespaces. */
  static async isAvailable(): Promise<boolean> {
    if (process.getuid?.() !== 0) return false;
    try {
      await run('ip', ['netns', 'list']);
      await run('tc', ['-V']);
      return true;
    } catch {
      return false;
    }
  }

  /** Removes all namespaces of this process, for a program that is ended in the middle of things. */
  static async removeAll(): Promise<void> {
    if (!(await NetworkLab.isAvailable())) return;
    const { stdout } = await run('ip', ['netns', 'list']);
    const names = stdout.split('\n').map((line) => line.split(' ')[0] ?? '');
    for (const name of names) if (name.startsWith(`${PREFIX}-`)) await run('ip', ['netns', 'del', name]);
  }

  static async open(): Promise<NetworkLab> {
    labCount += 1;
    const lab = new NetworkLab(`${PREFIX}-${labCount}`);
    await run('ip', ['netns', 'add', lab.#switch]);
    try {
      await lab.#inside(lab.#switch, 'ip', ['link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0']);
      await lab.#inside(lab.#switch, 'ip', ['link', 'set', 'br0', 'up']);
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  get #switch(): string {
    return `${this.#prefix}-sw`;
  }

  /** Adds a host behind a link of its own. */
  async addHost(name: string, shape: LinkShape): Promise<LabHost> {
    const index = this.#hosts.length + 1;
    const namespace = `${this.#prefix}-${name}`;
    const device = 'eth0';
    const port = `p${index}`;
    const address = `10.77.${Math.floor(index / 250)}.${(index % 250) + 1}`;
    await run('ip', ['netns', 'add', namespace]);
    const host: LabHost = { name, address, namespace, device };
    this.#hosts.push(host);
    await run('ip', [
      'link',
      'add',
      port,
      'netns',
      this.#switch,
      'type',
      'veth',
      'peer',
      'name',
      device,
      'netns',
      namespace,
    ]);
    await this.#inside(this.#switch, 'ip', ['link', 'set', port, 'master', 'br0']);
    await this.#inside(this.#switch, 'ip', ['link', 'set', port, 'up']);
    await this.#inside(namespace, 'ip', ['link', 'set', 'lo', 'up']);
    await this.#inside(namespace, 'ip', ['addr', 'add', `${address}/16`, 'dev', device]);
    await this.#inside(namespace, 'ip', ['link', 'set', device, 'up']);
    // As a host with a default route has it; without, multicast goes nowhere.
    await this.#inside(namespace, 'ip', ['route', 'add', '224.0.0.0/4', 'dev', device]);
    await this.shape(host, shape);
    return host;
  }

  /** Sets the rate of a host's link, each way. */
  async shape(host: LabHost, shape: LinkShape): Promise<void> {
    const port = `p${this.#hosts.indexOf(host) + 1}`;
    // The burst must hold the largest packet that segmentation offload makes (64 KiB): tbf would cut it up, and the
    // processor, not the link, would be what is measured. The queue is fifty milliseconds, as a small switch has.
    const burst = '262144';
    const tbf = ['root', 'tbf', 'rate', `${shape.rateBits}bit`, 'burst', burst, 'latency', '50ms'];
    await this.#inside(host.namespace, 'tc', ['qdisc', 'replace', 'dev', host.device, ...tbf]);
    await this.#inside(this.#switch, 'tc', ['qdisc', 'replace', 'dev', port, ...tbf]);
  }

  /** Cuts or mends a host's link. */
  async setLink(host: LabHost, state: 'up' | 'down'): Promise<void> {
    await this.#inside(this.#switch, 'ip', ['link', 'set', `p${this.#hosts.indexOf(host) + 1}`, state]);
  }

  /** Starts a program on a host. It is killed by `close` at the latest. */
  start(host: LabHost, program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', host.namespace, program, ...args], options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Runs a program on a host to its end; answers what it printed. */
  async exec(host: LabHost, program: string, args: readonly string[], timeoutMs = 600_000): Promise<string> {
    const { stdout } = await run('ip', ['netns', 'exec', host.namespace, program, ...args], {
      timeout: timeoutMs,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }

  /** Bytes that a host has sent and received on its link. */
  async traffic(host: LabHost): Promise<{ sentBytes: number; receivedBytes: number }> {
    const text = await this.exec(host, 'cat', ['/proc/net/dev']);
    const fields = (new RegExp(`${host.device}:(.*)`).exec(text)?.[1] ?? '').trim().split(/\s+/).map(Number);
    return { receivedBytes: fields[0] ?? 0, sentBytes: fields[8] ?? 0 };
  }

  /** Bytes that have gone to each of some hosts over its link, together; one look for all of them. */
  async deliveredBytes(hosts: readonly LabHost[]): Promise<number> {
    const { stdout } = await run('ip', ['netns', 'exec', this.#switch, 'cat', '/proc/net/dev']);
    const sent = (host: LabHost): number => {
      const port = `p${this.#hosts.indexOf(host) + 1}`;
      // On the switch's end of the link, what the host receives is what is sent.
      return Number((new RegExp(`\\b${port}:(.*)`).exec(stdout)?.[1] ?? '').trim().split(/\s+/)[8] ?? 0);
    };
    return hosts.reduce((sum, host) => sum + sent(host), 0);
  }

  /** Ends what was started and removes all; whoever calls it again waits for the end too. */
  async close(): Promise<void> {
    await (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const exits = [...this.#children].map(async (child) => {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    });
    await Promise.all(exits);
    for (const host of this.#hosts.splice(0)) await run('ip', ['netns', 'del', host.namespace]);
    await run('ip', ['netns', 'del', this.#switch]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #inside(namespace: string, program: string, args: readonly string[]): Promise<void> {
    await run('ip', ['netns', 'exec', namespace, program, ...args]);
  }
}

/** Processor seconds used, and the most memory ever resident, of a process. */
export async function processUsage(pid: number): Promise<{ cpuSeconds: number; peakBytes: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const peakKib = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0);
  return { cpuSeconds: ticks / 100, peakBytes: peakKib * 1024 };
}
