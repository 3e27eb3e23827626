/** A client that reads one answer while a test does something in the middle of it: curl, watched. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { until } from './programs.ts';

/** What came of a read. */
export interface ReadOutcome {
  /** That of curl: 0, or 18 for a body that ended short. */
  readonly exitCode: number;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** The longest time without a byte, from the first one or the last `forgetSilence` on. */
  readonly longestSilenceMs: number;
}

/** Starts with its construction; ended by the end of the answer or with `await using`. */
export class StreamingRead implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #hash = createHash('sha256');
  readonly #done: Promise<number>;
  #sha256: string | undefined;
  #sizeBytes = 0;
  #lastAtMs = 0;
  #longestSilenceMs = 0;
  #stderr = '';

  constructor(url: string) {
    this.#child = spawn('curl', ['--silent', '--show-error', '--fail', '--no-buffer', url], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#onBytes(chunk));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#done = once(this.#child, 'close').then(([code]) => (code as number | null) ?? -1);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** What curl said. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until so many bytes have come. */
  async untilBytes(sizeBytes: number): Promise<void> {
    await until(
      () => `${sizeBytes} bytes (of them came ${this.#sizeBytes}) ${this.#stderr}`,
      () => {
        if (this.#child.exitCode !== null)
          throw new Error(`curl ended after ${this.#sizeBytes} bytes: ${this.#stderr}`);
        return this.#sizeBytes >= sizeBytes;
      },
    );
  }

  /** From now on silences are measured anew; the one that goes on counts from here. */
  forgetSilence(): void {
    this.#lastAtMs = performance.now();
    this.#longestSilenceMs = 0;
  }

  /** Waits for the end. */
  async outcome(): Promise<ReadOutcome> {
    const exitCode = await this.#done;
    const sha256 = (this.#sha256 ??= `sha256:${this.#hash.digest('hex')}`);
    return {
      exitCode,
      sizeBytes: this.#sizeBytes,
      sha256,
      longestSilenceMs: this.#longestSilenceMs,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#done;
  }

  #onBytes(chunk: Buffer): void {
    const nowMs = performance.now();
    if (this.#lastAtMs > 0) this.#longestSilenceMs = Math.max(this.#longestSilenceMs, nowMs - this.#lastAtMs);
    this.#lastAtMs = nowMs;
    this.#sizeBytes += chunk.length;
    this.#hash.update(chunk);
  }
}
