/**
 * Writes the entries of a map. Pieces arrive faster than small writes end, so entries that come while one write is under way
 * go out together in the next: a call of the file system for every few pieces instead of one for each.
 */
import { writeFully, type DiskFile } from './disk.ts';
import { PIECE_HASH_BYTES } from './geometry.ts';
import { MAP_HEADER_BYTES } from './partial-map.ts';

/** Entries with fewer others in between go out in one call: these are in memory anyway, and half a page costs nothing. */
const MAX_GAP_ENTRIES = 64;

interface Batch {
  readonly indices: number[];
  readonly written: Promise<void>;
}

/** Owned by one partial blob, like the file. */
export class MapEntryWriter {
  readonly #map: DiskFile;
  readonly #body: Buffer;
  #writing: Promise<void> | undefined;
  /** What goes out next. */
  #gathering: Batch | undefined;

  /** @param body the body of the map, which entries are put into before they are written; it is shared with its owner */
  constructor(map: DiskFile, body: Buffer) {
    this.#map = map;
    this.#body = body;
  }

  /**
   * Resolves when the entry is in the file. The bytes of the piece have to be in theirs before. Repeatable when it fails,
   * with an error of the file system, which all that went out together get.
   */
  async write(index: number, pieceHash: Uint8Array): Promise<void> {
    this.#body.set(pieceHash, index * PIECE_HASH_BYTES);
    this.#gathering ??= { indices: [], written: this.#writeNext() };
    this.#gathering.indices.push(index);
    await this.#gathering.written;
  }

  async #writeNext(): Promise<void> {
    // How the write before ends is told to those who wait for it. At least one turn goes by here, in which others join.
    await Promise.allSettled([this.#writing]);
    const batch = this.#gathering;
    this.#gathering = undefined;
    if (batch === undefined) return;
    this.#writing = this.#writeAll(batch.indices.toSorted((a, b) => a - b));
    await this.#writing;
  }

  async #writeAll(sorted: readonly number[]): Promise<void> {
    let first = sorted[0];
    let last = first;
    for (const index of sorted) {
      if (first === undefined || last === undefined) return;
      if (index - last > MAX_GAP_ENTRIES) {
        await this.#writeSpan(first, last);
        first = index;
      }
      last = index;
    }
    if (first !== undefined && last !== undefined) await this.#writeSpan(first, last);
  }

  async #writeSpan(first: number, last: number): Promise<void> {
    const entries = this.#body.subarray(first * PIECE_HASH_BYTES, (last + 1) * PIECE_HASH_BYTES);
    await writeFully(this.#map, entries, MAP_HEADER_BYTES + first * PIECE_HASH_BYTES);
  }
}
