/** The tracker process on a host of a network lab. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabHost, NetworkLab } from '../support/network-lab.ts';
import { until } from '../support/programs.ts';

const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url));
const PORT = 6969;
const RATE_BITS = 1_000_000_000;

/** Ends with the lab. */
export class LabTracker {
  readonly #net: NetworkLab;
  readonly #host: LabHost;
  readonly #data: string;
  #child: ChildProcess;

  private constructor(net: NetworkLab, host: LabHost, data: string) {
    this.#net = net;
    this.#host = host;
    this.#data = data;
    this.#child = this.#spawn();
  }

  /** Starts it on a host of its own, and waits until it answers. */
  static async start(net: NetworkLab): Promise<LabTracker> {
    const data = await mkdtemp(join(tmpdir(), 'dockyard-tracker-'));
    const tracker = new LabTracker(net, await net.addHost('tracker', { rateBits: RATE_BITS }), data);
    await tracker.#untilAnswers();
    return tracker;
  }

  /** Where nodes announce. */
  get url(): string {
    return `http://${this.#host.address}:${PORT}/announce`;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Starts it again after it was killed. */
  async restart(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    this.#child = this.#spawn();
    await this.#untilAnswers();
  }

  #spawn(): ChildProcess {
    return this.#net.start(
      this.#host,
      process.execPath,
      [MAIN, 'tracker', '--listen', `0.0.0.0:${PORT}`, '--data', this.#data],
      { stdio: 'ignore' },
    );
  }

  async #untilAnswers(): Promise<void> {
    const url = `http://127.0.0.1:${PORT}/livez`;
    await until('the tracker answers', async () => {
      const asked = this.#net.exec(this.#host, 'curl', ['-sf', '--max-time', '2', '-o', '/dev/null', url]);
      return await asked.then(
        () => true,
        () => false,
      );
    });
  }
}
