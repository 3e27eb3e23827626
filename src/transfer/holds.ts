/** Counts those who need something, and tells when nobody has needed it for a while. */

export interface HoldsDeps {
  /** How long to wait for the next one; undefined when it is needed for another reason. */
  readonly delayMs: () => number | undefined;
  readonly onUnused: () => void;
}

export class Holds {
  readonly #deps: HoldsDeps;
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: HoldsDeps) {
    this.#deps = deps;
  }

  /** Nobody holds it now. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Holds until the function that is answered is called. */
  take(): () => void {
    this.#count += 1;
    this.stop();
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#count -= 1;
      this.check();
    };
  }

  /** Begins to wait anew when nobody holds; to be called when another reason may have gone. */
  check(): void {
    this.stop();
    const delayMs = this.#count > 0 ? undefined : this.#deps.delayMs();
    if (delayMs === undefined) return;
    this.#timer = setTimeout(() => {
      if (this.#count === 0) this.#deps.onUnused();
    }, delayMs);
  }

  /** Waits no more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
