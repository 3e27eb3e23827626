/**
 * Requests for one thing made one: whoever asks while it is under way waits for the same answer. Each waiter may give up
 * alone; when the last one has, the work is aborted.
 */
import { abortable } from '../oci/abortable.ts';

interface Joint<Value> {
  readonly promise: Promise<Value>;
  readonly controller: AbortController;
  waiters: number;
}

export class JointRequests<Value> {
  readonly #running = new Map<string, Joint<Value>>();

  /** How many different things are under way. */
  get size(): number {
    return this.#running.size;
  }

  /**
   * Joins the work named `key`, or starts it.
   * @param work is given a signal that ends when all waiters have given up
   * @throws the signal's reason when this waiter gives up; else whatever `work` throws
   */
  async run(
    key: string,
    work: (signal: AbortSignal) => Promise<Value>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Value> {
    options.signal?.throwIfAborted();
    const joint = this.#running.get(key) ?? this.#start(key, work);
    joint.waiters += 1;
    try {
      return await abortable(joint.promise, options.signal);
    } finally {
      joint.waiters -= 1;
      if (joint.waiters === 0) {
        this.#forget(key, joint);
        joint.controller.abort();
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<Value>): Joint<Value> {
    const controller = new AbortController();
    const joint: Joint<Value> = { promise: work(controller.signal), controller, waiters: 0 };
    this.#running.set(key, joint);
    const forget = (): void => this.#forget(key, joint);
    joint.promise.then(forget, forget);
    return joint;
  }

  #forget(key: string, joint: Joint<Value>): void {
    if (this.#running.get(key) === joint) this.#running.delete(key);
  }
}
