/** Writes what comes at the end of a file: gathered into large writes, one of which is under way while the next fills. */
import { writeFully, type DiskFile } from '../content/disk.ts';

/** So much is gathered before it is written; twice this is the memory of one writer. */
const WRITE_BYTES = 1024 * 1024;
/** A client may send its bytes one by one: the buffers around them would take more memory than they do. */
const WRITE_CHUNKS = 256;
/** Brought to the disk while more comes, so that the last fsync has little left to do. */
const FLUSH_BYTES = 64 * 1024 * 1024;

export interface AppendingWriterDeps {
  readonly file: DiskFile;
  /** Runs a write that may be repeated. */
  readonly withRoom: (sizeBytes: number, write: () => Promise<void>) => Promise<void>;
  /** Told of what was written, in order. */
  readonly onWritten: (chunks: readonly Uint8Array[], endBytes: number) => void;
}

/** Use once, from one place. */
export class AppendingWriter {
  readonly #deps: AppendingWriterDeps;
  #chunks: Uint8Array[] = [];
  #chunksBytes = 0;
  #endBytes: number;
  #unflushedBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #flushing: Promise<void> = Promise.resolve();

  /** @param endBytes where the file ends so far */
  constructor(deps: AppendingWriterDeps, endBytes: number) {
    this.#deps = deps;
    this.#endBytes = endBytes;
  }

  /** Takes bytes, which must not change any more. @throws what an earlier write failed with */
  async write(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk);
    this.#chunksBytes += chunk.length;
    if (this.#chunksBytes >= WRITE_BYTES || this.#chunks.length >= WRITE_CHUNKS) await this.#pass();
  }

  /** Resolves when all is written, though not yet durable. @throws what a write failed with */
  async finish(): Promise<void> {
    await this.#pass();
    await this.#writing;
    await this.#flushing;
  }

  async #pass(): Promise<void> {
    await this.#writing;
    const chunks = this.#chunks;
    const sizeBytes = this.#chunksBytes;
    this.#chunks = [];
    this.#chunksBytes = 0;
    if (sizeBytes === 0) return;
    this.#writing = this.#write(chunks, sizeBytes);
    // Whoever comes next awaits it; until then a failure must not count as unhandled.
    this.#writing.catch(() => undefined);
  }

  async #write(chunks: readonly Uint8Array[], sizeBytes: number): Promise<void> {
    const at = this.#endBytes;
    await this.#deps.withRoom(sizeBytes, async () => await writeAll(this.#deps.file, chunks, sizeBytes, at));
    this.#endBytes = at + sizeBytes;
    this.#deps.onWritten(chunks, this.#endBytes);
    this.#unflushedBytes += sizeBytes;
    if (this.#unflushedBytes < FLUSH_BYTES) return;
    this.#unflushedBytes = 0;
    await this.#flushing;
    this.#flushing = this.#deps.withRoom(0, async () => await this.#deps.file.sync());
    this.#flushing.catch(() => undefined);
  }
}

async function writeAll(
  file: DiskFile,
  chunks: readonly Uint8Array[],
  sizeBytes: number,
  position: number,
): Promise<void> {
  const { bytesWritten } = await file.writev(chunks, position);
  if (bytesWritten === sizeBytes) return;
  await writeFully(file, Buffer.concat(chunks).subarray(bytesWritten), position + bytesWritten);
}
