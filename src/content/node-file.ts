/**
 * An open file of the real file system. Bytes go by the calls with a callback: those with promises cost the main thread
 * twice as much, and a node that takes a hundred pieces a second makes two or three for each.
 */
import { read, write, writev } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { DiskFile } from './disk.ts';

/** Owned by whoever opened it; `close` ends it. Errors are those of Node, with their `code`. */
export class NodeFile implements DiskFile {
  readonly #handle: FileHandle;
  /** Calls that Node does not know to belong to the handle: closed under them, its number could be another file's. */
  #callCount = 0;
  #closing: PromiseWithResolvers<void> | undefined;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Opens a file; `mode` is for one that is made. */
  static async open(path: string, flags: string, mode: number): Promise<NodeFile> {
    return new NodeFile(await open(path, flags, mode));
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return { bytesRead: await this.#call((fd, done) => read(fd, buffer, offset, length, position, done)) };
  }

  async write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    return { bytesWritten: await this.#call((fd, done) => write(fd, buffer, offset, length, position, done)) };
  }

  async writev(buffers: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> {
    return { bytesWritten: await this.#call((fd, done) => writev(fd, buffers, position, done)) };
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#handle.truncate(sizeBytes);
  }

  async sync(): Promise<void> {
    await this.#handle.sync();
  }

  async stat(): Promise<{ size: number; mtimeMs: number; ctimeMs: number }> {
    return await this.#handle.stat();
  }

  async close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      if (this.#callCount === 0) this.#closing.resolve();
    }
    await this.#closing.promise;
    await this.#handle.close();
  }

  /** @throws {Error} EBADF when the file is closed or being closed, as Node does */
  async #call(start: (fd: number, done: (error: Error | null, byteCount: number) => void) => void): Promise<number> {
    if (this.#closing !== undefined) throw Object.assign(new Error('the file is closed'), { code: 'EBADF' });
    this.#callCount += 1;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    start(this.#handle.fd, (error, byteCount) => {
      this.#callCount -= 1;
      if (this.#callCount === 0) this.#closing?.resolve();
      if (error === null) resolve(byteCount);
      else reject(error);
    });
    return await promise;
  }
}
