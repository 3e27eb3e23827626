/** Shows how far a fetch is: a bar where a person looks, lines of text or of JSON elsewhere. */
import { SingleBar } from 'cli-progress';
import { RateMeter, type FetchProgress } from '../fetch/progress.ts';
import { showCount, showDuration, showSize } from '../text-forms.ts';
import type { Terminal } from './terminal.ts';

/** How progress is shown. `json` goes to the output, one object to a line; the others to where people look. */
export type ProgressForm = 'bar' | 'lines' | 'json' | 'none';

/** Redrawn so often. */
const BAR_INTERVAL_MS = 250;

/** Written so often. */
const LINE_INTERVAL_MS = 2_000;

/** Where a fetch is, with what follows from the time it took. */
interface Moment {
  readonly phase: FetchProgress['phase'];
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly peerCount: number | undefined;
  readonly bytesPerSecond: number;
  /** `undefined` while nobody can tell. */
  readonly leftMs: number | undefined;
}

/** The form for what was asked for: `--quiet` and `--json`, on a terminal or not. */
export function progressForm(
  terminal: Terminal,
  options: { readonly quiet?: boolean | undefined; readonly json?: boolean | undefined },
): ProgressForm {
  if (options.quiet === true) return 'none';
  if (options.json === true) return 'json';
  return terminal.isInteractive ? 'bar' : 'lines';
}

/** Shows progress until it is disposed of. */
export function showProgress(progress: FetchProgress, terminal: Terminal, form: ProgressForm): Disposable {
  if (form === 'none') return { [Symbol.dispose]: () => undefined };
  const meter = new RateMeter();
  const now = (): Moment => momentOf(progress, meter, performance.now());
  const shown = form === 'bar' ? new Bar(terminal) : new Lines(terminal, form);
  const timer = setInterval(() => shown.show(now()), form === 'bar' ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);
  timer.unref();
  // What is done in a moment needs no lines about its progress.
  if (form !== 'lines') shown.show(now());
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      shown.end(now());
    },
  };
}

/** What there is to show at a moment. */
export function momentOf(progress: FetchProgress, meter: RateMeter, nowMs: number): Moment {
  const { phase, doneBytes, totalBytes, receivedBytes, sentBytes, peerCount } = progress;
  meter.sample(nowMs, phase === 'seeding' ? sentBytes : receivedBytes);
  const bytesPerSecond = meter.bytesPerSecond();
  const leftBytes = totalBytes === undefined ? undefined : Math.max(0, totalBytes - doneBytes);
  const leftMs = leftBytes === undefined || bytesPerSecond === 0 ? undefined : (leftBytes * 1000) / bytesPerSecond;
  return { phase, doneBytes, totalBytes, receivedBytes, sentBytes, peerCount, bytesPerSecond, leftMs };
}

/** `12 % · 1.2 MiB of 10 MiB · 3.4 MiB/s · 2 peers · 3 s left`; what is not known is left out. */
export function momentText(moment: Moment): string {
  const { phase, doneBytes, totalBytes, peerCount, bytesPerSecond, leftMs, sentBytes } = moment;
  const rate = `${showSize(Math.round(bytesPerSecond))}/s`;
  const peers = peerCount === undefined ? [] : [showCount(peerCount, 'peer')];
  if (phase === 'seeding') return ['seeding', `${showSize(sentBytes)} sent`, rate, ...peers].join(' · ');
  if (totalBytes === undefined) return [phase, ...peers].join(' · ');
  const share = `${percentOf(moment)} %`;
  const left = leftMs === undefined || phase === 'done' ? [] : [`${showDuration(leftMs)} left`];
  return [share, `${showSize(doneBytes)} of ${showSize(totalBytes)}`, rate, ...peers, ...left].join(' · ');
}

/** Not 100 before the end. */
function percentOf({ doneBytes, totalBytes }: Moment): number {
  return totalBytes === undefined || totalBytes === 0 ? 0 : Math.min(100, Math.floor((100 * doneBytes) / totalBytes));
}

class Bar {
  readonly #bar: SingleBar;

  constructor(terminal: Terminal) {
    const { err: stream } = terminal;
    this.#bar = new SingleBar({ stream, format: '{bar} {text}', barsize: 24, hideCursor: true, clearOnComplete: true });
    this.#bar.start(100, 0, { text: '' });
  }

  show(moment: Moment): void {
    this.#bar.update(percentOf(moment), { text: momentText(moment) });
  }

  end(moment: Moment): void {
    this.show(moment);
    this.#bar.stop();
  }
}

class Lines {
  readonly #terminal: Terminal;
  readonly #form: 'lines' | 'json';
  #last = '';

  constructor(terminal: Terminal, form: 'lines' | 'json') {
    this.#terminal = terminal;
    this.#form = form;
  }

  show(moment: Moment): void {
    if (this.#form === 'json') {
      this.#terminal.out.write(`${JSON.stringify({ kind: 'progress', ...moment })}\n`);
      return;
    }
    const text = momentText(moment);
    if (text !== this.#last) this.#terminal.err.write(`${text}\n`);
    this.#last = text;
  }

  end(moment: Moment): void {
    if (this.#form === 'json' || this.#last !== '') this.show(moment);
  }
}
