/**
 * Cuts what comes into parts of one size and stores them, two at once, while the next one fills. All uploads share a bounded
 * number of parts in memory: who has none waits before it takes the first byte of a part, and never while it holds one that
 * is not full, so that none waits for another that waits.
 */
import { asError } from '../oci/error.ts';
import type { StorageOptions } from './blob-storage.ts';
import type { PartBuffer, PartMemory } from './part-memory.ts';
import type { StoredPart } from './s3-multiparts.ts';

const PARTS_AT_ONCE = 2;

export interface PartWriterDeps {
  readonly memory: PartMemory;
  /** Stores a part, whose memory is used for another one afterwards. */
  readonly putPart: (number: number, body: Buffer) => Promise<StoredPart>;
}

/** What a part writer has at its end. */
export interface WrittenParts {
  /** Stored without a gap, from the first one that it was to write. */
  readonly parts: readonly StoredPart[];
  /** What came after the last whole part; `undefined` when a part before it was not stored. */
  readonly rest: Buffer | undefined;
  /** Why a part was not stored. */
  readonly failure: Error | undefined;
}

/** Writes from the beginning of one part on. Whoever makes it calls `finish` and then `release`. */
export class S3PartWriter {
  readonly #deps: PartWriterDeps;
  readonly #partSizeBytes: number;
  readonly #options: StorageOptions;
  #nextNumber: number;
  /** The part that fills. */
  #part: PartBuffer | undefined;
  #gatheredBytes = 0;
  readonly #parts = new Map<number, StoredPart>();
  readonly #underWay = new Set<Promise<void>>();
  #failure: Error | undefined;
  readonly #firstNumber: number;

  constructor(deps: PartWriterDeps, facts: { firstNumber: number; partSizeBytes: number }, options: StorageOptions) {
    this.#deps = deps;
    this.#firstNumber = facts.firstNumber;
    this.#nextNumber = facts.firstNumber;
    this.#partSizeBytes = facts.partSizeBytes;
    this.#options = options;
  }

  /** Takes bytes, and has copied them when it resolves. @throws what storing an earlier part failed with */
  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#failure !== undefined) throw this.#failure;
      const part = (this.#part ??= await this.#deps.memory.acquire(this.#partSizeBytes, this.#options));
      const taken = rest.subarray(0, this.#partSizeBytes - this.#gatheredBytes);
      part.bytes.set(taken, this.#gatheredBytes);
      this.#gatheredBytes += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#gatheredBytes === this.#partSizeBytes) await this.#send(part);
    }
  }

  /** Waits for all parts. Never throws: what is stored counts, also where a part failed. */
  async finish(): Promise<WrittenParts> {
    await Promise.all(this.#underWay);
    const parts: StoredPart[] = [];
    for (let number = this.#firstNumber; ; number += 1) {
      const part = this.#parts.get(number);
      if (part === undefined) break;
      parts.push(part);
    }
    const isGapless = this.#firstNumber + parts.length === this.#nextNumber;
    return { parts, rest: isGapless ? this.#rest() : undefined, failure: this.#failure };
  }

  /** Gives back the memory of what is left. */
  release(): void {
    this.#gatheredBytes = 0;
    this.#part?.release();
    this.#part = undefined;
  }

  /** A copy: it is kept for as long as the client takes to say that this was all. */
  #rest(): Buffer {
    return Buffer.from(this.#part?.bytes.subarray(0, this.#gatheredBytes) ?? []);
  }

  async #send(part: PartBuffer): Promise<void> {
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    this.#part = undefined;
    this.#gatheredBytes = 0;
    const sending = (async () => {
      try {
        this.#parts.set(number, await this.#deps.putPart(number, part.bytes));
      } catch (error) {
        this.#failure ??= asError(error);
      } finally {
        part.release();
      }
    })();
    this.#underWay.add(sending);
    void sending.then(() => this.#underWay.delete(sending));
    if (this.#underWay.size >= PARTS_AT_ONCE) await Promise.race(this.#underWay);
  }
}
