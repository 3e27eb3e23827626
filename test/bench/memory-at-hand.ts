/**
 * Memory that the machine has at hand when a node needs it. A virtual machine whose host takes free memory back pays about
 * 12 µs for each page that is touched anew, seconds for a gigabyte of page cache, which a host of its own does not. So a run
 * holds as much as its nodes will write, and lets go of it at the pace at which they do; it is free for them then, and not
 * yet given back.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, rm, type FileHandle } from 'node:fs/promises';

/** Where files are memory and nothing else. Without it (other systems than Linux) nothing is held. */
const FOLDER = '/dev/shm';
const CHUNK_BYTES = 4 * 1024 * 1024;
const STEP_MS = 50;
const AHEAD_SHARE = 0.08;

export class MemoryAtHand implements AsyncDisposable {
  readonly #file: FileHandle | undefined;
  readonly #path: string;
  #heldBytes: number;
  #timer: NodeJS.Timeout | undefined;
  #truncating: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle | undefined, path: string, heldBytes: number) {
    this.#file = file;
    this.#path = path;
    this.#heldBytes = heldBytes;
  }

  /** Takes so many bytes from the system. Closed by whoever opened it. */
  static async hold(sizeBytes: number): Promise<MemoryAtHand> {
    const path = `${FOLDER}/dockyard-bench-${randomUUID()}`;
    const isPossible = await access(FOLDER, constants.W_OK).then(
      () => sizeBytes > 0,
      () => false,
    );
    if (!isPossible) return new MemoryAtHand(undefined, path, 0);
    const file = await open(path, 'wx');
    const chunk = Buffer.alloc(CHUNK_BYTES, 1);
    let held = 0;
    for (; held < sizeBytes; held += CHUNK_BYTES) await file.write(chunk, 0, CHUNK_BYTES, held);
    return new MemoryAtHand(file, path, held);
  }

  /** Lets go of it, so many bytes a second, until there is nothing left. */
  release(bytesPerSecond: number): void {
    const startMs = performance.now();
    this.#releaseAs(() => ((performance.now() - startMs) * bytesPerSecond) / 1000);
  }

  /**
   * Lets go of it along with what is written, a little ahead: what is free too soon the host has taken back before it is used.
   * @param share of all that will be written, from 0 to 1
   */
  releaseAlong(share: () => number): void {
    const heldBytes = this.#heldBytes;
    this.#releaseAs(() => heldBytes * (share() + AHEAD_SHARE));
  }

  #releaseAs(releasedBytes: () => number): void {
    const heldBytes = this.#heldBytes;
    this.#timer ??= setInterval(() => {
      this.#heldBytes = Math.min(this.#heldBytes, Math.max(0, Math.floor(heldBytes - releasedBytes())));
      this.#truncating = this.#truncating.then(async () => await this.#file?.truncate(this.#heldBytes));
      if (this.#heldBytes === 0) clearInterval(this.#timer);
    }, STEP_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#truncating;
    await this.#file?.close();
    await rm(this.#path, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
