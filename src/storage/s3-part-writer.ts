/**
 * Cuts what comes into parts of one size and stores them, two at once, while the next one fills. All uploads share a bounded
 * number of parts in memory: who has none waits before it takes the first byte of a part, and never while it holds one that
 * is not full, so that none waits for another that waits.
 */
import { asError } from '../oci/error.ts';
import type { ConnectionSlots } from '../origin/connection-slots.ts';
import type { StorageOptions } from './blob-storage.ts';
import type { StoredPart } from './s3-multiparts.ts';

const PARTS_AT_ONCE = 2;

export interface PartWriterDeps {
  /** One for each part in memory. */
  readonly slots: ConnectionSlots;
  /** Stores a part. */
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
  #chunks: Uint8Array[] = [];
  #gatheredBytes = 0;
  #release: (() => void) | undefined;
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

  /** Takes bytes, which it may keep. @throws what storing an earlier part failed with */
  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#failure !== undefined) throw this.#failure;
      this.#release ??= await this.#deps.slots.acquire(this.#options);
      const taken = rest.subarray(0, this.#partSizeBytes - this.#gatheredBytes);
      this.#chunks.push(taken);
      this.#gatheredBytes += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#gatheredBytes === this.#partSizeBytes) await this.#send();
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
    return { parts, rest: isGapless ? Buffer.concat(this.#chunks) : undefined, failure: this.#failure };
  }

  /** Gives back the memory of what is left. */
  release(): void {
    this.#chunks = [];
    this.#gatheredBytes = 0;
    this.#release?.();
    this.#release = undefined;
  }

  async #send(): Promise<void> {
    const body = Buffer.concat(this.#chunks);
    const release = this.#release;
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    this.#chunks = [];
    this.#gatheredBytes = 0;
    this.#release = undefined;
    const sending = (async () => {
      try {
        this.#parts.set(number, await this.#deps.putPart(number, body));
      } catch (error) {
        this.#failure ??= asError(error);
      } finally {
        release?.();
      }
    })();
    this.#underWay.add(sending);
    void sending.then(() => this.#underWay.delete(sending));
    if (this.#underWay.size >= PARTS_AT_ONCE) await Promise.race(this.#underWay);
  }
}
