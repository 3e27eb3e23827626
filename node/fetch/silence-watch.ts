/** Gives up work that brings nothing for too long. */
import { fetchError } from './errors.ts';

/** A signal that is aborted when nothing was heard for a while, or when another one is. */
export class SilenceWatch implements Disposable {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @param timeoutMs 0 for never */
  constructor(timeoutMs: number, other: AbortSignal | undefined) {
    this.#timeoutMs = timeoutMs;
    const { signal } = this.#controller;
    this.signal = other === undefined ? signal : AbortSignal.any([other, signal]);
    this.heard();
  }

  /** Something came: the time begins anew. */
  heard(): void {
    clearTimeout(this.#timer);
    if (this.#timeoutMs === 0 || this.#isStopped) return;
    this.#timer = setTimeout(() => this.#giveUp(), this.#timeoutMs);
  }

  /** All has come: what is still to be done takes as long as it takes. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #giveUp(): void {
    const seconds = Math.round(this.#timeoutMs / 1000);
    this.#controller.abort(fetchError('ERR_FETCH_STALLED', `no peer and no web seed gave anything for ${seconds} s`));
  }
}
