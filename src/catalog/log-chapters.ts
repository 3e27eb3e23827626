/**
 * The chapters of a change log: each opening of the catalog begins one, at the number where the log stood. A catalog that was
 * restored from a backup begins a chapter at a number behind which others have read already; by the chapter that they name
 * they are told from those who have read what is still there.
 */
import type { KeyValue } from './key-value.ts';
import { KEY } from './layout.ts';
import { decodeRecord, encodeRecord, RECORD } from './records.ts';

/** How far a log was read or written, and in which chapter. */
export interface LogPlace {
  readonly chapter: string;
  readonly number: number;
}

/** One for each start that is remembered; whoever was away for longer reads all again. */
const MAX_CHAPTERS = 1000;

interface Chapter {
  readonly id: string;
  /** The last number of the chapters before it. */
  readonly after: number;
}

export class LogChapters {
  /** The one that is being written. */
  readonly current: string;
  readonly #chapters: readonly Chapter[];

  private constructor(chapters: readonly Chapter[], current: string) {
    this.#chapters = chapters;
    this.current = current;
  }

  /** Begins a chapter behind `lastNumber`, durably, before anything is written into it. */
  static async begin(database: KeyValue, id: string, lastNumber: number): Promise<LogChapters> {
    const key = KEY.chapters();
    const value = await database.get(key);
    const before = value === undefined ? [] : decodeRecord(RECORD.chapters, key, value);
    const chapters = [...before, { id, after: lastNumber }].slice(-MAX_CHAPTERS);
    await database.write([{ type: 'put', key, value: encodeRecord(RECORD.chapters, chapters) }]);
    return new LogChapters(chapters, id);
  }

  /** True when all up to a place is as it was when that place was reached. */
  knows({ chapter, number }: LogPlace): boolean {
    const index = this.#chapters.findIndex(({ id }) => id === chapter);
    return index >= 0 && number <= (this.#chapters[index + 1]?.after ?? Infinity);
  }
}
