/** Files of complete blobs that are open, and a bounded number that stay open for the next reader: opening costs more than a small read. */
import type { CatalogEntry } from './blob-catalog.ts';
import type { Disk, DiskFile } from './disk.ts';

/** Files kept open without a reader. */
const MAX_IDLE_FILES = 64;

interface SharedFile {
  readonly opening: Promise<DiskFile>;
  users: number;
  /** Set when the blob is gone from the store: the last reader closes the file. */
  dropped: boolean;
}

/** One open file for each blob, shared by its readers. */
export class OpenFiles {
  readonly #disk: Disk;
  readonly #files = new Map<CatalogEntry, SharedFile>();
  /** Without users, least recently used first. */
  readonly #idle = new Set<CatalogEntry>();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** The open file of a blob; `release` it once for every `acquire` that resolved. */
  async acquire(entry: CatalogEntry, path: string): Promise<DiskFile> {
    let shared = this.#files.get(entry);
    if (shared === undefined) {
      shared = { opening: this.#disk.open(path, 'r'), users: 0, dropped: false };
      this.#files.set(entry, shared);
    }
    shared.users += 1;
    this.#idle.delete(entry);
    try {
      return await shared.opening;
    } catch (error) {
      shared.users -= 1;
      if (this.#files.get(entry) === shared) this.#files.delete(entry);
      throw error;
    }
  }

  /** Gives a file back. */
  async release(entry: CatalogEntry): Promise<void> {
    const shared = this.#files.get(entry);
    if (shared === undefined) return;
    shared.users -= 1;
    if (shared.users > 0) return;
    if (shared.dropped) {
      await this.#close(entry, shared);
      return;
    }
    this.#idle.add(entry);
    if (this.#idle.size <= MAX_IDLE_FILES) return;
    const [oldest] = this.#idle;
    if (oldest !== undefined) await this.drop(oldest);
  }

  /** Keeps the file of a blob open no longer than its readers need it. */
  async drop(entry: CatalogEntry): Promise<void> {
    const shared = this.#files.get(entry);
    if (shared === undefined) return;
    shared.dropped = true;
    if (shared.users === 0) await this.#close(entry, shared);
  }

  /** Closes all files, used or not. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#files, async ([entry, shared]) => await this.#close(entry, shared)));
  }

  async #close(entry: CatalogEntry, shared: SharedFile): Promise<void> {
    this.#files.delete(entry);
    this.#idle.delete(entry);
    const [opened] = await Promise.allSettled([shared.opening]);
    if (opened.status === 'fulfilled') await opened.value.close();
  }
}
