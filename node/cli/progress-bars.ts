/** Progress bars for things that come and go while a command works: a bar for each, told apart by a key. */
import { MultiBar, type SingleBar } from 'cli-progress';
import type { Terminal } from './terminal.ts';

/** What a bar shows: how far it is, and the texts of its form. */
export interface BarState {
  readonly done: number;
  readonly total: number;
  readonly texts: Readonly<Record<string, string>>;
}

/** Bars on a terminal that a person looks at. Whoever opens them disposes them; then the cursor is back. */
export class ProgressBars implements Disposable {
  readonly #bars: MultiBar;
  readonly #open = new Map<string, SingleBar>();

  private constructor(terminal: Terminal, form: string) {
    this.#bars = new MultiBar({ stream: terminal.err, format: form, hideCursor: true });
  }

  /**
   * `undefined` where no person looks.
   * @param form with `{bar}`, `{percentage}` and the names of texts
   */
  static open(terminal: Terminal, form: string): ProgressBars | undefined {
    return terminal.isInteractive ? new ProgressBars(terminal, form) : undefined;
  }

  /** Shows where something is; the first time it gets its bar. */
  show(key: string, { done, total, texts }: BarState): void {
    const wanted = Math.max(1, total);
    const bar = this.#open.get(key) ?? this.#bars.create(wanted, done, texts);
    this.#open.set(key, bar);
    bar.setTotal(wanted);
    bar.update(done, texts);
  }

  /** Takes a bar away. */
  remove(key: string): void {
    const bar = this.#open.get(key);
    if (bar !== undefined) this.#bars.remove(bar);
    this.#open.delete(key);
  }

  /** Takes away all bars but those of these keys. */
  keep(keys: ReadonlySet<string>): void {
    for (const key of this.#open.keys()) if (!keys.has(key)) this.remove(key);
  }

  [Symbol.dispose](): void {
    this.#bars.stop();
  }
}
