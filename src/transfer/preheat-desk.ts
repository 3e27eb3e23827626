/**
 * Fetches blobs that another member asks this node to have ready. A few at a time, in the order of asking, like any client of
 * this node; each as long as it is asked for again, so that whoever asked may go away and nothing is left to tidy up.
 */
import type { Logger } from 'pino';
import type { BlobStore } from '../content/blob-store.ts';
import { asError, isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import type { BlobTransfer, TransferContext } from './blob-transfer.ts';
import { transferError } from './errors.ts';
import type { ExchangeHub } from './exchange-hub.ts';
import { parsePreheatQuestion, type PreheatQuestion, type PreheatState, type WantedBlob } from './preheat-wire.ts';

export interface PreheatDeskDeps {
  readonly hub: Pick<ExchangeHub, 'answer'>;
  readonly store: Pick<BlobStore, 'stat'>;
  readonly blobs: Pick<BlobTransfer, 'open' | 'progress' | 'settled'>;
  readonly nowMs: () => number;
  readonly log: Logger;
}

/** The question's name on a link. */
export const PREHEAT_METHOD = 'preheat';

/** Blobs that are fetched at once; clients of this node come first, and use the rest of its links. */
const MAX_RUNNING = 4;
/** Blobs that may wait, all who ask together. */
const MAX_WAITING = 4096;
/** A blob that nobody has asked about for so long is not wanted any more. */
const LEASE_MS = 30_000;
const CLEAR_EVERY_MS = 5_000;

interface Wanted extends WantedBlob {
  readonly repository: Repository;
  readonly stopping: AbortController;
  askedAtMs: number;
  isRunning: boolean;
  failure: Error | undefined;
}

/** One for each node; closed before the transfer layer is. */
export class PreheatDesk implements AsyncDisposable {
  readonly #deps: PreheatDeskDeps;
  readonly #wanted = new Map<Digest, Wanted>();
  readonly #running = new Set<Promise<void>>();
  readonly #clearing: NodeJS.Timeout;
  #closed = false;

  constructor(deps: PreheatDeskDeps) {
    this.#deps = deps;
    this.#clearing = setInterval(() => this.#clear(), CLEAR_EVERY_MS);
    this.#clearing.unref();
    deps.hub.answer(PREHEAT_METHOD, async (_from, message) => {
      const blobs = this.answer(parsePreheatQuestion(message.value));
      return await Promise.resolve({ value: { blobs } });
    });
  }

  /**
   * Notes what is wanted, and tells how it stands with each, in their order. A failure is told once: whoever asks again has it
   * tried again.
   * @throws {DockyardError} ERR_PREHEAT_BUSY
   */
  answer({ repository, blobs, isWanted }: PreheatQuestion): PreheatState[] {
    const states = blobs.map((blob) => this.#answerOne(repository, blob, isWanted && !this.#closed));
    this.#pump();
    return states;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#clearing);
    for (const { stopping } of this.#wanted.values()) stopping.abort();
    this.#wanted.clear();
    await Promise.allSettled(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #answerOne(repository: Repository, blob: WantedBlob, isWanted: boolean): PreheatState {
    const { digest } = blob;
    const held = this.#deps.store.stat(digest);
    const known = this.#wanted.get(digest);
    if (held !== undefined && known?.isRunning !== true) {
      this.#wanted.delete(digest);
      return { state: 'held', heldBytes: held.sizeBytes };
    }
    const heldBytes = this.#heldBytes(blob);
    if (!isWanted) return { state: 'absent', heldBytes };
    if (known?.failure !== undefined) {
      this.#wanted.delete(digest);
      const code = isDockyardError(known.failure) ? known.failure.code : undefined;
      return { state: 'failed', heldBytes, code, message: known.failure.message };
    }
    if (known === undefined) this.#add(repository, blob);
    else known.askedAtMs = this.#deps.nowMs();
    return { state: 'coming', heldBytes };
  }

  #heldBytes({ digest, sizeBytes }: WantedBlob): number {
    const progress = this.#deps.blobs.progress(digest);
    if (progress === undefined || progress.pieceCount === 0) return 0;
    return Math.floor(((sizeBytes ?? 0) * progress.heldPieces) / progress.pieceCount);
  }

  #add(repository: Repository, blob: WantedBlob): void {
    if (this.#wanted.size >= MAX_WAITING) {
      throw transferError('ERR_PREHEAT_BUSY', `${MAX_WAITING} blobs wait to be preheated here already`);
    }
    const askedAtMs = this.#deps.nowMs();
    const stopping = new AbortController();
    this.#wanted.set(blob.digest, { ...blob, repository, stopping, askedAtMs, isRunning: false, failure: undefined });
  }

  #pump(): void {
    for (const wanted of this.#wanted.values()) {
      if (this.#closed || this.#running.size >= MAX_RUNNING) return;
      if (wanted.isRunning || wanted.failure !== undefined) continue;
      wanted.isRunning = true;
      const running = this.#fetch(wanted).finally(() => {
        wanted.isRunning = false;
        this.#running.delete(running);
        this.#pump();
      });
      this.#running.add(running);
    }
  }

  async #fetch(wanted: Wanted): Promise<void> {
    const { digest, repository, stopping } = wanted;
    const { signal } = stopping;
    try {
      await this.#readWhole(digest, { repository, signal });
      if (this.#deps.store.stat(digest) === undefined) await this.#deps.blobs.settled(digest);
      // On a full disk a blob passes through.
      if (this.#deps.store.stat(digest) === undefined) {
        throw transferError('ERR_PREHEAT_NOT_KEPT', `${digest} came and could not be kept: the store is full`);
      }
      // Told as held from now on.
      this.#wanted.delete(digest);
    } catch (thrown) {
      if (signal.aborted) return;
      wanted.failure = asError(thrown);
      this.#deps.log.warn({ err: wanted.failure, digest }, 'a blob could not be preheated');
    }
  }

  /** As a client would. */
  async #readWhole(digest: Digest, context: TransferContext): Promise<void> {
    await using reading = await this.#deps.blobs.open(digest, context);
    if (reading === undefined) throw transferError('ERR_TRANSFER_UNAVAILABLE', `nobody has ${digest}`);
    const { sizeBytes } = reading;
    if (sizeBytes === 0) return;
    for await (const chunk of reading.read({ start: 0, end: sizeBytes })) reading.recycle(chunk);
  }

  #clear(): void {
    const before = this.#deps.nowMs() - LEASE_MS;
    for (const [digest, { askedAtMs, stopping }] of this.#wanted) {
      if (askedAtMs >= before) continue;
      stopping.abort();
      this.#wanted.delete(digest);
    }
  }
}
