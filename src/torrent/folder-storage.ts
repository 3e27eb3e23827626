/**
 * A torrent downloaded into a folder. Until all is there, it lies beside its place under a name that ends in `.part`, where
 * a later download finds what is good of it. What stands in its place already is used if it is right, and never written to.
 */
import { constants } from 'node:fs';
import { mkdir, open, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ByteRange } from '../oci/byte-range.ts';
import { torrentError } from './errors.ts';
import type { TorrentFile, TorrentInfo } from './metainfo.ts';
import type { WritableTorrentStorage } from './storage.ts';

/** A torrent's files on disk. Made by `open`; nothing is kept open between readings. */
export class FolderStorage implements WritableTorrentStorage {
  readonly isEmpty: boolean;
  readonly #info: TorrentInfo;
  readonly #target: string;
  readonly #isOurs: boolean;
  #place: string;

  private constructor(info: TorrentInfo, target: string, found: 'target' | 'part' | 'nothing') {
    this.#info = info;
    this.#target = target;
    this.#isOurs = found !== 'target';
    this.#place = found === 'target' ? target : partPath(target);
    this.isEmpty = found === 'nothing';
  }

  /**
   * Prepares the place of a download.
   * @param target the file, or for a torrent of several files the folder, that is to be made; folders above it are made too
   * @throws {DockyardError} ERR_TORRENT_FAILED when it cannot be made
   */
  static async open(info: TorrentInfo, target: string): Promise<FolderStorage> {
    const found = (await exists(target)) ? 'target' : (await exists(partPath(target))) ? 'part' : 'nothing';
    const storage = new FolderStorage(info, target, found);
    try {
      if (found !== 'target') await storage.#prepare();
    } catch (cause) {
      throw torrentError('ERR_TORRENT_FAILED', `'${partPath(target)}' cannot be written`, { cause });
    }
    return storage;
  }

  async read(range: ByteRange, into?: Uint8Array): Promise<Uint8Array> {
    const bytes = into ?? Buffer.allocUnsafeSlow(range.end - range.start);
    await this.#eachPart(range, async (file, part) => {
      const target = bytes.subarray(part.start - range.start, part.end - range.start);
      if (file.isPadding) target.fill(0);
      else
        await this.#withFile(
          file,
          'read',
          async (handle) => await readAll(handle, target, part.start - file.offsetBytes),
        );
    });
    return bytes;
  }

  async write(offsetBytes: number, piece: Uint8Array): Promise<void> {
    if (!this.#isOurs)
      throw torrentError('ERR_TORRENT_FAILED', `'${this.#target}' is there already and is not what the torrent says`);
    await this.#eachPart({ start: offsetBytes, end: offsetBytes + piece.length }, async (file, part) => {
      if (file.isPadding) return;
      const from = piece.subarray(part.start - offsetBytes, part.end - offsetBytes);
      await this.#withFile(
        file,
        'write',
        async (handle) => await writeAll(handle, from, part.start - file.offsetBytes),
      );
    });
  }

  /** Makes all durable and puts it in its place. */
  async complete(): Promise<void> {
    if (!this.#isOurs) return;
    for (const file of this.#files()) await this.#withFile(file, 'write', async (handle) => await handle.sync());
    await rename(this.#place, this.#target);
    this.#place = this.#target;
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }

  async #prepare(): Promise<void> {
    for (const file of this.#files()) {
      const path = this.#pathOf(file);
      await mkdir(dirname(path), { recursive: true });
      // Never through a link, of which there may be one if the folder is shared with others.
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
      await using handle = await open(path, flags, 0o644);
      await handle.truncate(file.sizeBytes);
    }
  }

  #files(): TorrentFile[] {
    return this.#info.files.filter((file) => !file.isPadding);
  }

  #pathOf(file: TorrentFile): string {
    return this.#info.isSingleFile ? this.#place : join(this.#place, ...file.path);
  }

  async #eachPart(range: ByteRange, work: (file: TorrentFile, part: ByteRange) => Promise<void>): Promise<void> {
    for (const file of this.#info.files) {
      const start = Math.max(range.start, file.offsetBytes);
      const end = Math.min(range.end, file.offsetBytes + file.sizeBytes);
      if (start < end) await work(file, { start, end });
    }
  }

  async #withFile(
    file: TorrentFile,
    use: 'read' | 'write',
    work: (handle: FileHandle) => Promise<void>,
  ): Promise<void> {
    const path = this.#pathOf(file);
    try {
      const access = use === 'read' ? constants.O_RDONLY : constants.O_RDWR;
      await using handle = await open(path, access | constants.O_NOFOLLOW);
      await work(handle);
    } catch (cause) {
      throw torrentError('ERR_TORRENT_FAILED', `'${path}' could not be ${use === 'read' ? 'read' : 'written'}`, {
        cause,
      });
    }
  }
}

/** Where a download lies until all of it is there. */
export function partPath(target: string): string {
  return `${target}.part`;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw torrentError('ERR_TORRENT_FAILED', `'${path}' cannot be looked at`, { cause: error });
  }
}

async function readAll(handle: FileHandle, into: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < into.length;) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) throw new RangeError('the file ends too early');
    done += bytesRead;
  }
}

async function writeAll(handle: FileHandle, from: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < from.length;) {
    const { bytesWritten } = await handle.write(from, done, from.length - done, position + done);
    done += bytesWritten;
  }
}
