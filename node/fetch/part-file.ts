/**
 * A file that grows from its beginning until it is whole. What is there survives the end of the process, and is hashed again
 * when the next one takes it up: the hash of the whole decides in the end, so nothing else needs to be written down.
 */
import { constants } from 'node:fs';
import { open, rename, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nodeDisk } from '../../src/content/disk.ts';
import { makeFolder } from '../../src/content/make-folder.ts';
import { DigestHasher, type Digest, type DigestAlgorithm } from '../../src/oci/digest.ts';

/** Chunks are gathered to about this much before they are written. */
const WRITE_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;

/** Made if it is not there, kept if it is, and never through a link that leads elsewhere. */
const OPEN_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;

/** A part that is open. Whoever opens it closes it. Errors are those of the file system. */
export class PartFile implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #hasher: DigestHasher;
  #lengthBytes = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #closing: Promise<void> | undefined;

  private constructor(path: string, file: FileHandle, algorithm: DigestAlgorithm) {
    this.#path = path;
    this.#file = file;
    this.#hasher = new DigestHasher(algorithm);
  }

  /**
   * Opens a part or makes it, and hashes what it holds.
   * @param maxBytes what a part may hold; a longer one is begun anew
   */
  static async open(
    path: string,
    config: { algorithm: DigestAlgorithm; maxBytes: number },
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<PartFile> {
    const file = await open(path, OPEN_FLAGS, 0o644);
    const part = new PartFile(path, file, config.algorithm);
    try {
      if ((await file.stat()).size > config.maxBytes) await file.truncate(0);
      await part.#hashWhatIsThere(options.signal);
      return part;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** How many bytes from the beginning there are. */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** The digest of what there is. */
  digest(): Digest {
    return this.#hasher.digest();
  }

  /** Adds bytes at the end; they must not change until `flush`. */
  async append(bytes: Uint8Array): Promise<void> {
    this.#hasher.update(bytes);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes >= WRITE_BYTES) await this.flush();
  }

  /** Writes what was gathered. */
  async flush(): Promise<void> {
    const [chunks, sizeBytes] = [this.#waiting, this.#waitingBytes];
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (sizeBytes === 0) return;
    const { bytesWritten } = await this.#file.writev(chunks, this.#lengthBytes);
    if (bytesWritten < sizeBytes) await this.#writeRest(Buffer.concat(chunks), bytesWritten);
    this.#lengthBytes += sizeBytes;
  }

  /** Gives the whole its name, durably, and closes the part. What had the name before is replaced. */
  async publish(path: string): Promise<void> {
    await this.flush();
    await this.#file.sync();
    this.#closing ??= this.#file.close();
    await this.#closing;
    await makeFolder(dirname(path));
    await rename(this.#path, path);
    await nodeDisk.syncFolder(dirname(path));
  }

  /** Writes what was gathered and closes the file, which stays unless it is empty. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** Closes the file and takes it away. */
  async discard(): Promise<void> {
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.close();
    await nodeDisk.removeTree(this.#path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // An error of writing what was gathered would hide the one that led here, and costs no more than these bytes.
    await this.close().catch(() => undefined);
  }

  async #close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#file.close();
    }
    if (this.#lengthBytes === 0) await nodeDisk.removeTree(this.#path);
  }

  async #hashWhatIsThere(signal: AbortSignal | undefined): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#lengthBytes);
      if (bytesRead === 0) return;
      this.#hasher.update(buffer.subarray(0, bytesRead));
      this.#lengthBytes += bytesRead;
    }
  }

  async #writeRest(bytes: Buffer, from: number): Promise<void> {
    for (let done = from; done < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#lengthBytes + done);
      done += bytesWritten;
    }
  }
}
