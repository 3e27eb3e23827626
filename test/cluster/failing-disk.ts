/** A disk that the kernel makes read-only when it is told to, as it does after an error of the medium: ext4 in a file, on a loop device. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustRun, run } from '../support/programs.ts';

const DISK_SIZE = '512M';

/** Mounted from when it is opened until it is closed. */
export class FailingDisk {
  readonly #image: string;
  readonly #mountPoint: string;

  private constructor(image: string, mountPoint: string) {
    this.#image = image;
    this.#mountPoint = mountPoint;
  }

  /** True when one can be mounted here. */
  static async isAvailable(): Promise<boolean> {
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-disk-'));
    try {
      const disk = await FailingDisk.open(join(folder, 'disk'));
      await disk.close();
      return true;
    } catch {
      return false;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Makes one and mounts it over a folder, which is made. */
  static async open(mountPoint: string): Promise<FailingDisk> {
    const image = `${mountPoint}.img`;
    await mkdir(mountPoint, { recursive: true });
    await mustRun('truncate', ['-s', DISK_SIZE, image]);
    await mustRun('mkfs.ext4', ['-q', image]);
    await mustRun('mount', ['-o', 'loop', image, mountPoint]);
    return new FailingDisk(image, mountPoint);
  }

  /** Makes it read-only, whatever is open for writing. */
  async fail(): Promise<void> {
    await mustRun('mount', ['-o', 'remount,abort', this.#mountPoint]);
  }

  /**
   * Takes it away; what is written to the folder from then on is on the disk below. Programs that run keep the failed one before them.
   */
  async close(): Promise<void> {
    await run('umount', ['--lazy', this.#mountPoint]);
    await rm(this.#image, { force: true });
  }
}
