/**
 * What stands in the place of a promise in virtual time: it calls back at once when it is settled, since a run takes no turn of
 * the event loop. Only for code that uses `then` and nothing else of a promise.
 */
export class VirtualPromise<T> {
  readonly #waiting: { done: (value: T) => void; failed: ((error: unknown) => void) | undefined }[] = [];
  #settled: { readonly value: T } | { readonly error: unknown } | undefined;

  /** One that is settled already. */
  static resolved<T>(value: T): Promise<T> {
    const promise = new VirtualPromise<T>();
    promise.resolve(value);
    return promise.asPromise();
  }

  // oxlint-disable-next-line unicorn/no-thenable -- it is there to be taken for a promise
  then(done: (value: T) => void, failed?: (error: unknown) => void): void {
    if (this.#settled === undefined) this.#waiting.push({ done, failed });
    else if ('value' in this.#settled) done(this.#settled.value);
    else failed?.(this.#settled.error);
  }

  resolve(value: T): void {
    this.#settled ??= { value };
    for (const { done } of this.#waiting.splice(0)) done(value);
  }

  reject(error: unknown): void {
    this.#settled ??= { error };
    for (const { failed } of this.#waiting.splice(0)) failed?.(error);
  }

  asPromise(): Promise<T> {
    return this as unknown as Promise<T>;
  }
}
