/** The process of `hostile-peer-child.ts`, as a test talks to it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const CHILD = new URL('hostile-peer-child.ts', import.meta.url).pathname;

/** Close it with `await using`. */
export class HostilePeers implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #peerIds: Readonly<Record<string, string>> = {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new TypeError('the output of the process is a pipe');
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Starts the process and waits until all have joined. @param options `key`: the text of a swarm key; `ports`: whom to meet */
  static async start(options: { key: string; ports: readonly number[] }): Promise<HostilePeers> {
    const peers = new HostilePeers(
      spawn(process.execPath, [CHILD, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    peers.#peerIds = (await peers.#answer()) as Record<string, string>;
    return peers;
  }

  /** The peer of a conduct. */
  peerId(conduct: string): string {
    return this.#peerIds[conduct] ?? '';
  }

  /** Has the peer of a conduct say that it holds a blob. */
  async offer(conduct: string, digest: string, path: string): Promise<void> {
    this.#child.stdin?.write(`${JSON.stringify({ conduct, digest, path })}\n`);
    await this.#answer();
  }

  /** How many pieces were asked of the peer of a conduct. */
  async askedCount(conduct: string): Promise<number> {
    this.#child.stdin?.write(`${JSON.stringify({ conduct })}\n`);
    return ((await this.#answer()) as { askedCount: number }).askedCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await ended;
  }

  async #answer(): Promise<unknown> {
    const { done, value } = (await this.#lines.next()) as IteratorResult<string, undefined>;
    if (done === true) throw new Error('the process of hostile peers ended');
    return JSON.parse(value);
  }
}
