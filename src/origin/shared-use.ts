/** Something used by several at once, that may be ended only when nobody uses it any more. */

export class SharedUse {
  #users = 0;
  /** Set once the end is wanted. */
  #end: (() => void) | undefined;

  /** Counts a user, until the answer is called; calling it again does nothing. */
  hold(): () => void {
    this.#users += 1;
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#users -= 1;
      this.#endIfUnused();
    };
  }

  /** Calls `end` once, as soon as there is no user. */
  endWhenUnused(end: () => void): void {
    this.#end ??= end;
    this.#endIfUnused();
  }

  #endIfUnused(): void {
    if (this.#users > 0 || this.#end === undefined) return;
    const end = this.#end;
    this.#end = () => undefined;
    end();
  }
}
