/** The calls of the file system that the store makes; a port, so that tests can make any of them fail. */
import type { BufferPool } from './buffer-pool.ts';
import { chmod, open, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { makeFolder } from './make-folder.ts';
import { NodeFile } from './node-file.ts';

/** An open file. `close` waits for the calls that are under way. */
export interface DiskFile {
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  /** Writes buffers one behind the other. */
  writev(buffers: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }>;
  truncate(sizeBytes: number): Promise<void>;
  sync(): Promise<void>;
  stat(): Promise<{ size: number; mtimeMs: number; ctimeMs: number }>;
  close(): Promise<void>;
}

/** A file system. Errors are those of Node, with their `code`. */
export interface Disk {
  open(path: string, flags: string): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes a folder and those above it; holding it already is success. */
  makeFolder(path: string): Promise<void>;
  /** Removes a folder and all that is in it; absence is success. */
  removeTree(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
  stat(path: string): Promise<{ size: number; mtimeMs: number; mode: number }>;
  setMode(path: string, mode: number): Promise<void>;
  /** Makes the names in a folder survive a loss of power. */
  syncFolder(path: string): Promise<void>;
  /** Bytes that this process may still take on the file system of `path`. */
  freeBytes(path: string): Promise<number>;
}

/** The real file system. */
export const nodeDisk: Disk = {
  open: async (path, flags) => await NodeFile.open(path, flags, 0o644),
  rename,
  unlink,
  makeFolder,
  removeTree: async (path) => await rm(path, { recursive: true, force: true }),
  list: async (path) => await readdir(path),
  stat: async (path) => await stat(path),
  setMode: async (path, mode) => await chmod(path, mode),
  syncFolder: async (path) => {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
};

/** Writes all of `bytes` at `position`, however many calls that takes. */
export async function writeFully(file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Reads up to `length` bytes at `position` into memory that the caller then owns; fewer only where the file ends. */
export async function readFully(
  file: DiskFile,
  position: number,
  length: number,
  memory?: Pick<BufferPool, 'acquire'>,
): Promise<Buffer> {
  // Not from Node's shared pool: consumers keep these buffers, and a slice would keep the whole pool alive.
  const buffer = memory?.acquire(length) ?? Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) return buffer.subarray(0, done);
    done += bytesRead;
  }
  return buffer;
}

/** Writes a file that did not exist, and makes its bytes durable (not yet its name). */
export async function writeNewFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'wx');
  try {
    await writeFully(file, bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}
