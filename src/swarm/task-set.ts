/** Work in the background that has an owner, who waits for it at the end. */
export class TaskSet {
  readonly #running = new Set<Promise<void>>();

  /** @param task deals with its own errors; one that fails all the same fails `settled` */
  run(task: Promise<void>): void {
    const tracked = task.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  /** Waits until nothing is running. @throws {AggregateError} what tasks failed with */
  async settled(): Promise<void> {
    const results = await Promise.allSettled(this.#running);
    const errors = results.flatMap((result): unknown[] => (result.status === 'rejected' ? [result.reason] : []));
    if (errors.length > 0) throw new AggregateError(errors, 'background work failed');
  }
}
