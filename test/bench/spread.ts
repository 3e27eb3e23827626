/** The middle and the ends of a series. */

/** What is told of a series of measurements. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** @throws {RangeError} for a series without members */
export function spreadOf(series: readonly number[]): Spread {
  const sorted = series.toSorted((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) throw new RangeError('nothing was measured');
  return { min, median: quantile(sorted, 0.5), max };
}

/** @param sorted ascending, not empty */
function quantile(sorted: readonly number[], part: number): number {
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)] ?? NaN;
  const above = sorted[Math.ceil(at)] ?? NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The middle of a series. @throws {RangeError} for a series without members */
export function median(series: readonly number[]): number {
  return spreadOf(series).median;
}
