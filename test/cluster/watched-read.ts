/** A client on a host of the lab: curl, whose silences are measured and whose end is told, whatever it is. */
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { LabHost, NetworkLab } from '../support/network-lab.ts';
import { until } from '../support/programs.ts';

/** What came of a read. */
export interface WatchedOutcome {
  /** That of curl: 0, 18 for a body that ended short, 22 for a refusal before the first byte. */
  readonly exitCode: number;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** The longest time without a byte since the start or the last `forgetSilence`. */
  readonly longestSilenceMs: number;
  readonly tookMs: number;
  /** What curl said. */
  readonly said: string;
}

const MAX_SECONDS = '60';

/** Starts with its construction; ends with the answer, or with the lab. */
export class WatchedRead {
  readonly #child: ChildProcess;
  readonly #hash = createHash('sha256');
  readonly #startedAtMs = performance.now();
  readonly #outcome: Promise<WatchedOutcome>;
  #lastAtMs = performance.now();
  #longestSilenceMs = 0;
  #sizeBytes = 0;
  #said = '';

  constructor(lab: NetworkLab, host: LabHost, url: string) {
    const options = ['--silent', '--show-error', '--fail', '--no-buffer', '--max-time', MAX_SECONDS];
    this.#child = lab.start(host, 'curl', [...options, url], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#onBytes(chunk));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#said += chunk.toString()));
    this.#outcome = this.#watch();
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Waits until so many bytes have come; an error when the answer ends before. */
  async untilBytes(sizeBytes: number): Promise<void> {
    await until(
      () => `${sizeBytes} bytes (of them came ${this.#sizeBytes}) ${this.#said}`,
      () => {
        if (this.#child.exitCode !== null && this.#sizeBytes < sizeBytes)
          throw new Error(`curl ended after ${this.#sizeBytes} bytes: ${this.#said}`);
        return this.#sizeBytes >= sizeBytes;
      },
    );
  }

  /** From now on silences are measured anew. */
  forgetSilence(): void {
    this.#lastAtMs = performance.now();
    this.#longestSilenceMs = 0;
  }

  /** Waits for the end. */
  async outcome(): Promise<WatchedOutcome> {
    return await this.#outcome;
  }

  async #watch(): Promise<WatchedOutcome> {
    const [code] = (await once(this.#child, 'close')) as [number | null];
    const endedAtMs = performance.now();
    return {
      exitCode: code ?? -1,
      sizeBytes: this.#sizeBytes,
      sha256: `sha256:${this.#hash.digest('hex')}`,
      // The wait for an end that is not one of bytes is silence too.
      longestSilenceMs: Math.max(this.#longestSilenceMs, endedAtMs - this.#lastAtMs),
      tookMs: endedAtMs - this.#startedAtMs,
      said: this.#said,
    };
  }

  #onBytes(chunk: Buffer): void {
    const nowMs = performance.now();
    this.#longestSilenceMs = Math.max(this.#longestSilenceMs, nowMs - this.#lastAtMs);
    this.#lastAtMs = nowMs;
    this.#sizeBytes += chunk.length;
    this.#hash.update(chunk);
  }
}
