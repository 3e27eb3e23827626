/**
 * A disk that may lose power: then there is what was synced, and of all else as much as chance leaves. Bytes count as synced with
 * the last fsync of their file, and names with the last fsync of their folder, whatever file systems do beyond that.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { nodeDisk, type Disk, type DiskFile } from '../../src/content/disk.ts';

/** A file, by whatever name. */
interface Inode {
  readonly kind: 'file';
  /** As of the last fsync; `undefined` before the first. */
  synced: Buffer | undefined;
  /** Where it is now. */
  path: string;
}

interface Folder {
  readonly kind: 'folder';
  readonly live: Map<string, Entry>;
  synced: Map<string, Entry>;
}

type Entry = Inode | Folder;

/** What a process gets once the power is gone. */
class PowerLost extends Error {
  readonly code = 'EIO';
}

function newFolder(): Folder {
  return { kind: 'folder', live: new Map(), synced: new Map() };
}

/** Over one folder of the real file system, which is empty at first. */
export class VolatileDisk implements Disk {
  /** Calls that changed something. */
  calls = 0;
  /** After so many the power is gone. */
  losesPowerAfter = Infinity;
  readonly #root: string;
  readonly #top = newFolder();

  constructor(root: string) {
    this.#root = root;
  }

  async open(path: string, flags: string): Promise<DiskFile> {
    this.#enter(flags !== 'r');
    const file = await nodeDisk.open(path, flags);
    if (!path.startsWith(this.#root)) return file;
    const inode = this.#fileAt(path);
    return {
      read: async (...args) => await this.#alive(() => file.read(...args)),
      write: async (...args) => await this.#changing(() => file.write(...args)),
      writev: async (...args) => await this.#changing(() => file.writev(...args)),
      truncate: async (sizeBytes) => await this.#changing(() => file.truncate(sizeBytes)),
      stat: async () => await this.#alive(() => file.stat()),
      close: async () => await file.close(),
      sync: async () => {
        this.#enter();
        inode.synced = await readFile(inode.path);
      },
    };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#changing(() => nodeDisk.rename(from, to));
    const entry = this.#folder(dirname(from)).live.get(basename(from));
    this.#folder(dirname(from)).live.delete(basename(from));
    if (entry === undefined) return;
    this.#folder(dirname(to)).live.set(basename(to), entry);
    if (entry.kind === 'file') entry.path = to;
  }

  async unlink(path: string): Promise<void> {
    await this.#changing(() => nodeDisk.unlink(path));
    this.#folder(dirname(path)).live.delete(basename(path));
  }

  async makeFolder(path: string): Promise<void> {
    await this.#changing(() => nodeDisk.makeFolder(path));
    this.#folder(path);
  }

  async removeTree(path: string): Promise<void> {
    await this.#changing(() => nodeDisk.removeTree(path));
    this.#folder(dirname(path)).live.delete(basename(path));
  }

  async syncFolder(path: string): Promise<void> {
    this.#enter();
    const folder = this.#folder(path);
    folder.synced = new Map(folder.live);
    await Promise.resolve();
  }

  list: Disk['list'] = async (path) => await this.#alive(() => nodeDisk.list(path));
  stat: Disk['stat'] = async (path) => await this.#alive(() => nodeDisk.stat(path));
  /** Permissions are not synced by anybody, and so they are lost. */
  setMode: Disk['setMode'] = async (path, mode) => await this.#changing(() => nodeDisk.setMode(path, mode));
  freeBytes: Disk['freeBytes'] = async (path) => await nodeDisk.freeBytes(path);

  /**
   * Writes what the disk has when the power comes back.
   * @param target an empty folder
   * @param drawLuck whether what became of the names of one file or folder since they were synced made it to the disk all the same;
   *   a rename does so as a whole
   */
  async recover(target: string, drawLuck: () => boolean): Promise<void> {
    const luck = new Map<Entry, boolean>();
    const isLucky = (entry: Entry): boolean => {
      const drawn = luck.get(entry) ?? drawLuck();
      luck.set(entry, drawn);
      return drawn;
    };
    await writeFolder(target, this.#top, isLucky);
  }

  #folder(path: string): Folder {
    let folder = this.#top;
    for (const name of path.slice(this.#root.length).split('/').filter(Boolean)) {
      const found = folder.live.get(name);
      const next = found?.kind === 'folder' ? found : newFolder();
      folder.live.set(name, next);
      folder = next;
    }
    return folder;
  }

  #fileAt(path: string): Inode {
    const folder = this.#folder(dirname(path));
    const found = folder.live.get(basename(path));
    if (found?.kind === 'file') return found;
    const inode: Inode = { kind: 'file', synced: undefined, path };
    folder.live.set(basename(path), inode);
    return inode;
  }

  async #changing<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#enter();
    return await work();
  }

  async #alive<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#enter(false);
    return await work();
  }

  #enter(isChange = true): void {
    if (this.calls >= this.losesPowerAfter) throw new PowerLost('the power is gone');
    if (isChange) this.calls += 1;
  }
}

async function writeFolder(target: string, folder: Folder, isLucky: (entry: Entry) => boolean): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const name of new Set([...folder.synced.keys(), ...folder.live.keys()])) {
    const [live, synced] = [folder.live.get(name), folder.synced.get(name)];
    const isNew = live !== undefined && (live === synced || isLucky(live));
    const entry = isNew ? live : synced !== undefined && !isLucky(synced) ? synced : undefined;
    if (entry === undefined) continue;
    const path = join(target, name);
    if (entry.kind === 'folder') await writeFolder(path, entry, isLucky);
    // File systems give a file its new length when the bytes are there: one that was never synced is empty.
    else await writeFile(path, entry.synced ?? '');
  }
}
