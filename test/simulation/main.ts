/** `scripts/simulate`: runs one scenario and tells its figures. */
import { writeFile } from 'node:fs/promises';
import { helpText, parseCommand, type Command } from './command-line.ts';
import { simulate } from './figures.ts';
import { drawCurve, formatFigures, formatProgress } from './report.ts';
import type { ProgressListener } from './simulation.ts';
import { svgPlot } from './svg-plot.ts';

/** What a wrong command exits with. */
const EXIT_USAGE = 2;
const PROGRESS_EVERY_MS = 10_000;

async function run({ scenario, jsonPath, plotPath }: Command): Promise<void> {
  const startedAtMs = performance.now();
  const figures = simulate(scenario, progressOnStderr(startedAtMs));
  const tookSeconds = (performance.now() - startedAtMs) / 1000;
  const processorSeconds = process.cpuUsage().user / 1e6;
  const rssMib = process.memoryUsage().rss / 1024 ** 2;
  console.log(`${formatFigures(figures)}\n\n${drawCurve(figures)}\n`);
  console.log(
    `${figures.eventCount} events in ${tookSeconds.toFixed(1)} s (${processorSeconds.toFixed(1)} s of processor), ${rssMib.toFixed(0)} MiB of memory`,
  );
  if (jsonPath !== undefined) await writeFile(jsonPath, `${JSON.stringify(figures, undefined, 2)}\n`);
  if (plotPath !== undefined) await writeFile(plotPath, svgPlot(figures));
  if (figures.unservedCount > 0) process.exitCode = 1;
}

/** A long run says how far it is, so that one that is cut short has told something. */
function progressOnStderr(startedAtMs: number): ProgressListener {
  let toldAtMs = startedAtMs;
  return (progress) => {
    const nowMs = performance.now();
    if (nowMs < toldAtMs + PROGRESS_EVERY_MS) return;
    toldAtMs = nowMs;
    console.error(formatProgress(progress, nowMs - startedAtMs));
  };
}

async function main(words: readonly string[]): Promise<void> {
  if (words.includes('--help')) {
    console.log(helpText());
    return;
  }
  let command: Command;
  try {
    command = parseCommand(words);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(error.message);
    process.exitCode = EXIT_USAGE;
    return;
  }
  await run(command);
}

await main(process.argv.slice(2));
