/**
 * A time limit that ends with what it limits. `AbortSignal.timeout` cannot be taken back: long after the work is done its
 * timer fires, and makes an error with a stack that nobody reads, thousands of times for work that is done often.
 */
export class TimeLimit implements Disposable {
  /** Aborts with a `TimeoutError` when the time is over, or with the reason of the signal that was given. */
  readonly signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;

  /** @param within ends the work as well; held only weakly */
  constructor(timeoutMs: number, within?: AbortSignal) {
    const over = new AbortController();
    this.signal = within === undefined ? over.signal : AbortSignal.any([within, over.signal]);
    this.#timer = setTimeout(() => {
      over.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
    }, timeoutMs);
    this.#timer.unref();
  }

  /** The work is done: the signal never aborts by time any more. Idempotent. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
