/** What a benchmark is, and what it tells. */
import type { Flags } from './flags.ts';
import type { Spread } from './spread.ts';

/** What a figure has to be. */
export interface Bound {
  readonly direction: 'at least' | 'at most';
  readonly value: number;
  /** Written behind the numbers: `×`, ` ms`, ` MiB`. */
  readonly unit: string;
}

/** What a benchmark holds its figures against. */
export interface Target {
  readonly what: string;
  readonly bound: Bound;
}

/** One figure of a benchmark: its median is held against the bound. */
export interface Figure extends Target {
  readonly spread: Spread;
}

/** What a benchmark found. */
export interface BenchResult {
  readonly figures: readonly Figure[];
  /** What could not be measured here, and why. */
  readonly skipped: readonly string[];
  /** What stands behind the figures, for who reads the JSON. */
  readonly details: unknown;
  /** Plots by what they show, as SVG; kept in files beside the JSON. */
  readonly plots?: Readonly<Record<string, string>>;
}

/** A benchmark that `scripts/bench` knows. */
export interface Bench {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  /** What each flag means, by its name without dashes. */
  readonly flags: Readonly<Record<string, string>>;
  /** What is measured and what it has to be, for `--help`. */
  readonly targets: readonly Target[];
  /** @param log takes lines for a person who waits */
  run(flags: Flags, log: (line: string) => void): Promise<BenchResult>;
}

/** A bound as a person reads it: `≤ 1.15×`. */
export function formatBound({ direction, value, unit }: Bound): string {
  return `${direction === 'at least' ? '≥' : '≤'} ${value}${unit}`;
}

/** True when the median is within its bound. */
export function holds({ bound, spread }: Figure): boolean {
  return bound.direction === 'at least' ? spread.median >= bound.value : spread.median <= bound.value;
}
