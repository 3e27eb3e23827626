/** The client process for small blobs, and what it is asked. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

interface Job {
  /** `http://HOST:PORT` */
  readonly origin: string;
  readonly repository: string;
  readonly sizeBytes: number;
  readonly connections: number;
}

/** What the process can do. */
export type LeanJob =
  /** Push so many new blobs, shared out among the connections. */
  | (Job & { readonly kind: 'push'; readonly count: number })
  /** Pull these blobs, all of them over each connection. */
  | (Job & { readonly kind: 'pull'; readonly digests: readonly string[] });

export interface LeanResult {
  readonly seconds: number;
  readonly digests: readonly string[];
}

const CLIENT = fileURLToPath(new URL('lean-client.ts', import.meta.url));

/** One job at a time. Ended by whoever made it. */
export class LeanClient implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    this.#child = spawn(process.execPath, [CLIENT], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** @throws {Error} when an answer was not what it has to be */
  async run(job: LeanJob): Promise<LeanResult> {
    this.#child.stdin.write(`${JSON.stringify(job)}\n`);
    const answer = await this.#answers.next();
    if (answer.done === true) throw new Error('the client process ended');
    return JSON.parse(answer.value) as LeanResult;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }
}
