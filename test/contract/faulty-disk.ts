/** The real file system, with faults. */
import { nodeDisk, type Disk, type DiskFile } from '../../src/content/disk.ts';

/** A disk whose calls that change something can be made to fail. */
export class FaultyDisk implements Disk {
  calls: string[] = [];
  /** Called before each such call; throws to make it fail. */
  fault: (call: string) => void = () => undefined;
  readonly #alsoCounts: readonly ('setMode' | 'unlink')[];

  /** @param alsoCounts calls that may fail as well, beside those that write */
  constructor(alsoCounts: readonly ('setMode' | 'unlink')[] = []) {
    this.#alsoCounts = alsoCounts;
  }

  async open(path: string, flags: string): Promise<DiskFile> {
    if (flags !== 'r') this.#enter('open');
    const file = await nodeDisk.open(path, flags);
    return {
      read: async (...args) => await file.read(...args),
      writev: async (...args) => {
        this.#enter('write');
        return await file.writev(...args);
      },
      write: async (...args) => {
        this.#enter('write');
        return await file.write(...args);
      },
      truncate: async (sizeBytes) => {
        this.#enter('truncate');
        await file.truncate(sizeBytes);
      },
      sync: async () => {
        this.#enter('sync');
        await file.sync();
      },
      stat: async () => await file.stat(),
      close: async () => await file.close(),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    this.#enter('rename');
    await nodeDisk.rename(from, to);
  }

  async makeFolder(path: string): Promise<void> {
    this.#enter('makeFolder');
    await nodeDisk.makeFolder(path);
  }

  async syncFolder(path: string): Promise<void> {
    this.#enter('syncFolder');
    await nodeDisk.syncFolder(path);
  }

  freeBytes = async (path: string): Promise<number> => await nodeDisk.freeBytes(path);
  list: Disk['list'] = async (path) => await nodeDisk.list(path);
  removeTree: Disk['removeTree'] = async (path) => await nodeDisk.removeTree(path);
  stat: Disk['stat'] = async (path) => await nodeDisk.stat(path);

  async setMode(path: string, mode: number): Promise<void> {
    if (this.#alsoCounts.includes('setMode')) this.#enter('setMode');
    await nodeDisk.setMode(path, mode);
  }

  async unlink(path: string): Promise<void> {
    if (this.#alsoCounts.includes('unlink')) this.#enter('unlink');
    await nodeDisk.unlink(path);
  }

  #enter(call: string): void {
    this.calls.push(call);
    this.fault(call);
  }
}
