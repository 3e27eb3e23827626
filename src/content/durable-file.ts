/** Bringing the bytes of a growing file to the disk: a little while it grows, and all of them, for sure, at the end. */
import { readFully, writeFully, type DiskFile } from './disk.ts';

/** Without this, the fsync of a whole GiB falls into the time in which a client waits for the last byte. */
const FLUSH_STEP_BYTES = 64 * 1024 * 1024;
const REWRITE_BYTES = 1024 * 1024;

/** The fsync side of a file; reading, writing and closing stay with its owner. */
export class DurableFile {
  readonly #file: DiskFile;
  readonly #sizeBytes: number;
  #unflushedBytes = 0;
  #flushing: Promise<void> | undefined;
  #fsyncFailed = false;

  constructor(file: DiskFile, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  /** Notes that bytes were written, and now and then begins to bring them to the disk. */
  wrote(sizeBytes: number): void {
    this.#unflushedBytes += sizeBytes;
    if (this.#unflushedBytes < FLUSH_STEP_BYTES || this.#flushing !== undefined) return;
    this.#unflushedBytes = 0;
    this.#flushing = this.#flush();
  }

  /**
   * Resolves when all bytes are on the disk. After an fsync that failed, Linux may keep pages in memory and call them
   * clean, though the disk never got them: the next fsync would succeed and prove nothing. So all bytes are written again
   * before it. Errors are those of the file system.
   */
  async sync(): Promise<void> {
    await this.#flushing;
    if (this.#fsyncFailed) await this.#rewrite();
    this.#fsyncFailed = true;
    await this.#file.sync();
    this.#fsyncFailed = false;
  }

  async #flush(): Promise<void> {
    try {
      await this.#file.sync();
    } catch {
      // Nobody waits for this one: the fsync that counts writes all bytes again, and says what is wrong if it still is.
      this.#fsyncFailed = true;
    } finally {
      this.#flushing = undefined;
    }
  }

  async #rewrite(): Promise<void> {
    for (let position = 0; position < this.#sizeBytes; position += REWRITE_BYTES) {
      const bytes = await readFully(this.#file, position, Math.min(REWRITE_BYTES, this.#sizeBytes - position));
      await writeFully(this.#file, bytes, position);
    }
  }
}
