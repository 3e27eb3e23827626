/** One stream of bytes for several readers, at the pace of the slowest; nothing is kept but the chunk in hand. */
import { asError } from '../oci/error.ts';

/** What one reader does with its copy of the stream. A reader that is done early does not hold up the others. */
export type BranchReader<Result> = (branch: AsyncIterable<Uint8Array>) => Promise<Result>;

/**
 * Gives every chunk of a source to all readers and answers what they made of it.
 * @throws what the source throws, or the first reader that fails; the others are told of it and have ended by then
 */
export async function forkBytes<Results extends readonly unknown[]>(
  source: AsyncIterable<Uint8Array>,
  readers: { readonly [Index in keyof Results]: BranchReader<Results[Index]> },
): Promise<Results> {
  const branches = readers.map(() => new Branch());
  let failure: Error | undefined;
  const failAll = (thrown: unknown): void => {
    failure ??= asError(thrown);
    for (const branch of branches) branch.fail(failure);
  };
  const work = readers.map(async (reader, index) => {
    const branch = branches[index] ?? new Branch();
    try {
      return await reader(branch.chunks());
    } catch (error) {
      failAll(error);
      throw error;
    } finally {
      branch.leave();
    }
  });
  const settled = Promise.allSettled(work);
  try {
    for await (const chunk of source) {
      if (failure !== undefined) break;
      await Promise.all(branches.map((branch) => branch.give(chunk)));
    }
    for (const branch of branches) branch.end();
  } catch (error) {
    failAll(error);
  }
  const results = await settled;
  if (failure !== undefined) throw failure;
  return results.map((result) => (result.status === 'fulfilled' ? result.value : undefined)) as unknown as Results;
}

/** A stream of which one side gives chunks and the other takes them. */
class Branch {
  #waiting: Uint8Array | undefined;
  #isEnded = false;
  #isLeft = false;
  #failure: Error | undefined;
  #onChange: (() => void)[] = [];

  /** Resolves when the reader asks for what comes after the chunk, or has left. */
  async give(chunk: Uint8Array): Promise<void> {
    if (this.#isLeft) return;
    this.#waiting = chunk;
    this.#changed();
    while (this.#waiting === chunk && !this.#isLeft && this.#failure === undefined) await this.#change();
  }

  end(): void {
    this.#isEnded = true;
    this.#changed();
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#changed();
  }

  leave(): void {
    this.#isLeft = true;
    this.#changed();
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#waiting !== undefined) {
        yield this.#waiting;
        this.#waiting = undefined;
        this.#changed();
      } else if (this.#isEnded) {
        return;
      } else {
        await this.#change();
      }
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve));
  }

  #changed(): void {
    const told = this.#onChange;
    this.#onChange = [];
    for (const tell of told) tell();
  }
}
