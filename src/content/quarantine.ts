/** Damaged blobs, set aside for inspection: out of reach of readers, few, and the first to go when the disk is full. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Digest } from '../oci/digest.ts';
import type { Disk } from './disk.ts';
import { isAbsentError } from './errors.ts';
import type { StoreLayout } from './layout.ts';

const MAX_FILES = 4;

export interface QuarantineDeps {
  readonly clock: { nowMs(): number };
  readonly disk: Disk;
  readonly layout: StoreLayout;
  readonly log: Logger;
}

/** The quarantine folder of one store. */
export class Quarantine {
  readonly #deps: QuarantineDeps;
  /** Names and sizes, oldest first: names begin with the time. */
  #files: { name: string; sizeBytes: number }[] = [];

  constructor(deps: QuarantineDeps) {
    this.#deps = deps;
  }

  /** Finds what an earlier process set aside. */
  async load(): Promise<void> {
    const { disk, layout } = this.#deps;
    const names = (await disk.list(layout.quarantineFolder)).toSorted();
    this.#files = await Promise.all(
      names.map(async (name) => ({ name, sizeBytes: (await disk.stat(join(layout.quarantineFolder, name))).size })),
    );
    await this.#prune();
  }

  /** Moves the file of a blob here; false when it was not there. */
  async take(digest: Digest, sizeBytes: number): Promise<boolean> {
    const { clock, disk, layout } = this.#deps;
    const target = layout.quarantineFile(digest, clock.nowMs());
    try {
      await disk.rename(layout.blobFile(digest), target);
    } catch (error) {
      if (isAbsentError(error)) return false;
      throw error;
    }
    this.#files.push({ name: target.slice(layout.quarantineFolder.length + 1), sizeBytes });
    await this.#prune();
    return true;
  }

  /** Takes the oldest file off the books at once, and off the disk when `done` resolves; `undefined` when there is none. */
  evictOne(): { sizeBytes: number; done: Promise<void> } | undefined {
    const oldest = this.#files.shift();
    return oldest === undefined ? undefined : { sizeBytes: oldest.sizeBytes, done: this.#remove(oldest.name) };
  }

  async #prune(): Promise<void> {
    while (this.#files.length > MAX_FILES) await this.evictOne()?.done;
  }

  async #remove(name: string): Promise<void> {
    const { disk, layout, log } = this.#deps;
    try {
      await disk.removeTree(join(layout.quarantineFolder, name));
    } catch (error) {
      log.warn({ err: error, name }, 'quarantined file could not be removed');
    }
  }
}
