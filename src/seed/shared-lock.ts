/** Many share it, or one has it alone; in the order of asking, so that nobody waits for ever. */
export class SharedLock {
  #sharing = 0;
  #isAlone = false;
  readonly #waiting: { readonly alone: boolean; readonly enter: () => void }[] = [];

  /** True when nobody has it or waits for it. */
  get isFree(): boolean {
    return this.#sharing === 0 && !this.#isAlone && this.#waiting.length === 0;
  }

  /** Runs `work` beside others that share. */
  async share<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.#enter(false);
    try {
      return await work();
    } finally {
      this.#sharing -= 1;
      this.#letIn();
    }
  }

  /** Runs `work` while nobody else has the lock. */
  async alone<Result>(work: () => Promise<Result>): Promise<Result> {
    await this.#enter(true);
    try {
      return await work();
    } finally {
      this.#isAlone = false;
      this.#letIn();
    }
  }

  async #enter(alone: boolean): Promise<void> {
    const { promise, resolve: enter } = Promise.withResolvers<void>();
    this.#waiting.push({ alone, enter });
    this.#letIn();
    await promise;
  }

  #letIn(): void {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || this.#isAlone || (next.alone && this.#sharing > 0)) return;
      this.#waiting.shift();
      if (next.alone) this.#isAlone = true;
      else this.#sharing += 1;
      next.enter();
    }
  }
}
