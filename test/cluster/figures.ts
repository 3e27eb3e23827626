/** Figures of the chaos suite, for docs/RELIABILITY.md: told on standard error when CHAOS_FIGURES is set. */
import { expect } from 'vitest';
import type { WatchedOutcome } from './watched-read.ts';

/** Tells how long the clients of the running test were without bytes, and how long they took. */
export function tellFigures(outcomes: readonly WatchedOutcome[], note = ''): void {
  const most = (of: (outcome: WatchedOutcome) => number): string => (Math.max(...outcomes.map(of)) / 1000).toFixed(2);
  const silence = most(({ longestSilenceMs }) => longestSilenceMs);
  const took = most(({ tookMs }) => tookMs);
  tell(`silence ${silence} s, took ${took} s ${note}`);
}

/** Tells how long something of the running test took. */
export function tellMs(what: string, durationMs: number): void {
  tell(`${what} ${(durationMs / 1000).toFixed(2)} s`);
}

function tell(text: string): void {
  if (process.env['CHAOS_FIGURES'] === undefined) return;
  process.stderr.write(`FIGURE ${expect.getState().currentTestName ?? ''}: ${text}\n`);
}
