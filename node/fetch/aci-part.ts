/** An app container image on its way over HTTP: a file that grows, and what its server calls the file that it begins. */
import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { nodeDisk, writeFully, type DiskFile } from '../../src/content/disk.ts';
import { isAbsentError } from '../../src/content/errors.ts';
import type { AciSink } from '../../src/appc/discovery/aci-download.ts';
import type { WorkFolder } from './work-folder.ts';

/** A tag is some dozens of characters. */
const MAX_ETAG_LENGTH = 1024;

const READ_BYTES = 1024 * 1024;

/** @see AciSink. Errors are those of the file system. */
export class AciPart implements AciSink, AsyncDisposable {
  readonly path: string;
  readonly #etagPath: string;
  readonly #file: DiskFile;
  #sizeBytes: number;
  #etag: string | undefined;

  private constructor(
    paths: { path: string; etagPath: string },
    file: DiskFile,
    sizeBytes: number,
    etag: string | undefined,
  ) {
    this.path = paths.path;
    this.#etagPath = paths.etagPath;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#etag = etag;
  }

  /** Takes up what an earlier process left in the folder. Closed by whoever opened it. */
  static async open(work: WorkFolder): Promise<AciPart> {
    const paths = { path: work.pathOf('aci'), etagPath: work.pathOf('etag') };
    const etag = await readFile(paths.etagPath, 'utf8').catch((error: unknown) => {
      if (isAbsentError(error)) return undefined;
      throw error;
    });
    const file = await nodeDisk.open(paths.path, 'a+').then(async (made) => {
      await made.close();
      return await nodeDisk.open(paths.path, 'r+');
    });
    const { size } = await file.stat();
    // Bytes of a file without a name cannot be gone on with.
    if (etag === undefined || etag.length > MAX_ETAG_LENGTH) return new AciPart(paths, file, 0, undefined);
    return new AciPart(paths, file, size, etag);
  }

  held(): Promise<{ readonly sizeBytes: number; readonly etag: string | undefined }> {
    return Promise.resolve({ sizeBytes: this.#sizeBytes, etag: this.#etag });
  }

  async restart(etag: string | undefined): Promise<void> {
    await nodeDisk.removeTree(this.#etagPath);
    await this.#file.truncate(0);
    this.#sizeBytes = 0;
    this.#etag = etag;
    if (etag !== undefined) await writeFile(this.#etagPath, etag);
  }

  async append(bytes: Uint8Array): Promise<void> {
    await writeFully(this.#file, bytes, this.#sizeBytes);
    this.#sizeBytes += bytes.length;
  }

  read(): AsyncIterable<Uint8Array> {
    if (this.#sizeBytes === 0) return nothing();
    return createReadStream(this.path, { highWaterMark: READ_BYTES, end: this.#sizeBytes - 1 });
  }

  /** Makes all of it durable, and gives it its name. */
  async publish(path: string): Promise<void> {
    await this.#file.sync();
    await nodeDisk.rename(this.path, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* await Promise.resolve([]);
}
