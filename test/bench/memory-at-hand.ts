/**
 * Memory that the machine has at hand when a node writes. A virtual machine whose host takes free memory back pays about
 * 10 µs for each page that is touched anew, 2.5 s instead of 0.25 s for a gigabyte of page cache, which a host of its own does not.
 *
 * What is taken back are free blocks of 2 MiB and more, half a gigabyte a second. So twice as much as is needed is written, by
 * turns into two files, one of which is removed: what is free then lies between what is not, cannot be joined to larger
 * blocks, and stays. The page cache gives such blocks away before it cuts up larger ones, if they are as large as a write.
 */
import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class MemoryAtHand implements AsyncDisposable {
  /** What lies between the free blocks. */
  readonly #heldPath: string;

  private constructor(heldPath: string) {
    this.#heldPath = heldPath;
  }

  /**
   * Makes so many bytes free and at hand until it is closed, by whoever opened it.
   * @param blockBytes as much as will be written at once: the page cache takes it in one block
   */
  static async open(sizeBytes: number, blockBytes: number): Promise<MemoryAtHand> {
    const heldPath = join(tmpdir(), `dockyard-bench-${randomUUID()}`);
    const memory = new MemoryAtHand(heldPath);
    const freePath = `${heldPath}-free`;
    try {
      await using held = await open(heldPath, 'wx');
      await using free = await open(freePath, 'wx');
      const block = Buffer.alloc(blockBytes, 1);
      for (let at = 0; at < sizeBytes; at += blockBytes) {
        await free.write(block, 0, blockBytes, at);
        await held.write(block, 0, blockBytes, at);
      }
      await rm(freePath);
      // Else it is brought to the disk while others are measured.
      await held.sync();
    } catch (error) {
      await rm(freePath, { force: true });
      await memory.close();
      throw error;
    }
    return memory;
  }

  async close(): Promise<void> {
    await rm(this.#heldPath, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
