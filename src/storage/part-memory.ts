/**
 * Memory in which the parts of uploads are gathered: so many parts and no more, whatever number of uploads, and used again.
 * Left to the collector, parts that come and go make it mark the whole heap again and again.
 *
 * It is never given back by force, as that of chunks is: where a service refuses a part before it has read it, the refused request may
 * still be reading this memory from a socket that nobody waits for.
 */
import { ConnectionSlots } from '../origin/connection-slots.ts';
import type { StorageOptions } from './blob-storage.ts';

/** Kept while no upload is under way; small blobs come one after the other. */
const IDLE_PARTS = 2;

/** One part. Its owner calls `release` once, and does not touch it afterwards. */
export interface PartBuffer {
  /** Of the size that was asked for, with unknown content. */
  readonly bytes: Buffer;
  release(): void;
}

/** Shared by all uploads to a bucket. */
export class PartMemory {
  readonly #slots: ConnectionSlots;
  readonly #partSizeBytes: number;
  #free: Buffer[] = [];
  #used = 0;

  /** @param memoryBytes how much all parts may take; at least two parts are allowed */
  constructor({ memoryBytes, partSizeBytes }: { readonly memoryBytes: number; readonly partSizeBytes: number }) {
    this.#partSizeBytes = partSizeBytes;
    this.#slots = new ConnectionSlots(Math.max(2, Math.floor(memoryBytes / partSizeBytes)));
  }

  /** Waits until there is room. @param sizeBytes other than the usual for uploads that an earlier process began */
  async acquire(sizeBytes: number, options: StorageOptions): Promise<PartBuffer> {
    const leave = await this.#slots.acquire(options);
    this.#used += 1;
    const isUsual = sizeBytes === this.#partSizeBytes;
    const bytes = (isUsual ? this.#free.pop() : undefined) ?? Buffer.allocUnsafeSlow(sizeBytes);
    const release = (): void => {
      this.#used -= 1;
      if (isUsual) this.#free.push(bytes);
      if (this.#used === 0) this.#free.length = Math.min(this.#free.length, IDLE_PARTS);
      leave();
    };
    return { bytes, release };
  }
}
