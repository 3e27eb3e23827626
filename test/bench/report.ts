/** What a person reads, and what a program reads. */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { formatBound, holds, type BenchResult, type Figure } from './bench.ts';

const RESULTS = fileURLToPath(new URL('../../.bench/', import.meta.url));

/** Writes `.bench/NAME.json`, and `.bench/NAME.svg` or `.bench/NAME-PLOT.svg` for each plot; answers the paths. */
export async function saveResult(name: string, { plots = {}, ...result }: BenchResult): Promise<string[]> {
  await mkdir(RESULTS, { recursive: true });
  const path = `${RESULTS}${name}.json`;
  const machine = { processors: cpus().length, model: cpus()[0]?.model, node: process.version };
  const figures = result.figures.map((figure) => ({ ...figure, holds: holds(figure) }));
  await writeFile(path, `${JSON.stringify({ name, machine, ...result, figures }, undefined, 2)}\n`);
  const drawn = Object.entries(plots).map(([plot, svg]) => ({
    svg,
    path: `${RESULTS}${name}${plot && '-'}${plot}.svg`,
  }));
  for (const plot of drawn) await writeFile(plot.path, plot.svg);
  return [path, ...drawn.map((plot) => plot.path)];
}

/** The figures as a table, one line each. */
export function formatTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { bound, spread, what } = figure;
    const [min, median, max] = [spread.min, spread.median, spread.max].map(shortNumber);
    const verdict = holds(figure) ? 'holds' : 'MISSED';
    return [what, formatBound(bound), `${median}${bound.unit}`, `${min} – ${max}`, verdict];
  });
  const table = [['what', 'bound', 'median', 'min – max', 'verdict'], ...rows];
  const widths = table.reduce<number[]>((all, row) => row.map((cell, at) => Math.max(all[at] ?? 0, cell.length)), []);
  return table
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function shortNumber(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
