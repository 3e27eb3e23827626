/**
 * Writes the pieces of a blob into its file. Linux lets one write at a time into a file, and those behind it wait on a
 * processor; so only few calls are under way, and pieces that lie side by side go out in one (a third of the system time of
 * a call for each piece).
 */
import { writeFully, type DiskFile } from './disk.ts';

/** The second has its bytes at hand when the first ends, whatever this process does then. */
const MAX_CALLS = 2;
const MAX_PIECES_OF_CALL = 16;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly position: number;
  readonly done: PromiseWithResolvers<void>;
}

/** Owned by one partial blob, like the file. */
export class PieceWriter {
  readonly #file: DiskFile;
  readonly #pieceSizeBytes: number;
  /** By position, oldest first. */
  readonly #waiting = new Map<number, Waiting>();
  #callCount = 0;

  constructor(file: DiskFile, pieceSizeBytes: number) {
    this.#file = file;
    this.#pieceSizeBytes = pieceSizeBytes;
  }

  /**
   * Resolves when the bytes are in the file. No two writes of one position may be under way. Repeatable when it fails, with
   * an error of the file system, which all that went out together get.
   */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.set(position, { bytes, position, done });
    this.#pump();
    await done.promise;
  }

  #pump(): void {
    while (this.#callCount < MAX_CALLS) {
      const run = this.#nextRun();
      if (run.length === 0) return;
      this.#callCount += 1;
      void this.#writeRun(run).finally(() => {
        this.#callCount -= 1;
        this.#pump();
      });
    }
  }

  /** The piece that waits longest with its neighbours that wait too, in order. */
  #nextRun(): Waiting[] {
    const run: Waiting[] = [];
    const [oldest] = this.#waiting.values();
    if (oldest === undefined) return run;
    let position = oldest.position;
    for (let back = 1; back < MAX_PIECES_OF_CALL && this.#waiting.has(position - this.#pieceSizeBytes); back += 1) {
      position -= this.#pieceSizeBytes;
    }
    for (let next = this.#waiting.get(position); next !== undefined; next = this.#waiting.get(position)) {
      if (run.length === MAX_PIECES_OF_CALL) break;
      run.push(next);
      this.#waiting.delete(position);
      position += next.bytes.length;
    }
    return run;
  }

  async #writeRun(run: readonly Waiting[]): Promise<void> {
    try {
      await this.#writeAll(run);
      for (const { done } of run) done.resolve();
    } catch (error) {
      for (const { done } of run) done.reject(error);
    }
  }

  async #writeAll(run: readonly Waiting[]): Promise<void> {
    const [first] = run;
    if (first === undefined) return;
    if (run.length === 1) {
      await writeFully(this.#file, first.bytes, first.position);
      return;
    }
    const { bytesWritten } = await this.#file.writev(
      run.map(({ bytes }) => bytes),
      first.position,
    );
    let end = first.position + bytesWritten;
    for (const { bytes, position } of run) {
      const pieceEnd = position + bytes.length;
      if (pieceEnd <= end) continue;
      const from = Math.max(position, end);
      await writeFully(this.#file, bytes.subarray(from - position), from);
      end = pieceEnd;
    }
  }
}
